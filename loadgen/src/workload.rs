//! Workloads by name: built-in scenario files, and the options that only some of them need.

use clap::ValueEnum;

/// What is to be done to a server; what is known about that server is its [preset](crate::preset::Preset).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// One topic, one publisher, 1,000 subscribers
    FanOut,
    /// 100 topics with 10 subscribers each and a publisher for every one
    Rooms,
    /// 50 publishers on one topic with 200 subscribers
    ManyToMany,
    /// Fan-out while 100 connections a second leave and others come
    Churn,
    /// Fan-out through a restart of the server: everybody comes back, with back-off
    Storm,
    /// Fan-out while every twentieth subscriber reads slower than the messages come
    SlowConsumers,
}

impl Workload {
    /// As it is written on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FanOut => "fan-out",
            Self::Rooms => "rooms",
            Self::ManyToMany => "many-to-many",
            Self::Churn => "churn",
            Self::Storm => "storm",
            Self::SlowConsumers => "slow-consumers",
        }
    }

    /// Its scenario file.
    pub const fn file(self) -> &'static str {
        match self {
            Self::FanOut => include_str!("../scenarios/fan-out.toml"),
            Self::Rooms => include_str!("../scenarios/rooms.toml"),
            Self::ManyToMany => include_str!("../scenarios/many-to-many.toml"),
            Self::Churn => include_str!("../scenarios/churn.toml"),
            Self::Storm => include_str!("../scenarios/storm.toml"),
            Self::SlowConsumers => include_str!("../scenarios/slow-consumers.toml"),
        }
    }
}
