//! What several subscribers receive alike is parsed once.
//!
//! A broadcast reaches every subscriber of a topic as the same bytes. So the bytes of the last few receives are kept with
//! the messages that were found in them: when a receive brings equal bytes, they hold the same messages, and all that is
//! left to do is to check that those are the subscriber's next ones. Every byte is compared, and every message is
//! accounted for as if it had been parsed; it only costs less.

use std::ops::Range;

use crate::stamp::Stamp;

/// Receives that are remembered. Subscribers of a topic differ in where their receives end by a pass or two.
const REMEMBERED: usize = 4;
/// Publishers that may have a part in one receive: each is looked for among the others.
const MOST_PUBLISHERS: usize = 32;

/// One message of a receive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted {
    pub(crate) stamp: Stamp,
    /// The subscriber's place for its publisher, as in the check.
    pub(crate) place: usize,
    /// Payload bytes.
    pub(crate) bytes: u64,
    /// The stamp's times are by the clock here.
    pub(crate) is_timed: bool,
}

/// Consecutive sequences of one publisher, by its place.
pub(crate) type Span = (usize, Range<u32>);

/// A receive that was parsed, and how often it has come again.
#[derive(Debug, Default)]
pub(crate) struct Repeat {
    /// Subscribers with other topics may find other things in the same bytes.
    first_topic: u32,
    bytes: Vec<u8>,
    pub(crate) messages: Vec<Noted>,
    pub(crate) spans: Vec<Span>,
    /// Subscribers of this reap that got it again, and to whom it was new and in order.
    pub(crate) times: u32,
}

/// The last few receives.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    remembered: [Repeat; REMEMBERED],
    /// The one that came last: the next one is likely to be the same.
    latest: usize,
    /// The one in hand is being noted, and nothing has happened so far that would not happen to the next subscriber.
    is_noting: bool,
}

impl Repeats {
    /// The receive that brought the same bytes to a subscriber of the same topics.
    #[inline]
    pub(crate) fn find(&mut self, first_topic: u32, bytes: &[u8]) -> Option<&mut Repeat> {
        let is_same = |repeat: &Repeat| {
            repeat.bytes == bytes && repeat.first_topic == first_topic && !repeat.messages.is_empty()
        };
        let at = (0..REMEMBERED)
            .map(|back| (self.latest + REMEMBERED - back) % REMEMBERED)
            .find(|&at| is_same(&self.remembered[at]))?;
        self.latest = at;
        Some(&mut self.remembered[at])
    }

    /// Begins to note what is found in `bytes`, in place of the oldest; `settle` gets that one first.
    pub(crate) fn begin(&mut self, first_topic: u32, bytes: &[u8], settle: impl FnOnce(&mut Repeat)) {
        self.latest = (self.latest + 1) % REMEMBERED;
        let repeat = &mut self.remembered[self.latest];
        settle(repeat);
        repeat.first_topic = first_topic;
        repeat.bytes.clear();
        repeat.bytes.extend_from_slice(bytes);
        repeat.messages.clear();
        repeat.spans.clear();
        self.is_noting = true;
    }

    /// The next message of the receive in hand, new and in order for its subscriber.
    #[inline]
    pub(crate) fn note(&mut self, message: Noted) {
        if !self.is_noting {
            return;
        }
        let repeat = &mut self.remembered[self.latest];
        let sequence = message.stamp.sequence;
        let has_room = repeat.spans.len() < MOST_PUBLISHERS;
        match repeat.spans.iter_mut().find(|(place, _)| *place == message.place) {
            Some((_, span)) if span.end == sequence => span.end += 1,
            None if has_room => {
                repeat.spans.push((message.place, sequence..sequence + 1));
            }
            _ => return self.forget(),
        }
        repeat.messages.push(message);
    }

    /// The receive in hand had something in it that is not a new message in order.
    pub(crate) fn forget(&mut self) {
        if std::mem::take(&mut self.is_noting) {
            self.remembered[self.latest].messages.clear();
        }
    }

    /// The receive in hand is parsed.
    pub(crate) fn end(&mut self) {
        self.is_noting = false;
    }

    pub(crate) fn each(&mut self) -> impl Iterator<Item = &mut Repeat> {
        self.remembered.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(place: usize, sequence: u32) -> Noted {
        let stamp =
            Stamp { run: 1, publisher: place as u32, sequence, measured: true, intended_ns: 0, sent_ns: 0 };
        Noted { stamp, place, bytes: 64, is_timed: true }
    }

    fn note(repeats: &mut Repeats, bytes: &[u8], messages: &[(usize, u32)]) {
        repeats.begin(0, bytes, |_| {});
        messages.iter().for_each(|&(place, sequence)| repeats.note(message(place, sequence)));
        repeats.end();
    }

    #[test]
    fn equal_bytes_have_the_same_messages() {
        let mut repeats = Repeats::default();
        note(&mut repeats, b"abcd", &[(0, 7), (1, 3), (0, 8)]);
        assert!(repeats.find(0, b"abce").is_none());
        assert!(repeats.find(0, b"abc").is_none());
        assert!(repeats.find(1, b"abcd").is_none(), "another topic");
        let repeat = repeats.find(0, b"abcd").expect("noted");
        assert_eq!(repeat.spans, [(0, 7..9), (1, 3..4)]);
        assert_eq!(repeat.messages.len(), 3);
    }

    #[test]
    fn four_are_remembered_and_the_oldest_goes_first() {
        let mut repeats = Repeats::default();
        let all: [&[u8]; 5] = [b"0", b"1", b"2", b"3", b"4"];
        for (sequence, bytes) in all.iter().enumerate() {
            note(&mut repeats, bytes, &[(0, sequence as u32)]);
        }
        let found: Vec<bool> = all.iter().map(|bytes| repeats.find(0, bytes).is_some()).collect();
        assert_eq!(found, [false, true, true, true, true]);
    }

    #[test]
    fn what_is_replaced_is_settled_first() {
        let mut repeats = Repeats::default();
        note(&mut repeats, b"a", &[(0, 0)]);
        repeats.find(0, b"a").expect("noted").times += 2;
        let mut settled = 0;
        for _ in 0..REMEMBERED {
            repeats.begin(0, b"b", |repeat| settled += std::mem::take(&mut repeat.times));
            repeats.end();
        }
        assert_eq!(settled, 2);
    }

    #[test]
    fn nothing_is_remembered_of_what_is_out_of_order_or_no_message() {
        let mut repeats = Repeats::default();
        note(&mut repeats, b"gap", &[(0, 1), (0, 3)]);
        assert!(repeats.find(0, b"gap").is_none());
        repeats.begin(0, b"ping", |_| {});
        repeats.note(message(0, 1));
        repeats.forget();
        repeats.note(message(0, 2));
        repeats.end();
        assert!(repeats.find(0, b"ping").is_none());
        note(&mut repeats, b"", &[]);
        assert!(repeats.find(0, b"").is_none());
    }

    #[test]
    fn publishers_in_one_receive_are_bounded() {
        let mut repeats = Repeats::default();
        let all: Vec<(usize, u32)> = (0..=MOST_PUBLISHERS).map(|place| (place, 0)).collect();
        note(&mut repeats, b"many", &all);
        assert!(repeats.find(0, b"many").is_none());
        note(&mut repeats, b"many", &all[1..]);
        assert!(repeats.find(0, b"many").is_some());
    }
}
