//! What hosts have to know of each other's publishers: what the server told those, and nobody else.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::part::Part;
use crate::scenario::Scenario;

/// Sequences in one line.
const MOST_SEQUENCES: usize = 50_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// Publishers, and sequences that the server refused.
    refused: Vec<(u32, Vec<u32>)>,
    /// Publishers, and the lowest offset that the server gave a measured message.
    offsets: Vec<(u32, u64)>,
}

impl Facts {
    /// Notes them where the workers look.
    pub(super) fn note(&self, control: &Control) {
        // What is no publisher's was not told by a worker of this run.
        for (publisher, sequences) in &self.refused {
            if let Some(board) = control.publishers.get(*publisher as usize) {
                board.refuse(sequences, 0);
            }
        }
        for (publisher, offset) in &self.offsets {
            if let Some(board) = control.publishers.get(*publisher as usize) {
                board.measured_offset.fetch_min(*offset, Ordering::Relaxed);
            }
        }
    }
}

/// Tells each of them once.
#[derive(Debug)]
pub(super) struct Teller {
    publishers: Vec<u32>,
    refused: HashMap<u32, Vec<u32>>,
    offsets: HashMap<u32, u64>,
}

impl Teller {
    /// Of the publishers here.
    pub(super) fn new(scenario: &Scenario, part: &Part) -> Self {
        let publishers =
            (0..scenario.publishers).filter(|publisher| part.has(scenario, *publisher)).collect();
        Self { publishers, refused: HashMap::new(), offsets: HashMap::new() }
    }

    /// What is new.
    pub(super) fn news(&mut self, control: &Control) -> Vec<Facts> {
        let mut news = Vec::new();
        let mut facts = Facts::default();
        let mut count = 0;
        for &publisher in &self.publishers {
            let board = &control.publishers[publisher as usize];
            let offset = board.measured_offset.load(Ordering::Relaxed);
            if offset != u64::MAX && self.offsets.insert(publisher, offset) != Some(offset) {
                facts.offsets.push((publisher, offset));
                count += 1;
            }
            let refused = board.refused_sequences();
            let known = self.refused.get(&publisher).map_or(&[][..], Vec::as_slice);
            if refused.len() > known.len() {
                let new = refused.iter().filter(|sequence| known.binary_search(sequence).is_err());
                let new: Vec<u32> = new.copied().collect();
                for part in new.chunks(MOST_SEQUENCES) {
                    facts.refused.push((publisher, part.to_vec()));
                    count += part.len();
                    if count >= MOST_SEQUENCES {
                        news.push(std::mem::take(&mut facts));
                        count = 0;
                    }
                }
                self.refused.insert(publisher, refused);
            }
        }
        if facts != Facts::default() {
            news.push(facts);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::deal;

    #[test]
    fn everything_is_told_once_and_known_there() {
        let scenario = Scenario::of(&["--publishers", "4"]);
        let (here, there) = (Control::new(2, 4, 1), Control::new(2, 4, 1));
        // Publishers 0 and 2 are here.
        let mut teller = Teller::new(&scenario, &Part::of(0, deal(&[1, 1]), None, 0));
        assert_eq!(teller.news(&here), []);
        here.publishers[2].refuse(&[4, 9], 2);
        here.publishers[1].refuse(&[7], 1);
        here.publishers[0].measured_offset.store(55, Ordering::Relaxed);
        let news = teller.news(&here);
        assert_eq!(news, [Facts { refused: vec![(2, vec![4, 9])], offsets: vec![(0, 55)] }]);
        here.publishers[2].refuse(&[6], 3);
        let more = teller.news(&here);
        assert_eq!(more, [Facts { refused: vec![(2, vec![6])], offsets: vec![] }]);
        assert_eq!(teller.news(&here), []);
        news.iter().chain(&more).for_each(|facts| facts.note(&there));
        assert_eq!(there.publishers[2].refused_sequences(), [4, 6, 9]);
        assert_eq!(there.measured_offset(0), Some(55));
    }
}
