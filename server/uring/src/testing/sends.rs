use std::collections::BTreeSet;

use super::FakeRing;
use crate::completion::SendOutcome;
use crate::errno::Errno;
use crate::op::{File, assert_sendable};

/// What a batch of sends does.
impl FakeRing {
    /// Each send is the bytes of its parts, one after the other. A short one may end anywhere in them.
    pub(super) fn send_all<'a, P: AsRef<[&'a [u8]]>>(
        &mut self,
        sends: impl Iterator<Item = (File, P)>,
        outcomes: &mut Vec<SendOutcome>,
    ) {
        self.submit();
        let first = outcomes.len();
        let mut files = BTreeSet::new();
        let mut shortened = BTreeSet::new();
        for (index, (file, parts)) in (0..).zip(sends) {
            let parts = parts.as_ref();
            self.stats.sends += 1;
            self.stats.sqes += 1;
            let connection = self.open(file, || format!("send {index} of a batch"));
            assert!(
                files.insert(file.0) || self.double_sends_permitted,
                "send {index} of a batch is the second to {file:?}: a short first one would tear the stream"
            );
            assert_sendable(index, parts);
            let length = parts.iter().map(|part| part.len()).sum();
            let refused = self.chance(self.faults.refused_send);
            let short = self.chance(self.faults.short_send);
            let end = &mut self.connections[connection as usize];
            let error = end.send_error();
            let mut count = end.room().min(length);
            if refused {
                count = 0;
            } else if short {
                count = self.rng.usize(..=count);
            }
            if let Some(errno) = error {
                self.stats.sends_refused += 1;
                outcomes.push(SendOutcome { index, result: Err(errno) });
                continue;
            }
            if shortened.contains(&file.0) {
                count = length;
            }
            let mut left = count;
            for part in parts {
                let taken = left.min(part.len());
                end.outbound.extend_from_slice(&part[..taken]);
                left -= taken;
            }
            if count < length {
                shortened.insert(file.0);
            }
            if count == 0 {
                self.stats.sends_refused += 1;
                outcomes.push(SendOutcome { index, result: Err(Errno::EAGAIN) });
            } else if count < length {
                self.stats.sends_short += 1;
                let count = u32::try_from(count).expect("a sendable length has 31 bits");
                outcomes.push(SendOutcome { index, result: Ok(count) });
            }
        }
        self.rng.shuffle(&mut outcomes[first..]);
    }
}
