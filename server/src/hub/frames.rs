//! Finding the frame around a byte of a chunk.

use corecast_protocol::frame::server_frame_len;

/// Distance of two marks in bytes, at least: what a search reads the headers of, and no more than one frame beyond.
const STRIDE: usize = 1 << 10;

/// Frame starts of one chunk that earlier searches came across. When thousands of laggers are lapped or leave at once,
/// each asks for its own frame: together they walk the chunk once, and each from the nearest mark.
#[derive(Debug, Default)]
pub(super) struct FrameMarks(Vec<FrameStart>);

#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub(super) struct FrameStart {
    pub(super) byte: usize,
    /// Frames of the chunk before it.
    pub(super) index: u64,
}

impl FrameMarks {
    /// The first frame start at or after `byte`; the end of the last frame counts as one. `frames` is the chunk, which
    /// may have grown since the last search.
    pub(super) fn start_from(&mut self, byte: usize, frames: &[u8]) -> FrameStart {
        let mut start = self.nearest_before(byte);
        while start.byte < byte {
            start.byte += server_frame_len(&frames[start.byte..]).expect("a log holds whole frames of ours");
            start.index += 1;
            if start.byte >= self.0.last().map_or(0, |last| last.byte) + STRIDE {
                self.0.push(start);
            }
        }
        start
    }

    /// Where a search for `byte` begins.
    fn nearest_before(&self, byte: usize) -> FrameStart {
        let after = self.0.partition_point(|mark| mark.byte <= byte);
        after.checked_sub(1).map_or_else(FrameStart::default, |nearest| self.0[nearest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Empty, short and longer frames in turn: 2, 7 and 204 bytes, which is 213 for three.
    fn three_frames_again_and_again(times: usize) -> Vec<u8> {
        let mut frames = Vec::new();
        for _ in 0..times {
            frames.extend_from_slice(b"\x82\x00");
            frames.extend_from_slice(b"\x81\x05Hello");
            frames.extend_from_slice(b"\x82\x7e\x00\xc8");
            frames.extend_from_slice(&[0x82; 200]);
        }
        frames
    }

    fn expected(byte: usize) -> FrameStart {
        let (times, rest) = (byte / 213, byte % 213);
        let (start, index) = match rest {
            0 => (0, 0),
            1..=2 => (2, 1),
            3..=9 => (9, 2),
            _ => (213, 3),
        };
        FrameStart { byte: 213 * times + start, index: 3 * times as u64 + index }
    }

    #[test]
    fn every_byte_has_its_frame_in_whatever_order_they_are_asked_for() {
        let frames = three_frames_again_and_again(300);
        let orders: [fn(usize) -> usize; 3] =
            [|byte| byte, |byte| 213 * 300 - byte, |byte| byte * 7919 % (213 * 300 + 1)];
        for order in orders {
            let mut marks = FrameMarks::default();
            for byte in (0..=213 * 300).map(order) {
                assert_eq!(marks.start_from(byte, &frames), expected(byte), "byte {byte}");
            }
        }
    }

    #[test]
    fn a_chunk_that_grew_is_searched_to_its_new_end() {
        let frames = three_frames_again_and_again(300);
        let mut marks = FrameMarks::default();
        for times in [1, 2, 6, 100, 101, 300] {
            let end = 213 * times;
            assert_eq!(marks.start_from(end - 1, &frames[..end]), expected(end));
            assert_eq!(marks.start_from(end, &frames[..end]), expected(end));
        }
    }

    #[test]
    fn after_the_first_search_the_next_begins_close_by() {
        let frames = three_frames_again_and_again(300);
        let mut marks = FrameMarks::default();
        marks.start_from(frames.len(), &frames);
        for byte in 0..=frames.len() {
            let distance = byte - marks.nearest_before(byte).byte;
            assert!(distance < 1024 + 204, "byte {byte} is {distance} bytes from the nearest mark");
        }
        assert!(marks.0.len() <= frames.len() / 1024, "{} marks", marks.0.len());
    }

    #[test]
    fn long_frames_are_not_marked_more_often_than_they_start() {
        let mut frames = b"\x82\x7f\0\0\0\0\0\x01\x00\x00".to_vec();
        frames.extend_from_slice(&[0x81; 65_536]);
        frames.extend_from_slice(b"\x81\x02ok");
        let mut marks = FrameMarks::default();
        assert_eq!(marks.start_from(1, &frames), FrameStart { byte: 65_546, index: 1 });
        assert_eq!(marks.start_from(65_547, &frames), FrameStart { byte: 65_550, index: 2 });
        assert_eq!(marks.start_from(0, &frames), FrameStart { byte: 0, index: 0 });
        assert_eq!(marks.0, [FrameStart { byte: 65_546, index: 1 }]);
    }
}
