//! Which worker, and which of its connections, each publisher belongs to.
//!
//! Publishers are dealt out to connections in turn, and connections to workers. A worker numbers its own connections in the
//! order of the deal, and its publishers round by round: the first one of each of its connections, then the second ones.

/// The number of subscribers (or publisher connections) that worker `worker` of `workers` has, out of `total`.
pub(crate) fn share(total: u32, worker: usize, workers: usize) -> usize {
    (total as usize + workers - 1 - worker) / workers
}

/// What one worker has of all publishers. "Own" numbers are this worker's, others are the run's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dealing {
    pub(crate) publishers: u32,
    pub(crate) connections: u32,
    pub(crate) worker: usize,
    pub(crate) workers: usize,
}

impl Dealing {
    pub(crate) fn own_connections(&self) -> usize {
        share(self.connections, self.worker, self.workers)
    }

    pub(crate) fn own_publishers(&self) -> usize {
        let whole_rounds = (self.publishers / self.connections) as usize;
        // The last round reaches the first connections only.
        let rest = share(self.publishers % self.connections, self.worker, self.workers);
        whole_rounds * self.own_connections() + rest
    }

    /// The publisher with this own number.
    pub(crate) fn publisher(&self, own: usize) -> u32 {
        let round = own / self.own_connections();
        let connection = self.own_connection_of(own) * self.workers + self.worker;
        round as u32 * self.connections + connection as u32
    }

    /// The own connection of an own publisher.
    pub(crate) fn own_connection_of(&self, own: usize) -> usize {
        own % self.own_connections()
    }

    /// Own publishers of an own connection, ascending. The first one has the connection's number.
    pub(crate) fn own_publishers_of(&self, connection: usize) -> impl Iterator<Item = usize> + use<> {
        (connection..self.own_publishers()).step_by(self.own_connections())
    }

    pub(crate) fn worker_of(&self, publisher: u32) -> usize {
        (publisher % self.connections) as usize % self.workers
    }

    /// The own number of a publisher; `None` for another worker's, and for one that there is not.
    pub(crate) fn own_number_of(&self, publisher: u32) -> Option<usize> {
        if publisher >= self.publishers || self.worker_of(publisher) != self.worker {
            return None;
        }
        let connection = (publisher % self.connections) as usize / self.workers;
        Some((publisher / self.connections) as usize * self.own_connections() + connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(publishers: u32, connections: u32, workers: usize) -> Vec<Dealing> {
        (0..workers).map(|worker| Dealing { publishers, connections, worker, workers }).collect()
    }

    /// The publishers of each own connection.
    fn hands(dealing: &Dealing) -> Vec<Vec<u32>> {
        (0..dealing.own_connections())
            .map(|connection| {
                dealing.own_publishers_of(connection).map(|own| dealing.publisher(own)).collect()
            })
            .collect()
    }

    #[test]
    fn shares_add_up_and_match_the_round_robin() {
        assert_eq!([share(10, 0, 3), share(10, 1, 3), share(10, 2, 3)], [4, 3, 3]);
        assert_eq!([share(1, 0, 2), share(1, 1, 2)], [1, 0]);
        assert_eq!(share(0, 0, 1), 0);
    }

    #[test]
    fn publishers_are_dealt_out_to_connections_and_those_to_workers() {
        let [first, second] = dealt(11, 3, 2)[..] else { unreachable!("two workers") };
        assert_eq!(hands(&first), [vec![0, 3, 6, 9], vec![2, 5, 8]]);
        assert_eq!(hands(&second), [vec![1, 4, 7, 10]]);
        assert_eq!((first.own_publishers(), second.own_publishers()), (7, 4));
        assert_eq!([0, 1, 2, 3, 6].map(|own| first.publisher(own)), [0, 2, 3, 5, 9]);
    }

    #[test]
    fn a_connection_each_is_one_round() {
        let [first, second] = dealt(5, 5, 2)[..] else { unreachable!("two workers") };
        assert_eq!(hands(&first), [[0], [2], [4]]);
        assert_eq!(hands(&second), [[1], [3]]);
    }

    #[test]
    fn a_worker_may_have_none() {
        let dealing = dealt(9, 1, 2)[1];
        assert_eq!((dealing.own_connections(), dealing.own_publishers()), (0, 0));
        assert_eq!(dealing.own_number_of(0), None);
    }

    #[test]
    fn numbers_lead_there_and_back() {
        for (publishers, connections, workers) in [(20_000, 4, 2), (11, 3, 2), (7, 7, 3), (9, 1, 2)] {
            let dealings = dealt(publishers, connections, workers);
            for publisher in 0..publishers {
                let worker = dealings[0].worker_of(publisher);
                for dealing in &dealings {
                    let own = dealing.own_number_of(publisher);
                    assert_eq!(own.is_some(), dealing.worker == worker);
                    assert!(own.is_none_or(|own| dealing.publisher(own) == publisher));
                }
            }
            let sum: usize = dealings.iter().map(Dealing::own_publishers).sum();
            assert_eq!(sum, publishers as usize);
            assert!(dealings.iter().all(|dealing| dealing.own_number_of(publishers).is_none()));
        }
    }
}
