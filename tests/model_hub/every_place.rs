//! Every pass over one to five members in batches of one to five, in both encodings, with a join, a leave or a full socket at every place in
//! it, and every choice of members whose sockets are slow.

use super::world::World;
use corecast::config::LagPolicy;
use corecast::hub::HubLimits;
use corecast::ids::{Encoding, Form, Slot, Variant};
use corecast_tests::choices::Choices;
use fastrand::Rng;

const MEMBERS_MAX: u32 = 5;

/// The one who joins.
const NEWCOMER: Slot = Slot(MEMBERS_MAX);

#[derive(Copy, Clone, PartialEq, Debug)]
enum Change {
    Join,
    /// Of the member at this index, as they joined.
    Leave(u32),
    /// The same, but the frame it is inside is finished.
    Close(u32),
    /// A leave, and at once the same slot joins again.
    Rejoin(u32),
    /// A reply to this one does not go out: its socket is full before the topic's turn has come.
    Hold(u32),
    /// Somebody joins, and its socket is full at once.
    JoinHeld,
    /// Everybody leaves and somebody joins.
    Exchange,
}

#[derive(Copy, Clone, Debug)]
struct Case {
    encoding: Encoding,
    members: u32,
    max: usize,
    /// Batches before the change.
    place: usize,
    change: Change,
    /// A bit for each member whose socket takes seven bytes and then nothing.
    slow: u32,
    /// Chunks, hence regions, that the first pass goes over.
    regions: usize,
}

#[test]
fn a_pass_is_whole_whoever_joins_or_leaves_wherever() {
    let mut rng = Rng::with_seed(0);
    for members in 1..=MEMBERS_MAX {
        for max in 1..=5 {
            for regions in 1..=2 {
                let batches = (members as usize).div_ceil(max) * regions;
                for place in 0..=batches {
                    for slow in 0..1 << members {
                        for change in changes(members) {
                            // The lists are the same in both: five JSON members show no more than four.
                            let encodings = if members < MEMBERS_MAX { 2 } else { 1 };
                            for encoding in Encoding::ALL.into_iter().take(encodings) {
                                let case = Case { encoding, members, max, place, change, slow, regions };
                                let named = NamedOnPanic(case);
                                run(case, &mut rng);
                                drop(named);
                            }
                        }
                    }
                }
            }
        }
    }
}

fn changes(members: u32) -> impl Iterator<Item = Change> {
    let of_each = (0..members).flat_map(|index| {
        [Change::Leave(index), Change::Close(index), Change::Rejoin(index), Change::Hold(index)]
    });
    [Change::Join, Change::JoinHeld, Change::Exchange].into_iter().chain(of_each)
}

fn run(case: Case, rng: &mut Rng) {
    let limits = HubLimits {
        max_subscribers: 10,
        log_bytes: 1 << 20,
        topic_log_bytes: 64 << 10,
        lag_policy: LagPolicy::Disconnect,
    };
    let mut world = World::new(limits, MEMBERS_MAX + 1, Choices::of_seed(rng));
    let topic = world.open("a", 0);
    for member in 0..case.members {
        let room = if case.slow & 1 << member == 0 { usize::MAX } else { 7 };
        subscribe(&mut world, Slot(member), topic, case.encoding, room);
    }
    let publish = |world: &mut World, text: &str| {
        world.publish(topic, Form::Text, text.as_bytes()).unwrap();
    };
    publish(&mut world, "first");
    publish(&mut world, "second");
    if case.regions == 2 {
        // Does not go into what is left of the first chunk.
        publish(&mut world, &"long".repeat(1000));
    }

    for _ in 0..case.place {
        world.pass(case.max);
    }
    apply(&mut world, topic, case);
    // What is published after it goes to the newcomer, and to everybody after what they have.
    publish(&mut world, "third");
    while world.has_ready() {
        world.pass(case.max);
    }
    publish(&mut world, "fourth");
    world.come_to_rest(case.max);
    world.end();
}

fn apply(world: &mut World, topic: usize, case: Case) {
    match case.change {
        Change::Join => subscribe(world, NEWCOMER, topic, case.encoding, usize::MAX),
        Change::Leave(index) => world.die(Slot(index)),
        Change::Close(index) => world.close(Slot(index)),
        Change::Rejoin(index) => {
            world.die(Slot(index));
            subscribe(world, Slot(index), topic, case.encoding, usize::MAX);
        }
        Change::Hold(index) => hold(world, Slot(index)),
        Change::JoinHeld => {
            subscribe(world, NEWCOMER, topic, case.encoding, 0);
            hold(world, NEWCOMER);
        }
        Change::Exchange => {
            for index in 0..case.members {
                world.die(Slot(index));
            }
            subscribe(world, NEWCOMER, topic, case.encoding, usize::MAX);
        }
    }
}

fn subscribe(world: &mut World, slot: Slot, topic: usize, encoding: Encoding, room: usize) {
    world.connect(slot, Variant::plain(encoding), room);
    world.subscribe(slot, topic);
}

fn hold(world: &mut World, slot: Slot) {
    world.connections[slot.index()].room = 0;
    world.reply(slot, 1);
    world.attend();
}

struct NamedOnPanic(Case);

impl Drop for NamedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: {:?}", self.0);
        }
    }
}
