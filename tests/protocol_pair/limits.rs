//! Limits hold from the header on, before a byte of payload, and memory stays within them while messages are
//! incomplete (RFC 6455 §10.4).

use corecast_protocol::{Limits, Side};
use corecast_tests::wire::{
    BINARY, BINARY_BEGINS, CONTINUES, ENDS, PING, Receiver, Seen, frame_to, header_to, however_split,
};

const BOTH: [Side; 2] = [Side::Server, Side::Client];

fn limits() -> Limits {
    let limits =
        Limits::default().with_max_frame_bytes(1000).and_then(|limits| limits.with_max_message_bytes(1500));
    limits.expect("valid limits")
}

#[test]
fn frame_over_the_limit_fails_at_the_last_byte_of_its_header() {
    for side in BOTH {
        for declared in [1001, 65_535, 65_536, 1 << 40, (1 << 63) - 1] {
            let header = header_to(side, BINARY, declared);
            however_split(side, limits(), &header, |receiver, how| {
                assert_eq!(receiver.failed_with(), Some(1009), "{side:?}, {declared} bytes, {how}");
                assert_eq!(receiver.seen, []);
            });
        }
    }
}

#[test]
fn message_over_the_limit_fails_at_the_header_that_takes_it_over() {
    for side in BOTH {
        let begin = [
            frame_to(side, BINARY_BEGINS, &[1; 900]),
            frame_to(side, PING, b"between"),
            frame_to(side, CONTINUES, &[2; 600]),
        ]
        .concat();
        for last in [header_to(side, ENDS, 1), header_to(side, CONTINUES, 1)] {
            let mut receiver = Receiver::with_limits(side, limits());
            receiver.hear(&begin);
            assert_eq!(
                (&receiver.seen[..], &receiver.error),
                (&[Seen::Ping(b"between".to_vec())][..], &None)
            );
            receiver.hear(&last);
            assert_eq!(receiver.failed_with(), Some(1009), "{side:?}");
        }
        let mut receiver = Receiver::with_limits(side, limits());
        receiver.hear(&begin).hear(&frame_to(side, ENDS, b""));
        assert_eq!(receiver.seen.len(), 2, "{side:?}: a message of exactly the limit");
    }
}

#[test]
fn control_frames_do_not_count_against_data_limits() {
    let tight =
        Limits::default().with_max_frame_bytes(10).and_then(|limits| limits.with_max_message_bytes(10));
    let tight = tight.expect("valid limits");
    for side in BOTH {
        let bytes = [
            frame_to(side, BINARY_BEGINS, &[1; 10]),
            frame_to(side, PING, &[b'p'; 125]),
            frame_to(side, ENDS, b""),
        ];
        however_split(side, tight, &bytes.concat(), |receiver, how| {
            assert_eq!(
                receiver.seen,
                [Seen::Ping(vec![b'p'; 125]), Seen::Binary(vec![1; 10])],
                "{side:?}, {how}"
            );
        });
    }
}

#[test]
fn memory_never_exceeds_what_arrived_by_more_than_a_fixed_part() {
    // Growth by doubling may own twice what it holds; the rest is the header and the box itself.
    const FIXED: usize = 512;
    for side in BOTH {
        let mut receiver = Receiver::new(side);
        let message = [
            frame_to(side, BINARY_BEGINS, &[1; 30_000]),
            frame_to(side, PING, &[2; 125]),
            frame_to(side, ENDS, &[3; 30_000]),
        ]
        .concat();
        for (i, piece) in message.chunks(97).enumerate() {
            receiver.hear(piece);
            let arrived = 97 * (i + 1);
            let kept = receiver.connection.buffered_bytes();
            assert!(kept <= 2 * arrived + FIXED, "{side:?}: {kept} bytes kept after {arrived} arrived");
        }
        assert_eq!(receiver.seen.len(), 2);
        assert_eq!(receiver.connection.buffered_bytes(), 0);
    }
}

#[test]
fn failed_connection_keeps_no_memory() {
    for side in BOTH {
        let mut receiver = Receiver::new(side);
        receiver.hear(&frame_to(side, BINARY_BEGINS, &[1; 30_000]));
        assert!(receiver.connection.buffered_bytes() >= 30_000);
        receiver.hear(&header_to(side, BINARY, 5));
        assert_eq!(receiver.failed_with(), Some(1002), "{side:?}: a new message inside a message");
        assert_eq!(receiver.connection.buffered_bytes(), 0, "{side:?}: nothing of it is ever read again");
    }
}
