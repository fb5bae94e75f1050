//! What a connection makes of bytes, whatever they are: the same however they are cut, what the oracle says, and
//! all that in bounded memory.

use corecast_protocol::{Connection, Limits};
use corecast_tests::wire::Receiver;

use super::oracle::{Bounds, End, Terms, judge};

/// Small, so that random streams reach them.
pub(crate) const SMALL: Bounds = Bounds { frame_bytes: 300, message_bytes: 500, fragments: 4 };

fn limits(bounds: Bounds) -> Limits {
    Limits::default()
        .with_max_frame_bytes(bounds.frame_bytes)
        .and_then(|limits| limits.with_max_message_bytes(bounds.message_bytes as usize))
        .and_then(|limits| limits.with_max_fragments(bounds.fragments as u32))
        .expect("valid limits")
}

/// Has the bytes heard whole, byte by byte, and in pieces of these lengths over and over.
pub(crate) fn check(terms: Terms, bytes: &[u8], piece_lengths: &[usize]) {
    let Terms { side, deflate, bounds } = terms;
    let hear = |piece_lengths: &[usize]| {
        let mut receiver = Receiver::with_limits(side, limits(bounds));
        receiver.connection = Connection::new(side).with_deflate(deflate);
        // What `Limits` states: the message, an incomplete control frame, and a fixed part.
        let for_growth = if terms.deflate { bounds.message_bytes as usize / 16 + 64 } else { 0 };
        let most = bounds.message_bytes as usize + for_growth + 250 + 160;
        let mut lengths = piece_lengths.iter().cycle();
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = lengths.next().map_or(rest.len(), |&length| length.clamp(1, rest.len()));
            let (piece, later) = rest.split_at(length);
            receiver.hear(piece);
            let kept = receiver.connection.buffered_bytes();
            assert!(kept <= most, "{terms:?}: {kept} bytes kept, {bytes:02x?}");
            rest = later;
        }
        receiver
    };
    let whole = hear(&[]);
    for (other, how) in [(hear(&[1]), "byte by byte"), (hear(piece_lengths), "in pieces")] {
        assert_eq!(other.seen, whole.seen, "{terms:?}, {how}, {bytes:02x?}");
        assert_eq!(other.error, whole.error, "{terms:?}, {how}, {bytes:02x?}");
        assert_eq!(
            other.connection.is_mid_message(),
            whole.connection.is_mid_message(),
            "{terms:?}, {how}, {bytes:02x?}"
        );
    }

    let (seen, end) = judge(terms, bytes);
    assert_eq!(whole.seen, seen, "{terms:?}, {bytes:02x?}");
    let connection = &whole.connection;
    match (end, whole.failed_with()) {
        (End::Open { mid_message }, None) => {
            assert_eq!(connection.is_mid_message(), mid_message, "{bytes:02x?}")
        }
        (End::Closed, None) => assert!(connection.close_received()),
        (End::Failed(codes), Some(code)) if codes.contains(&code) => {}
        (End::Undecided, _) => {}
        (end, _) => panic!("{terms:?}: {:?} where the oracle says {end:?}, {bytes:02x?}", whole.error),
    }
}
