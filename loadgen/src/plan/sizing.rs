//! How many cores, and how many hosts: the fewest whose share of the work leaves the headroom free.

use serde::Serialize;

use super::cost::{CostModel, Quantities, Term};
use super::target::Target;
use super::wire::Traffic;

/// More cores or hosts than this are no plan.
const MOST: u64 = 1 << 20;

/// What each host has, and what part of it stays free.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HostLimits {
    pub cores: u64,
    pub memory_bytes: f64,
    pub link_bits_per_second: f64,
    pub headroom: f64,
}

/// One host's share of the work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Cores, a shard on each.
    pub cores: u64,
    pub busy_cores: f64,
    /// Busy cores by what they are busy with.
    pub parts: Vec<(Term, f64)>,
    pub connect_busy_cores: f64,
    pub second: Quantities,
    pub traffic: Traffic,
}

/// Hosts by what asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hosts {
    pub for_cores: u64,
    pub for_memory: u64,
    pub for_link: u64,
    /// All three are satisfied.
    pub needed: u64,
    /// With one more, so that any one may be missing.
    pub with_spare: u64,
}

/// The work of one of `hosts` hosts on the fewest cores that leave the headroom free, if there are enough cores.
pub(super) fn share(
    model: &CostModel,
    target: &Target,
    hosts: u64,
    most_cores: u64,
    headroom: f64,
) -> Option<Share> {
    let on = |cores: u64| Share::of(model, target, hosts, cores);
    let fits = |cores: u64| on(cores).busy_cores <= (1.0 - headroom) * cores as f64;
    fewest(most_cores, fits).map(on)
}

impl Share {
    /// The work of one of `hosts` hosts with so many cores, whatever they can do.
    pub(super) fn of(model: &CostModel, target: &Target, hosts: u64, cores: u64) -> Self {
        let second = target.second(hosts as f64, cores as f64, cores as f64);
        let connect_busy_cores = target.churn / hosts as f64 * model.connect.seconds;
        Self {
            cores,
            busy_cores: model.busy(&second) + connect_busy_cores,
            parts: model.parts(&second).collect(),
            connect_busy_cores,
            second,
            traffic: target.traffic(hosts as f64),
        }
    }
}

impl HostLimits {
    fn takes_traffic(&self, traffic: Traffic) -> bool {
        let free = self.link_bits_per_second * (1.0 - self.headroom);
        traffic.out * 8.0 <= free && traffic.back * 8.0 <= free
    }

    /// The fewest hosts. `memory_bytes` says what each of so many needs, with so many cores in use. None when no number is
    /// enough, for what every host does, such as taking each message in, is too much for one.
    pub(super) fn hosts(
        &self,
        model: &CostModel,
        target: &Target,
        memory_bytes: impl Fn(u64, u64) -> f64,
    ) -> Option<Hosts> {
        let share = |hosts: u64| share(model, target, hosts, self.cores, self.headroom);
        let for_cores = fewest(MOST, |hosts| share(hosts).is_some())?;
        let for_memory = fewest(MOST, |hosts| {
            let cores = share(hosts).map_or(self.cores, |share| share.cores);
            memory_bytes(hosts, cores) <= self.memory_bytes * (1.0 - self.headroom)
        })?;
        let for_link = fewest(MOST, |hosts| self.takes_traffic(target.traffic(hosts as f64)))?;
        let needed = for_cores.max(for_memory).max(for_link);
        Some(Hosts { for_cores, for_memory, for_link, needed, with_spare: needed + 1 })
    }
}

/// The smallest number from 1 to `most` that is enough; with more it is enough too.
fn fewest(most: u64, is_enough: impl Fn(u64) -> bool) -> Option<u64> {
    let mut too_few = 0;
    let mut enough = 1;
    while !is_enough(enough) {
        too_few = enough;
        if enough == most {
            return None;
        }
        enough = (enough * 2).min(most);
    }
    while enough - too_few > 1 {
        let middle = too_few.midpoint(enough);
        if is_enough(middle) { enough = middle } else { too_few = middle }
    }
    Some(enough)
}

#[cfg(test)]
mod tests {
    use super::super::cost::{ConnectCost, Cost, Known};
    use super::super::target::tests::target;
    use super::*;

    /// A send takes 3 us, a pass 10 us, a connect 20 us; nothing else costs.
    fn model() -> CostModel {
        let seconds = |term| match term {
            Term::Send => 3e-6,
            Term::Pass => 10e-6,
            _ => 0.0,
        };
        CostModel {
            costs: Term::ALL.map(|term| Cost { term, seconds: seconds(term), known: Known::Yes }).to_vec(),
            near: 1e9,
            connect: ConnectCost { seconds: 20e-6, ..ConnectCost::default() },
            runs: Vec::new(),
        }
    }

    const HOST: HostLimits =
        HostLimits { cores: 4, memory_bytes: 1e9, link_bits_per_second: 1e9, headroom: 0.3 };

    #[test]
    fn cores_are_the_busy_ones_and_the_headroom() {
        // 200,000 sends of 3 us and 200 passes of 10 us: 0.602 cores, of 0.7 that one may be busy.
        let one = share(&model(), &target(), 1, 100, 0.3).expect("enough cores");
        assert_eq!((one.cores, (one.busy_cores * 1e3).round()), (1, 602.0));
        let two = share(&model(), &target(), 1, 100, 0.4).expect("enough cores");
        assert_eq!(two.cores, 2);
        assert!(share(&model(), &target(), 1, 1, 0.4).is_none());
        let coming = Target { churn: 10_000.0, ..target() };
        let coming = share(&model(), &coming, 1, 100, 0.3).expect("enough cores");
        assert_eq!(((coming.busy_cores * 1e3).round(), coming.cores), (802.0, 2));
    }

    #[test]
    fn hosts_are_counted_by_what_asks_for_most_of_them() {
        let more = Target { rate: 2_000.0, connections: 1e6, ..target() };
        let memory = |hosts: u64, _cores: u64| 5e9 / hosts as f64;
        let hosts = HOST.hosts(&model(), &more, memory).expect("hosts that suffice");
        // 6.02 busy cores; 2.8 of each host may be.
        assert_eq!(hosts.for_cores, 3);
        // 5 GB; 0.7 GB of each host may be used.
        assert_eq!(hosts.for_memory, 8);
        // 2,000,000 x 156 x 8 bits = 2.5 Gbit/s; 0.7 of each link.
        assert_eq!(hosts.for_link, 4);
        assert_eq!((hosts.needed, hosts.with_spare), (8, 9));
    }

    #[test]
    fn one_host_that_suffices_still_gets_a_spare() {
        let hosts = HOST.hosts(&model(), &target(), |_, _| 1e6).expect("hosts that suffice");
        assert_eq!((hosts.needed, hosts.with_spare), (1, 2));
    }

    #[test]
    fn what_every_host_must_do_can_be_too_much() {
        // 400,000 messages a second are 4 cores on every host.
        let flooded = Target { rate: 400_000.0, fan_out: 1.0, ..target() };
        assert_eq!(HOST.hosts(&model(), &flooded, |_, _| 1e6), None);
    }

    #[test]
    fn the_fewest_are_found_at_every_bound() {
        for wanted in 1..=20 {
            assert_eq!(fewest(20, |count| count >= wanted), Some(wanted));
        }
        assert_eq!(fewest(20, |count| count >= 21), None);
        assert_eq!(fewest(1, |_| false), None);
    }
}
