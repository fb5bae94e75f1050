//! Which publishers have something to do: they come up by their time, or by what happened to their messages, and nobody
//! goes over all of them.
//!
//! One that comes up queues for its connection. There it stays while the connection takes nothing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Publishers that come up by time in one turn. The others follow in the next one: turns stay short, and with them the
/// time that what arrives waits.
const MOST_A_TURN: usize = 512;

/// The agenda of one worker. Publishers and connections go by the worker's own numbers.
#[derive(Debug)]
pub(super) struct Agenda {
    /// When publishers come up next. Entries that [`Entry::wake_ns`] does not confirm are out of date.
    times: BinaryHeap<Reverse<(u64, u32)>>,
    entries: Box<[Entry]>,
    pub(super) lines: Box<[Line]>,
    /// Lines with a queue.
    busy: Vec<u32>,
    /// Publishers that never come up again, and of which that is still to be told.
    over: Vec<u32>,
}

/// A publisher's place in the agenda.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// When it comes up; `u64::MAX` when only what happens to its messages brings it up.
    wake_ns: u64,
    line: u32,
    is_queued: bool,
    is_over: bool,
}

/// A connection as its publishers see it.
#[derive(Debug, Default)]
pub(super) struct Line {
    queue: VecDeque<u32>,
    /// It is among the busy ones.
    is_busy: bool,
    /// Somebody had something to send, but the connection took nothing.
    is_held: bool,
    /// Since when the connection takes messages again.
    clear_since_ns: u64,
}

impl Agenda {
    /// For publishers on these lines.
    pub(super) fn new(line_of: impl Iterator<Item = usize>, lines: usize) -> Self {
        let entry = |line| Entry { wake_ns: u64::MAX, line: line as u32, is_queued: false, is_over: false };
        Self {
            times: BinaryHeap::new(),
            entries: line_of.map(entry).collect(),
            lines: (0..lines).map(|_| Line::default()).collect(),
            busy: Vec::new(),
            over: Vec::new(),
        }
    }

    /// The publisher comes up at this time at the latest.
    pub(super) fn wake_at(&mut self, publisher: usize, wake_ns: u64) {
        let entry = &mut self.entries[publisher];
        if wake_ns < entry.wake_ns && !entry.is_over {
            entry.wake_ns = wake_ns;
            self.times.push(Reverse((wake_ns, publisher as u32)));
        }
    }

    /// The publisher comes up now.
    pub(super) fn queue(&mut self, publisher: usize) {
        let entry = &mut self.entries[publisher];
        if std::mem::replace(&mut entry.is_queued, true) || entry.is_over {
            return;
        }
        let line = &mut self.lines[entry.line as usize];
        line.queue.push_back(publisher as u32);
        if !std::mem::replace(&mut line.is_busy, true) {
            self.busy.push(entry.line);
        }
    }

    /// Those whose time has come, in the order of their times.
    pub(super) fn queue_due(&mut self, now_ns: u64) {
        for _ in 0..MOST_A_TURN {
            match self.times.peek() {
                Some(&Reverse((wake_ns, _))) if wake_ns <= now_ns => self.queue_first(),
                _ => return,
            }
        }
    }

    /// Everybody who has a time: it may be another one now.
    pub(super) fn queue_all(&mut self) {
        while !self.times.is_empty() {
            self.queue_first();
        }
    }

    /// The next time that somebody comes up by.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.times.peek().map(|&Reverse((wake_ns, _))| wake_ns)
    }

    /// Calls `serve` with each line that has a queue. It is to let the queue's publishers send as far as possible.
    pub(super) fn each_busy(&mut self, mut serve: impl FnMut(&mut Self, usize)) {
        let mut busy = std::mem::take(&mut self.busy);
        busy.retain(|&line| {
            let line = line as usize;
            serve(self, line);
            self.lines[line].is_busy = !self.lines[line].queue.is_empty();
            self.lines[line].is_busy
        });
        self.busy.extend(busy);
    }

    /// The publisher that has queued longest.
    pub(super) fn first(&self, line: usize) -> Option<usize> {
        self.lines[line].queue.front().map(|publisher| *publisher as usize)
    }

    /// The first one has sent all it could.
    pub(super) fn leave(&mut self, line: usize) {
        if let Some(publisher) = self.lines[line].queue.pop_front() {
            self.entries[publisher as usize].is_queued = false;
        }
    }

    /// The publisher never comes up again.
    pub(super) fn end(&mut self, publisher: usize) {
        if !std::mem::replace(&mut self.entries[publisher].is_over, true) {
            self.over.push(publisher as u32);
        }
    }

    /// Takes those that are over as long as `is_settled` agrees, so many at most. True when there may be more.
    pub(super) fn settle(&mut self, mut is_settled: impl FnMut(usize) -> bool) -> bool {
        for _ in 0..MOST_A_TURN {
            match self.over.last() {
                Some(&publisher) if is_settled(publisher as usize) => self.over.pop(),
                _ => return false,
            };
        }
        true
    }

    fn queue_first(&mut self) {
        let Some(Reverse((wake_ns, publisher))) = self.times.pop() else { return };
        let entry = &mut self.entries[publisher as usize];
        if entry.wake_ns == wake_ns {
            entry.wake_ns = u64::MAX;
            self.queue(publisher as usize);
        }
    }
}

