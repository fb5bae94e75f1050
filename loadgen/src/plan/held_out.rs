//! The model held against runs that it was not fitted to.

use serde::Serialize;

use super::cost::{CostModel, Quantities};
use super::memory::{ENOUGH_CONNECTIONS, Holdings, MemoryModel};
use super::observation::Observation;
use super::target::Target;
use super::wire::Network;

/// How far a prediction may be off.
const MOST_TIME_ERROR: f64 = 0.25;
const MOST_MEMORY_ERROR: f64 = 0.1;
/// Opening fewer connections, over all runs, takes too few ticks to be compared.
const ENOUGH_CONNECTS: f64 = 50_000.0;
/// The kernel puts the first thousands of sockets into what earlier ones have left half full.
const ENOUGH_FOR_KERNEL: f64 = 5_000.0;

/// A run beside what was predicted for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    pub run: String,
    /// The server's cores were full by the prediction, so it would send several messages at once; how many is taken from the run.
    pub is_coalesced: bool,
    /// Others ran on the server's cores, so what was measured is not the server's alone.
    pub is_disturbed: bool,
    pub figures: Vec<Figure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub what: What,
    pub predicted: f64,
    pub measured: f64,
    /// predicted / measured - 1; no number when nothing was measured.
    pub error: f64,
    pub most_error: f64,
    pub is_within: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Of the measured window.
    BusySeconds,
    ConnectBusySeconds,
    ResidentBytes,
    /// Of both ends.
    KernelBytes,
}

impl Figure {
    fn new(what: What, predicted: f64, measured: f64) -> Self {
        let most_error = match what {
            What::BusySeconds | What::ConnectBusySeconds => MOST_TIME_ERROR,
            What::ResidentBytes | What::KernelBytes => MOST_MEMORY_ERROR,
        };
        let error = predicted / measured - 1.0;
        Self { what, predicted, measured, error, most_error, is_within: error.abs() <= most_error }
    }
}

impl Prediction {
    /// From the run's connections, topics, rate, size and fan-out, as a plan would have it.
    pub(super) fn of(run: &Observation, costs: &CostModel, memory: &MemoryModel, network: Network) -> Self {
        let planned = Target::like(run, network).second(1.0, run.cores, run.shards);
        let alone = costs.busy(&planned) * run.window_seconds;
        let is_coalesced = alone > run.cores * run.window_seconds;
        let busy = if is_coalesced {
            // A full core sends what has come together since its last send; that many sends it made.
            let as_counted = run.quantities();
            let (sends, passes) =
                (as_counted.sends / run.window_seconds, as_counted.passes / run.window_seconds);
            let counted = Quantities { sends, passes, ..planned };
            costs.busy(&counted) * run.window_seconds
        } else {
            alone
        };
        let mut figures = vec![Figure::new(What::BusySeconds, busy, run.busy_seconds)];
        if run.connections >= ENOUGH_CONNECTIONS {
            let resident = memory.resident_bytes(&Holdings::of(run));
            figures.push(Figure::new(What::ResidentBytes, resident, run.memory.resident_bytes_end));
        }
        let kernel = memory.kernel_bytes_both_ends.zip(run.memory.kernel_bytes);
        if let Some((each, measured)) = kernel.filter(|_| run.connections >= ENOUGH_FOR_KERNEL) {
            figures.push(Figure::new(What::KernelBytes, each * run.connections, measured));
        }
        Self { run: run.run.clone(), is_coalesced, is_disturbed: run.is_disturbed(), figures }
    }

    /// Of all runs together: in one there are too few ticks while connections are opened.
    pub(super) fn of_connects(runs: &[Observation], costs: &CostModel) -> Option<Self> {
        let connects: f64 = runs.iter().map(|run| run.connects).sum();
        let measured: f64 = runs.iter().map(|run| run.connect_busy_seconds).sum();
        (connects >= ENOUGH_CONNECTS).then(|| Self {
            run: "all of them together".to_owned(),
            is_coalesced: false,
            is_disturbed: runs.iter().any(Observation::is_disturbed),
            figures: vec![Figure::new(What::ConnectBusySeconds, costs.connect.seconds * connects, measured)],
        })
    }

