//! What subscribers receive that are not steady: checked like the rest, measured and counted for themselves.

use serde::{Deserialize, Serialize};

use crate::groups::{Group, Groups};
use crate::json_dialect::Missed;
use crate::measure::Measure;
use crate::receiver::Receiver;

/// One group's figures.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Aside {
    pub(crate) measure: Measure,
    #[serde(skip)]
    undecided: Vec<(u32, u32, Missed)>,
}

/// The figures of the groups that have subscribers. Boxed: histograms are large.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Asides {
    pub(crate) churning: Option<Box<Aside>>,
    pub(crate) slow: Option<Box<Aside>>,
    #[serde(skip)]
    is_in_hand: bool,
}

impl Asides {
    pub(super) fn new(groups: Groups) -> Self {
        let aside = |subscribers: u32| (subscribers > 0).then(Box::default);
        Self { churning: aside(groups.churning), slow: aside(groups.slow), is_in_hand: false }
    }

    pub(super) fn has(&self, group: Group) -> bool {
        match group {
            Group::Steady => false,
            Group::Churning => self.churning.is_some(),
            Group::Slow => self.slow.is_some(),
        }
    }

    /// What comes now is not a steady subscriber's.
    pub(super) fn is_in_hand(&self) -> bool {
        self.is_in_hand
    }
}

impl Receiver {
    /// Changes between the figures of the steady subscribers and those of a group, and back with the next call.
    #[inline]
    pub(crate) fn change_group(&mut self, group: Group) {
        let Self { asides, measure, undecided, .. } = self;
        let aside = match group {
            Group::Steady => return,
            Group::Churning => &mut asides.churning,
            Group::Slow => &mut asides.slow,
        };
        let aside = aside.as_mut().expect("a group with subscribers has figures");
        std::mem::swap(measure, &mut aside.measure);
        std::mem::swap(undecided, &mut aside.undecided);
        asides.is_in_hand = !asides.is_in_hand;
    }
}