impl Line {
    /// The connection takes nothing for now. Lateness from here until it does again is not the generator's.
    pub(super) fn hold(&mut self) {
        self.is_held = true;
    }

    /// The connection takes messages. Since when, if it did not before.
    pub(super) fn clear(&mut self, now_ns: u64) -> u64 {
        if std::mem::take(&mut self.is_held) {
            self.clear_since_ns = now_ns;
        }
        self.clear_since_ns
    }

    /// The first one has more to send than there is room for: the others are next.
    pub(super) fn rotate(&mut self) {
        if !self.queue.is_empty() {
            self.queue.rotate_left(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six publishers on two lines in turn.
    fn agenda() -> Agenda {
        Agenda::new((0..6).map(|publisher| publisher % 2), 2)
    }

    /// Everybody who is up, by line, in order. They leave.
    fn served(agenda: &mut Agenda) -> Vec<(usize, Vec<usize>)> {
        let mut served = Vec::new();
        agenda.each_busy(|agenda, line| {
            let mut publishers = Vec::new();
            while let Some(publisher) = agenda.first(line) {
                publishers.push(publisher);
                agenda.leave(line);
            }
            served.push((line, publishers));
        });
        served
    }

    #[test]
    fn publishers_come_up_in_the_order_of_their_times() {
        let mut agenda = agenda();
        for (publisher, wake_ns) in [(0, 300), (4, 100), (2, 200), (1, 201)] {
            agenda.wake_at(publisher, wake_ns);
        }
        assert_eq!(agenda.next_ns(), Some(100));
        agenda.queue_due(99);
        assert_eq!(served(&mut agenda), []);
        agenda.queue_due(200);
        assert_eq!(served(&mut agenda), [(0, vec![4, 2])]);
        assert_eq!(agenda.next_ns(), Some(201));
        agenda.queue_due(1_000);
        assert_eq!(served(&mut agenda), [(1, vec![1]), (0, vec![0])]);
        assert_eq!(agenda.next_ns(), None);
    }

    #[test]
    fn the_earlier_time_counts_once() {
        let mut agenda = agenda();
        agenda.wake_at(3, 500);
        agenda.wake_at(3, 900);
        assert_eq!(agenda.times.len(), 1, "a later time adds nothing");
        agenda.wake_at(3, 400);
        agenda.queue_due(400);
        assert_eq!(served(&mut agenda), [(1, vec![3])]);
        agenda.queue_due(1_000);
        assert_eq!(served(&mut agenda), [], "the time of 500 is out of date");
        agenda.wake_at(3, 600);
        agenda.queue_due(1_000);
        assert_eq!(served(&mut agenda), [(1, vec![3])]);
    }

    #[test]
    fn nobody_queues_twice() {
        let mut agenda = agenda();
        for publisher in [5, 1, 5, 0, 1] {
            agenda.queue(publisher);
        }
        assert_eq!(served(&mut agenda), [(1, vec![5, 1]), (0, vec![0])]);
        agenda.queue(5);
        assert_eq!(served(&mut agenda), [(1, vec![5])]);
    }

    #[test]
    fn a_line_that_takes_nothing_keeps_its_queue() {
        let mut agenda = agenda();
        for publisher in [0, 1, 2] {
            agenda.queue(publisher);
        }
        agenda.each_busy(|agenda, line| match line {
            0 => agenda.lines[0].hold(),
            _ => agenda.leave(line),
        });
        agenda.queue(4);
        assert_eq!(agenda.lines[0].clear(700), 700);
        assert_eq!(agenda.lines[0].clear(800), 700);
        assert_eq!(served(&mut agenda), [(0, vec![0, 2, 4])]);
        assert_eq!(agenda.lines[1].clear(900), 0, "it was never held");
    }

    #[test]
    fn with_more_to_send_than_there_is_room_for_others_are_next() {
        let mut agenda = agenda();
        for publisher in [2, 4, 0] {
            agenda.queue(publisher);
        }
        agenda.each_busy(|agenda, line| agenda.lines[line].rotate());
        assert_eq!(served(&mut agenda), [(0, vec![4, 0, 2])]);
        agenda.lines[0].rotate();
    }

    #[test]
    fn a_turn_takes_a_bounded_number() {
        let mut agenda = Agenda::new((0..20_000).map(|_| 0), 1);
        for publisher in 0..20_000 {
            agenda.wake_at(publisher, 7);
        }
        agenda.queue_due(7);
        assert_eq!(served(&mut agenda)[0].1.len(), 512);
        assert_eq!(agenda.next_ns(), Some(7));
        agenda.queue_all();
        assert_eq!(served(&mut agenda)[0].1.len(), 20_000 - 512);
    }

    #[test]
    fn whoever_is_over_is_told_once_and_never_comes_up() {
        let mut agenda = agenda();
        agenda.wake_at(3, 100);
        for publisher in [2, 3, 2] {
            agenda.end(publisher);
        }
        agenda.wake_at(2, 50);
        agenda.queue(2);
        agenda.queue_due(1_000);
        assert_eq!(served(&mut agenda), []);
        assert!(!agenda.settle(|_| false));
        let mut settled = Vec::new();
        assert!(!agenda.settle(|publisher| {
            settled.push(publisher);
            publisher == 3
        }));
        assert_eq!(settled, [3, 2], "2 waits for something");
        assert!(!agenda.settle(|publisher| publisher == 2));
        assert!(!agenda.settle(|_| panic!("both are settled")));
    }
}