    pub fn is_within(&self) -> bool {
        self.figures.iter().all(|figure| figure.is_within)
    }
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{Costs, Work, run};
    use super::super::target::tests::target;
    use super::*;

    const COSTS: Costs = Costs {
        send: 2.7e-6,
        far: 1.1e-6,
        near: 1_000.0,
        byte: 0.0,
        pass: 8e-6,
        message: 0.5e-6,
        relay: 0.0,
        compression: 0.0,
        rest: 0.004,
    };

    fn predicted(held_out: &Observation) -> Prediction {
        let works = [
            Work { subscribers: 100.0, rate: 1_003.0, ..Work::default() },
            Work { subscribers: 1_000.0, rate: 97.3, ..Work::default() },
            Work { subscribers: 10.0, rate: 6_007.0, ..Work::default() },
            Work { subscribers: 5_000.0, rate: 29.3, ..Work::default() },
            Work { subscribers: 3_000.0, rate: 29.3, ..Work::default() },
            Work { subscribers: 10.0, rate: 1.3, ..Work::default() },
            Work { subscribers: 1_000.0, rate: 47.3, size: 16_384.0, ..Work::default() },
            Work { subscribers: 10.0, rate: 300_007.0, messages_per_send: 64.0, ..Work::default() },
        ];
        let runs = works.map(|work| run("fitted.json", &work, &COSTS));
        let (costs, memory) = (CostModel::fit(&runs), MemoryModel::fit(&runs));
        Prediction::of(held_out, &costs, &memory, target().network)
    }

    fn large() -> Observation {
        run("large.json", &Work { subscribers: 19_000.0, rate: 7.3, ..Work::default() }, &COSTS)
    }

    #[test]
    fn a_larger_run_is_predicted_from_its_setup() {
        let prediction = predicted(&large());
        let whats: Vec<What> = prediction.figures.iter().map(|figure| figure.what).collect();
        assert_eq!(whats, [What::BusySeconds, What::ResidentBytes, What::KernelBytes]);
        for figure in &prediction.figures {
            assert!(figure.error.abs() < 1e-3, "{figure:?}");
        }
        assert!(prediction.is_within() && !prediction.is_coalesced);
    }

    #[test]
    fn a_full_core_is_predicted_with_the_sends_it_made() {
        let work = Work { subscribers: 1_000.0, rate: 3_000.0, messages_per_send: 8.7, ..Work::default() };
        let prediction = predicted(&run("full.json", &work, &COSTS));
        assert!(prediction.is_coalesced, "8.1 cores would be busy if each message went alone");
        assert!(prediction.figures[0].error.abs() < 1e-3, "{prediction:?}");
    }

    #[test]
    fn opening_connections_is_compared_over_all_runs() {
        let costs = CostModel::fit(&[large()]);
        assert_eq!(Prediction::of_connects(&[large(), large()], &costs), None, "38,000");
        let three = Prediction::of_connects(&[large(), large(), large()], &costs).expect("57,000");
        let figure = three.figures[0];
        assert_eq!((figure.what, (figure.measured * 1e3).round()), (What::ConnectBusySeconds, 570.0));
        assert!(three.is_within() && figure.error.abs() < 1e-9);
    }

    #[test]
    fn memory_of_few_connections_is_not_compared() {
        let few = run("few.json", &Work { subscribers: 999.0, ..Work::default() }, &COSTS);
        let whats: Vec<What> = predicted(&few).figures.iter().map(|figure| figure.what).collect();
        assert_eq!(whats, [What::BusySeconds]);
    }

    #[test]
    fn what_is_off_by_more_than_the_bound_is_not_within() {
        let mut run = large();
        run.busy_seconds *= 1.24;
        assert!(predicted(&run).is_within(), "0.806 of what was measured");
        run.busy_seconds *= 1.1;
        assert!(!predicted(&run).is_within(), "0.733");
        let mut run = large();
        run.memory.resident_bytes_end *= 1.12;
        assert!(!predicted(&run).is_within());
        let mut run = large();
        run.busy_seconds = 0.0;
        assert!(!predicted(&run).is_within(), "nothing was measured");
    }
}
