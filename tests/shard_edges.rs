//! Edges of the shard, one test each, on a fake ring that does as it is told: peers that do not read, logs that are full, cancels
//! that come too late, stops in the middle of something. The random counterpart is `shard_faults`.

mod shard_edges {
    mod address;
    mod drain;
    mod echo;
    mod laggers;
    mod publishers;
    mod rfc6455;
    mod rfc7692;
    mod server;
    mod slots;
    mod timeouts;
    mod upgrade;
}
