use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;

use super::connection::Kind;
use crate::completion::Completion;

/// Completions on their way to the caller: in order within a stream, in any order across streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    queues: BTreeMap<Stream, VecDeque<Pending>>,
    /// Numbers the completions that have no order among themselves.
    loose: u64,
    count: usize,
}

/// What keeps its order.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub(super) enum Stream {
    Listener(usize),
    Connection(u32),
    Loose(u64),
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) completion: Completion,
    pub(super) stream: Stream,
    /// The operation that is over when this has been handed out.
    pub(super) settles: Option<(u32, Kind)>,
    /// Whether it may be held back.
    pub(super) may_be_late: bool,
}

impl Streams {
    pub(super) fn push(&mut self, pending: Pending) {
        self.queues.entry(pending.stream).or_default().push_back(pending);
        self.count += 1;
    }

    /// A stream for one completion that has no order to keep.
    pub(super) fn loose(&mut self) -> Stream {
        self.loose += 1;
        Stream::Loose(self.loose)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.queues.values().flatten()
    }

    /// Takes up to `most` completions. A stream whose next completion may be late is held back with
    /// probability `late`.
    pub(super) fn take(&mut self, rng: &mut Rng, most: usize, late: f64) -> Vec<Pending> {
        let mut taken = Vec::new();
        let mut open: Vec<(Stream, VecDeque<Pending>)> = Vec::new();
        let mut held: Vec<(Stream, VecDeque<Pending>)> = Vec::new();
        let mut sort =
            |queue: (Stream, VecDeque<Pending>), rng: &mut Rng, open: &mut Vec<_>| match queue.1.front() {
                Some(next) if next.may_be_late && rng.f64() < late => held.push(queue),
                Some(_) => open.push(queue),
                None => {}
            };
        for queue in std::mem::take(&mut self.queues) {
            sort(queue, rng, &mut open);
        }
        while !open.is_empty() && taken.len() < most {
            let mut queue = open.swap_remove(rng.usize(..open.len()));
            taken.extend(queue.1.pop_front());
            sort(queue, rng, &mut open);
        }
        self.queues.extend(open);
        self.queues.extend(held);
        self.count -= taken.len();
        taken
    }
}
