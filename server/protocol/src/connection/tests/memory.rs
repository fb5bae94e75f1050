//! What a connection holds: nothing while idle, only what arrived while incomplete.

use super::*;
use crate::connection::Payload;

fn is_in_place(event: &Event<'_>) -> bool {
    match event {
        Event::Message { payload, .. }
        | Event::Deflated { payload, .. }
        | Event::Ping(payload)
        | Event::Pong(payload) => {
            matches!(payload, Payload::InPlace(_))
        }
        Event::Close(body) => matches!(body, Some((_, Payload::InPlace(_)))),
    }
}

#[test]
fn whole_frames_are_handed_out_in_place() {
    for side in BOTH_SIDES {
        let limits = Limits::default();
        let firsts = [0x81, 0x82, 0x89, 0x8A, 0x88];
        let mut bytes = firsts.map(|first| frame_to(side, first, b"\x03\xE8")).concat();
        // As text these two bytes would be an error.
        bytes[if side == Side::Server { 6 } else { 2 }..][..2].copy_from_slice(&match side {
            Side::Server => [b'h' ^ KEY[0], b'i' ^ KEY[1]],
            Side::Client => *b"hi",
        });
        let memory = bytes.as_ptr_range();
        let mut connection = Connection::new(side);
        let mut input = Input::new(&mut bytes);
        let mut events = 0;
        while let Some(event) = connection.poll_event(&mut input, &limits).unwrap() {
            assert!(is_in_place(&event), "{event:?}");
            if let Event::Message { payload, .. } = &event {
                assert!(memory.contains(&payload.as_ptr()), "the payload lies in the caller's memory");
            }
            assert_eq!(connection.buffered_bytes(), 0);
            events += 1;
        }
        assert_eq!(events, firsts.len());
    }
}

/// Control frames between fragments are whole frames too.
#[test]
fn control_frames_between_fragments_are_handed_out_in_place() {
    let mut bytes = [frame_to(Side::Client, 0x01, "a"), frame_to(Side::Client, 0x89, "ping")].concat();
    let mut connection = Connection::new(Side::Client);
    let mut input = Input::new(&mut bytes);
    let event = connection.poll_event(&mut input, &Limits::default()).unwrap().unwrap();
    assert!(matches!(&event, Event::Ping(Payload::InPlace(payload)) if *payload == b"ping"), "{event:?}");
}

#[test]
fn memory_grows_with_what_arrives_and_not_with_what_is_declared() {
    let mut connection = Connection::new(Side::Client);
    let mut seen = Vec::new();
    // 500,000 bytes are declared.
    feed(&mut connection, &[0x82, 0x7F, 0, 0, 0, 0, 0, 0x07, 0xA1, 0x20], &Limits::default(), &mut seen);
    let fixed = connection.buffered_bytes();
    assert!((1..=160).contains(&fixed), "{fixed} bytes");
    for arrived in [1_000, 2_000, 3_000] {
        feed(&mut connection, &[0; 1_000], &Limits::default(), &mut seen);
        let held = connection.buffered_bytes() - fixed;
        assert!((arrived..=2 * arrived).contains(&held), "{held} bytes for {arrived}");
    }
    feed(&mut connection, &vec![0; 497_000], &Limits::default(), &mut seen);
    assert!(seen == [binary(vec![0; 500_000])]);
    assert_eq!(connection.buffered_bytes(), 0);
}

#[test]
fn memory_never_passes_the_message_limit() {
    let limits = Limits::default().with_max_message_bytes(1_000).unwrap();
    let mut connection = Connection::new(Side::Client);
    let mut seen = Vec::new();
    feed(&mut connection, &frame_to(Side::Client, 0x02, ""), &limits, &mut seen);
    let fixed = connection.buffered_bytes();
    for _ in 0..10 {
        feed(&mut connection, &frame_to(Side::Client, 0x00, [0; 100]), &limits, &mut seen);
        let held = connection.buffered_bytes() - fixed;
        assert!(held <= 1_000, "{held} bytes");
    }
    assert_eq!(seen, []);
}

#[test]
fn a_split_header_is_held_and_given_back() {
    let mut connection = Connection::new(Side::Server);
    let mut seen = Vec::new();
    let frame = frame_to(Side::Server, 0x81, "hi");
    feed(&mut connection, &frame[..3], &Limits::default(), &mut seen);
    assert!(connection.is_mid_message());
    assert!(connection.buffered_bytes() > 0);
    feed(&mut connection, &frame[3..], &Limits::default(), &mut seen);
    assert_eq!(seen, [text("hi")]);
    assert!(!connection.is_mid_message());
    assert_eq!(connection.buffered_bytes(), 0);
}

#[test]
fn a_connection_is_mid_message_between_fragments() {
    let mut connection = Connection::new(Side::Client);
    let mut seen = Vec::new();
    feed(&mut connection, &frame_to(Side::Client, 0x01, "a"), &Limits::default(), &mut seen);
    assert!(connection.is_mid_message());
    feed(&mut connection, &frame_to(Side::Client, 0x80, "b"), &Limits::default(), &mut seen);
    assert!(!connection.is_mid_message());
}

/// Back-pressure: the caller stops after any event and goes on later with the rest.
#[test]
fn the_caller_may_stop_between_events_and_keep_the_rest() {
    let limits = Limits::default();
    let names = ["one", "two", "three"];
    let mut kept = names.map(|name| frame_to(Side::Server, 0x81, name)).concat();
    let mut connection = Connection::new(Side::Server);
    for name in names {
        let mut input = Input::new(&mut kept);
        let event = connection.poll_event(&mut input, &limits).unwrap().unwrap();
        assert_eq!(Seen::from(event), text(name));
        kept = input.into_rest().to_vec();
    }
    assert!(kept.is_empty());
}
