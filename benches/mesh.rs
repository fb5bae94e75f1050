//! What a message costs on its way from a topic's home to another shard, without the waking of threads (which `mesh_hop` has):
//! asked for room, sent, rung for, taken and released, all on one thread.
//!
//! The item rate is messages per second; an iteration's time divided by its messages is that of one.

use corecast::ids::{Form, Now, Offset, ShardId, TopicId};
use corecast::mesh::{Capacity, Follower, Generation, Mesh, Relay, mesh};
use corecast::message::{Messages, SharedMessages};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const HOME: ShardId = ShardId(0);
const FOLLOWER: ShardId = ShardId(1);
/// As a link has with the default configuration.
const CAPACITY: Capacity = Capacity { messages: 1024, bytes: 512 << 10 };

fn main() {
    divan::main();
}

/// Both shards are awake, so the doorbell only remembers.
#[divan::bench(args = [1, 16, 256])]
fn relay_to_one_awake(bencher: Bencher<'_, '_>, messages: usize) {
    relay(bencher, messages, |_| {});
}

/// The follower lies down before: the first ring of each iteration wakes it, here by nothing but a call.
#[divan::bench(args = [1, 16, 256])]
fn relay_to_one_asleep(bencher: Bencher<'_, '_>, messages: usize) {
    relay(bencher, messages, |follower| {
        assert!(follower.doorbell().lie_down(), "everything that was rung for is taken");
    });
}

fn relay(bencher: Bencher<'_, '_>, messages: usize, before: impl Fn(&Mesh)) {
    let mut shards = mesh(2, CAPACITY, (1, 2));
    let (mut follower, home) = (shards.pop().expect("there are two"), shards.pop().expect("there are two"));
    follower.doorbell().connect(|| {
        black_box(());
    });
    let payload = Messages::one(Form::Text, &[b'x'; 64]).to_shared();
    bencher.counter(ItemsCount::new(messages)).bench_local(|| {
        before(&follower);
        for number in 0..messages {
            let relay = message(number, &payload);
            assert!(home.has_relay_room(FOLLOWER, 1, relay.bytes()), "everything before is released");
            home.relay(FOLLOWER, relay);
        }
        follower.doorbell().answer();
        follower.arrive(usize::MAX);
        let mut taken = 0;
        while let Some((relay, bytes)) = follower.take_relay(HOME) {
            black_box(&relay);
            follower.release_relay(HOME, bytes);
            taken += 1;
        }
        assert_eq!(taken, messages, "every message arrived");
    });
}

fn message(number: usize, payload: &SharedMessages) -> Relay {
    Relay::Messages {
        follower: Follower { topic: TopicId(0), generation: Generation(1) },
        first: Offset(number as u64 + 1),
        messages: payload.clone(),
        published: Now::default(),
    }
}
