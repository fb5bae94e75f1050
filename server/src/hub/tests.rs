//! What a hub does at its edges. Random runs against an oracle are in `tests/model_hub.rs`.

use super::*;
use crate::ids::Offset;

const NOW: Now = Now(0);

const TAIL_ROOM: usize = 1 << 20;

struct TestHub {
    hub: Hub,
    topic: TopicId,
    tail_room: usize,
}

impl TestHub {
    fn new(limits: HubLimits) -> Self {
        let mut hub = Hub::new(limits);
        let topic = hub.open(&name("a"), Epoch(7), NOW).unwrap();
        Self { hub, topic, tail_room: TAIL_ROOM }
    }

    fn publish(&mut self, bytes: usize) -> Result<u64, HeldBack> {
        let payload = vec![b'x'; bytes];
        self.hub
            .publish(self.topic, MessageKind::Binary, &payload, NOW, self.tail_room)
            .map(|published| published.offset.0)
    }

    fn publish_text(&mut self, text: &str) {
        self.hub.publish(self.topic, MessageKind::Text, text.as_bytes(), NOW, self.tail_room).unwrap();
    }

    /// Passes go on until there is nothing to pass; the slots that `is_full` names take nothing.
    fn pass(&mut self, is_full: impl Fn(Slot) -> bool) -> Vec<(Slot, usize)> {
        let mut sent = Vec::new();
        while self.hub.ready_topics() > 0 {
            let mut targets = Vec::new();
            let len = self.hub.next_batch(100, NOW, &mut targets).unwrap().bytes.len();
            for slot in targets {
                if is_full(slot) {
                    self.hub.fell_behind(slot, 0);
                    self.hub.hold(slot);
                } else {
                    sent.push((slot, len));
                }
            }
            self.hub.batch_done(self.topic, NOW);
        }
        sent
    }

    /// One batch, of which each of these takes the first so many bytes.
    fn batch_of_which(&mut self, short: &[(Slot, usize)]) {
        self.hub.next_batch(100, NOW, &mut Vec::new()).unwrap();
        for &(slot, taken) in short {
            self.hub.fell_behind(slot, taken);
            self.hub.hold(slot);
        }
        self.hub.batch_done(self.topic, NOW);
    }

    fn backlog(&self, slot: Slot) -> &[u8] {
        match self.hub.backlog(slot) {
            Some(Backlog::Bytes(bytes)) => bytes,
            other => panic!("no bytes: {other:?}"),
        }
    }
}

fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn limits() -> HubLimits {
    HubLimits::for_tests()
}

fn everybody_takes(_: Slot) -> bool {
    false
}

// Topics --------------------------------------------------------------------------------------------------------

#[test]
fn offsets_count_from_one_and_the_first_epoch_stays() {
    let mut hub = Hub::new(limits());
    let topic = hub.open(&name("a"), Epoch(7), NOW).unwrap();
    assert_eq!(hub.info(&name("a")), Some(TopicInfo { offset: Offset(0), epoch: Epoch(7), subscribers: 0 }));
    assert_eq!(hub.open(&name("a"), Epoch(8), NOW), Ok(topic));
    let mut publish = || hub.publish(topic, MessageKind::Text, b"", NOW, TAIL_ROOM).unwrap();
    assert_eq!(publish(), Published { offset: Offset(1), epoch: Epoch(7) });
    assert_eq!(publish(), Published { offset: Offset(2), epoch: Epoch(7) });
}

#[test]
fn asking_about_an_unknown_topic_creates_nothing() {
    let hub = Hub::new(limits());
    assert_eq!(hub.info(&name("a")), None);
    assert_eq!(hub.topics(), 0);
}

#[test]
fn a_topic_too_many_is_refused_and_a_known_one_is_not() {
    let mut hub = Hub::new(HubLimits { max_topics: 2, ..limits() });
    let first = hub.open(&name("a"), Epoch(1), NOW).unwrap();
    hub.open(&name("b"), Epoch(2), NOW).unwrap();
    assert_eq!(hub.open(&name("c"), Epoch(3), NOW), Err(TopicsFull));
    assert_eq!(hub.open(&name("a"), Epoch(4), NOW), Ok(first));
    assert_eq!(hub.topics(), 2);
}

#[test]
fn a_topic_is_forgotten_when_it_was_idle_for_its_time_and_then_begins_anew() {
    let mut hub = Hub::new(limits());
    let topic = hub.open(&name("a"), Epoch(7), NOW).unwrap();
    let published = Now(5);
    hub.publish(topic, MessageKind::Text, b"x", published, TAIL_ROOM).unwrap();
    let idle = published.after(limits().topic_idle);
    hub.forget_idle(Now(idle.0 - 1));
    assert_eq!(hub.topics(), 1);
    hub.forget_idle(idle);
    assert_eq!((hub.topics(), hub.stats().topics_forgotten), (0, 1));

    hub.open(&name("a"), Epoch(8), idle).unwrap();
    assert_eq!(hub.info(&name("a")), Some(TopicInfo { offset: Offset(0), epoch: Epoch(8), subscribers: 0 }));
}

#[test]
fn a_topic_with_a_subscriber_or_a_publisher_is_not_forgotten_until_its_time_after_they_left() {
    let idle = limits().topic_idle;
    let leaves: [fn(&mut TestHub, Now); 2] = [
        |test, now| test.hub.unsubscribe(Slot(0), now),
        |test, now| test.hub.detach_publisher(test.topic, now),
    ];
    for (index, leave) in leaves.into_iter().enumerate() {
        let mut test = TestHub::new(limits());
        if index == 0 {
            test.hub.subscribe(Slot(0), test.topic);
        } else {
            test.hub.attach_publisher(test.topic);
        }
        let left = NOW.after(3 * idle);
        test.hub.forget_idle(left);
        leave(&mut test, left);
        test.hub.forget_idle(Now(left.after(idle).0 - 1));
        assert_eq!(test.hub.topics(), 1);
        test.hub.forget_idle(left.after(idle));
        assert_eq!(test.hub.topics(), 0);
    }
}

#[test]
fn a_topic_whose_last_subscriber_was_lapped_for_another_is_remembered_for_its_time() {
    // Room for one chunk: what the other topic needs is taken from the one that lags.
    let mut test = TestHub::new(HubLimits { log_bytes: 5000, ..limits() });
    test.hub.subscribe(Slot(0), test.topic);
    test.publish(100).unwrap();
    test.pass(|_| true);
    let other = test.hub.open(&name("b"), Epoch(9), NOW).unwrap();
    test.hub.subscribe(Slot(1), other);
    let lapped = NOW.after(2 * limits().topic_idle);
    test.hub.publish(other, MessageKind::Text, b"x", lapped, TAIL_ROOM).unwrap();
    assert_eq!(test.hub.take_lapped()[0].slot, Slot(0));
    assert_eq!(test.hub.stats().pool_exhausted, 1);
    test.hub.forget_idle(lapped);
    assert_eq!(test.hub.info(&name("a")).unwrap().epoch, Epoch(7));
}

#[test]
fn laggers_of_a_forgotten_topic_are_not_counted_for_the_next_in_its_place() {
    let mut test = TestHub::new(limits());
    for round in 0..3 {
        let now = NOW.after(round * limits().topic_idle);
        test.topic = test.hub.open(&name("a"), Epoch(1), now).unwrap();
        test.hub.subscribe(Slot(0), test.topic);
        test.publish(1).unwrap();
        test.pass(|_| true);
        assert_eq!(test.hub.laggers(), 1);
        test.hub.unsubscribe(Slot(0), now);
        test.hub.forget_idle(now.after(limits().topic_idle));
        assert_eq!((test.hub.topics(), test.hub.laggers()), (0, 0));
    }
}

// Subscribers ---------------------------------------------------------------------------------------------------

#[test]
fn a_subscriber_gets_what_follows_the_offset_it_was_told() {
    let mut test = TestHub::new(limits());
    test.publish(1).unwrap();
    let info = test.hub.subscribe(Slot(0), test.topic);
    assert_eq!(info, TopicInfo { offset: Offset(1), epoch: Epoch(7), subscribers: 1 });
    test.publish_text("two");
    let mut targets = Vec::new();
    let batch = test.hub.next_batch(100, NOW, &mut targets).unwrap();
    assert_eq!(batch.bytes, b"\x81\x03two");
    assert_eq!(targets, [Slot(0)]);
}

#[test]
fn who_joins_during_a_pass_gets_nothing_of_it() {
    let mut test = TestHub::new(limits());
    test.hub.subscribe(Slot(0), test.topic);
    test.publish_text("old");
    test.hub.next_batch(1, NOW, &mut Vec::new()).unwrap();
    test.hub.subscribe(Slot(1), test.topic);
    test.publish_text("new");
    test.hub.batch_done(test.topic, NOW);
    assert_eq!(test.pass(everybody_takes), [(Slot(0), 5), (Slot(1), 5)]);
    assert_eq!(test.hub.stats().delivered, 3);
}

#[test]
fn who_joins_behind_messages_that_no_pass_has_begun_on_gets_what_follows_when_it_is_runnable() {
    let mut test = TestHub::new(limits());
    test.hub.subscribe(Slot(0), test.topic);
    test.publish_text("old");
    test.hub.subscribe(Slot(1), test.topic);
    test.publish_text("new");
    assert_eq!(test.backlog(Slot(1)), b"", "the pass has given it to nobody");
    assert!(!test.hub.has_runnable());
    assert_eq!(test.pass(everybody_takes), [(Slot(0), 10)]);

    let mut runnable = Vec::new();
    assert!(test.hub.has_runnable());
    test.hub.take_runnable(&mut runnable);
    assert_eq!(runnable, [Slot(1)]);
    assert_eq!(test.backlog(Slot(1)), b"\x81\x03new");
    assert_eq!(test.hub.advance(Slot(1), 5), Progress::CaughtUp);
    assert_eq!(test.hub.stats().delivered, 3);
}

#[test]
#[should_panic(expected = "a connection has one subscription")]
fn a_connection_does_not_subscribe_twice() {
    let mut test = TestHub::new(limits());
    test.hub.subscribe(Slot(0), test.topic);
    test.hub.subscribe(Slot(0), test.topic);
}

// Memory --------------------------------------------------------------------------------------------------------

#[test]
fn a_topic_holds_memory_only_while_somebody_has_to_get_something() {
    let mut test = TestHub::new(limits());
    test.publish(100).unwrap();
    assert_eq!(test.hub.log_bytes_used(), 0, "nobody is subscribed");
    test.hub.subscribe(Slot(0), test.topic);
    assert_eq!(test.hub.log_bytes_used(), 0, "nothing was published since");
    test.publish(100).unwrap();
    assert_eq!(test.hub.log_bytes_used(), 4096);
    test.pass(everybody_takes);
    assert_eq!(test.hub.log_bytes_used(), 0, "it has everything");
}

#[test]
fn who_leaves_gives_back_what_only_it_needed() {
    let mut test = TestHub::new(limits());
    test.hub.subscribe(Slot(0), test.topic);
    test.hub.subscribe(Slot(1), test.topic);
    test.publish(100).unwrap();
    test.pass(|slot| slot == Slot(0));
    assert_eq!(test.hub.log_bytes_used(), 4096);
    test.hub.unsubscribe(Slot(0), NOW);
    assert_eq!(test.hub.log_bytes_used(), 0);
}

#[test]
fn chunks_grow_while_a_backlog_does() {
    let mut test = TestHub::new(HubLimits { topic_log_bytes: 1 << 20, ..limits() });
    test.hub.subscribe(Slot(0), test.topic);
    let mut levels = vec![0];
    for _ in 0..160 {
        test.publish(1000).unwrap();
        if test.hub.log_bytes_used() != levels[levels.len() - 1] {
            levels.push(test.hub.log_bytes_used());
        }
    }
    assert_eq!(levels, [0, 4 << 10, 20 << 10, 84 << 10, 148 << 10, 212 << 10]);
}

#[test]
fn nobody_is_lapped_for_a_large_chunk_where_a_small_one_is_left() {
    let mut test = TestHub::new(HubLimits { log_bytes: 20 << 10, ..limits() });
    test.hub.subscribe(Slot(0), test.topic);
    test.publish(4000).unwrap();
    test.pass(|_| true);
    test.topic = test.hub.open(&name("b"), Epoch(9), NOW).unwrap();
    test.hub.subscribe(Slot(1), test.topic);
    test.publish(4000).unwrap();
    // Would go on in a chunk of 16 KiB, and 12 are left.
    test.publish(4000).unwrap();
    assert_eq!(test.hub.log_bytes_used(), 12 << 10);
    assert_eq!((test.hub.stats().lapped, test.hub.stats().pool_exhausted), (0, 0));
}

#[test]
fn a_topic_keeps_within_its_log_whatever_its_laggers_lack() {
    for topic_log_bytes in [1000, 10_000, 20_000, 64 << 10, 200_000, 1 << 20] {
        let policy = LagPolicy::SkipSilent;
        let mut test = TestHub::new(HubLimits { topic_log_bytes, lag_policy: policy, ..limits() });
        test.hub.subscribe(Slot(0), test.topic);
        let mut most = 0;
        for _ in 0..200 {
            test.publish(topic_log_bytes / 20).unwrap();
            most = most.max(test.hub.log_bytes_used());
            test.pass(|_| true);
            if test.hub.backlog(Slot(0)) == Some(Backlog::Skipping) {
                test.hub.resume(Slot(0));
            }
        }
        assert!(test.hub.stats().lapped > 0);
        assert!((topic_log_bytes / 2..=topic_log_bytes).contains(&most), "{most} of {topic_log_bytes}");
    }
}

// Publishers that have to wait ----------------------------------------------------------------------------------

#[test]
fn a_publisher_waits_when_half_the_log_is_undelivered() {
    let mut test = TestHub::new(limits());
    assert_eq!(limits().topic_log_bytes, 65_536);
    test.hub.subscribe(Slot(0), test.topic);
    // 31 frames of 1,024 bytes with a header of 4, and one that leaves a byte of the 32,768.
    for _ in 0..31 {
        test.publish(1020).unwrap();
    }
    assert_eq!(test.publish(1019), Ok(32));
    assert_eq!(test.publish(0), Err(HeldBack));
    assert_eq!(test.hub.info(&name("a")).unwrap().offset, Offset(32), "nothing was taken");
    test.pass(everybody_takes);
    assert_eq!(test.publish(0), Ok(33));
}

#[test]
fn a_message_over_half_the_log_goes_alone() {
    let mut test = TestHub::new(limits());
    test.hub.subscribe(Slot(0), test.topic);
    assert_eq!(test.publish(40_000), Ok(1));
    assert_eq!(test.publish(0), Err(HeldBack));
}

#[test]
fn nobody_is_lapped_for_a_message_that_is_held_back() {
    let mut test = TestHub::new(HubLimits { lag_policy: LagPolicy::SkipSilent, ..limits() });
    test.hub.subscribe(Slot(0), test.topic);
    test.hub.subscribe(Slot(1), test.topic);
    for _ in 0..20 {
        test.publish(1000).unwrap();
    }
    test.pass(|slot| slot == Slot(0));
    while test.publish(1000).is_ok() {}
    assert_eq!(test.publish(30_000), Err(HeldBack));
    assert_eq!(test.hub.stats().lapped, 0);
    test.pass(everybody_takes);
    test.publish(30_000).unwrap();
    assert_eq!(test.hub.stats().lapped, 1);
}

#[test]
fn one_that_takes_nothing_never_makes_a_publisher_wait() {
    for policy in [LagPolicy::Disconnect, LagPolicy::SkipSilent] {
        let mut test = TestHub::new(HubLimits { lag_policy: policy, ..limits() });
        test.hub.subscribe(Slot(0), test.topic);
        test.hub.subscribe(Slot(1), test.topic);
        for offset in 1..=500 {
            assert_eq!(test.publish(1000), Ok(offset), "{policy:?}");
            test.pass(|slot| slot == Slot(0));
        }
        assert_eq!(test.hub.stats().lapped, 1, "{policy:?}");
    }
}

// Subscribers that are lapped -----------------------------------------------------------------------------------

/// One subscriber inside its first message, lapped by the tenth.
fn lapped(policy: LagPolicy) -> (TestHub, Vec<Lapped>) {
    let mut test = TestHub::new(HubLimits { topic_log_bytes: 16 << 10, lag_policy: policy, ..limits() });
    test.hub.subscribe(Slot(0), test.topic);
    test.publish(1996).unwrap();
    test.batch_of_which(&[(Slot(0), 1990)]);
    for _ in 2..=8 {
        test.publish(1996).unwrap();
        test.pass(everybody_takes);
    }
    assert!(test.hub.take_lapped().is_empty());
    test.publish(1996).unwrap();
    let lapped = test.hub.take_lapped();
    (test, lapped)
}

#[test]
fn a_lapped_subscriber_is_let_go_with_the_rest_of_its_frame() {
    let (mut test, lapped) = lapped(LagPolicy::Disconnect);
    assert_eq!(lapped.len(), 1);
    assert_eq!((lapped[0].slot, lapped[0].tail.as_deref()), (Slot(0), Some(&b"xxxxxxxxxx"[..])));
    assert_eq!(test.hub.topic_of(Slot(0)), None);
    assert_eq!((test.hub.subscriptions(), test.hub.laggers(), test.hub.stats().lapped), (0, 0, 1));
    assert_eq!(test.hub.log_bytes_used(), 0, "it was the last one");
    test.pass(everybody_takes);
    assert_eq!(test.hub.info(&name("a")).unwrap().subscribers, 0);
}

#[test]
fn a_lapped_subscriber_goes_on_with_the_newest_and_its_gap_is_counted() {
    let (mut test, lapped) = lapped(LagPolicy::SkipSilent);
    assert_eq!((lapped[0].slot, lapped[0].tail.as_deref()), (Slot(0), Some(&b"xxxxxxxxxx"[..])));
    assert_eq!(test.hub.backlog(Slot(0)), Some(Backlog::Skipping));
    assert_eq!(test.hub.rest_of_frame(Slot(0)), b"");
    // It has message 1 with the tail; the pass has given 8 to everybody, and 9 is the next.
    assert_eq!(test.hub.resume(Slot(0)), 7);
    assert_eq!(test.hub.stats().messages_skipped, 7);
    assert!(!test.hub.is_lagging(Slot(0)));
    assert_eq!(test.pass(everybody_takes), [(Slot(0), 2000)]);
    assert_eq!(test.hub.log_bytes_used(), 0);
}

/// What is left of three messages' frames for a subscriber that has as many bytes of them as its slot's number.
const TAILS: [&[u8]; 23] = [
    b"",
    b"\x05alpha",
    b"alpha",
    b"lpha",
    b"pha",
    b"ha",
    b"a",
    b"",
    b"\x05bravo",
    b"bravo",
    b"ravo",
    b"avo",
    b"vo",
    b"o",
    b"",
    b"\x07charlie",
    b"charlie",
    b"harlie",
    b"arlie",
    b"rlie",
    b"lie",
    b"ie",
    b"e",
];

/// All of them lapped at once, in the order of their slots.
fn lapped_together(policy: LagPolicy, tail_room: usize) -> (TestHub, Vec<Lapped>) {
    let mut test = TestHub::new(HubLimits { topic_log_bytes: 16 << 10, lag_policy: policy, ..limits() });
    for slot in 0..23 {
        test.hub.subscribe(Slot(slot), test.topic);
    }
    for text in ["alpha", "bravo", "charlie"] {
        test.publish_text(text);
    }
    let short: Vec<_> = (0..23).map(|slot| (Slot(slot * 10 % 23), slot as usize * 10 % 23)).collect();
    test.batch_of_which(&short);
    test.tail_room = tail_room;
    while test.hub.stats().lapped == 0 {
        test.publish(1996).unwrap();
        test.pass(everybody_takes);
    }
    let mut lapped = test.hub.take_lapped();
    lapped.sort_by_key(|lapped| lapped.slot.0);
    (test, lapped)
}

#[test]
fn each_of_many_that_are_lapped_at_once_gets_the_rest_of_its_own_frame() {
    for policy in [LagPolicy::Disconnect, LagPolicy::SkipSilent] {
        let (test, lapped) = lapped_together(policy, 78);
        assert_eq!(lapped.len(), 23);
        for (index, lapped) in lapped.iter().enumerate() {
            assert_eq!((lapped.slot.index(), lapped.tail.as_deref()), (index, Some(TAILS[index])));
        }
        // Seven have the first message, seven the second too, and eight all three.
        assert_eq!(test.hub.stats().delivered, 45);
    }
}

#[test]
fn tails_are_copied_within_their_room_only() {
    for policy in [LagPolicy::Disconnect, LagPolicy::SkipSilent] {
        for tail_room in 0..=78 {
            let (_, lapped) = lapped_together(policy, tail_room);
            assert_eq!(lapped.len(), 23);
            let copied: usize = lapped.iter().filter_map(|lapped| lapped.tail.as_ref()).map(Vec::len).sum();
            assert!(copied <= tail_room, "{copied} bytes in a room of {tail_room}");
            for (lapped, rest) in lapped.iter().zip(TAILS) {
                match &lapped.tail {
                    Some(tail) => assert_eq!(tail, rest),
                    None => assert!(copied + rest.len() > tail_room, "{:?} of {tail_room}", lapped.slot),
                }
            }
        }
    }
}

#[test]
fn a_message_that_is_not_finished_for_want_of_room_is_not_delivered() {
    let (test, lapped) = lapped_together(LagPolicy::Disconnect, 0);
    assert_eq!(lapped.iter().filter(|lapped| lapped.tail.is_some()).count(), 3, "between frames");
    // Slots 7 to 13 have one message, and 14 to 22 two.
    assert_eq!(test.hub.stats().delivered, 25);
}

#[test]
fn each_publish_has_its_own_room_for_tails() {
    let mut test = TestHub::new(HubLimits { topic_log_bytes: 16 << 10, ..limits() });
    for slot in 0..3 {
        test.hub.subscribe(Slot(slot), test.topic);
    }
    test.tail_room = 5;
    // Two messages to a chunk: each of the slow two stands in its own.
    for slow in [Slot(0), Slot(1)] {
        test.publish(1996).unwrap();
        test.batch_of_which(&[(slow, 1995)]);
        test.publish(1996).unwrap();
        test.pass(everybody_takes);
    }
    while test.hub.stats().lapped < 2 {
        test.publish(1996).unwrap();
        test.pass(everybody_takes);
    }
    let lapped = test.hub.take_lapped();
    let tails: Vec<_> = lapped.iter().map(|lapped| (lapped.slot, lapped.tail.as_deref())).collect();
    assert_eq!(tails, [(Slot(0), Some(&b"xxxxx"[..])), (Slot(1), Some(&b"xxxxx"[..]))]);
}

#[test]
fn messages_published_to_nobody_after_a_lap_are_no_part_of_the_next_subscribers_count() {
    // Two messages are still unpassed when the third laps the only subscriber.
    let mut test = TestHub::new(HubLimits { topic_log_bytes: 16 << 10, ..limits() });
    test.hub.subscribe(Slot(0), test.topic);
    for _ in 0..6 {
        test.publish(1996).unwrap();
        test.pass(|_| true);
    }
    while test.hub.subscriptions() > 0 {
        test.publish(1996).unwrap();
    }
    let last = test.publish(1996).unwrap();
    assert_eq!(test.hub.subscribe(Slot(1), test.topic).offset, Offset(last));
    test.publish(10).unwrap();
    assert_eq!(test.pass(everybody_takes), [(Slot(1), 12)]);
    assert_eq!(test.hub.stats().delivered, 1);
}

// What is measured ----------------------------------------------------------------------------------------------

#[test]
fn latency_runs_from_the_oldest_message_of_each_region() {
    let mut test = TestHub::new(limits());
    test.hub.subscribe(Slot(0), test.topic);
    // Two chunks, and the second begins with the message of 20.
    for (at, bytes) in [(10, 4000), (20, 200), (30, 200)] {
        test.hub.publish(test.topic, MessageKind::Binary, &vec![0; bytes], Now(at), TAIL_ROOM).unwrap();
    }
    let mut region = |now| {
        test.hub.next_batch(1, Now(now), &mut Vec::new()).unwrap();
        test.hub.batch_done(test.topic, Now(now)).map(|latency| latency.as_nanos())
    };
    assert_eq!(region(100), Some(90));
    assert_eq!(region(200), Some(180));
}

#[test]
fn delivered_counts_whole_messages_of_each_subscriber() {
    let mut test = TestHub::new(limits());
    for slot in 0..3 {
        test.hub.subscribe(Slot(slot), test.topic);
    }
    test.publish(8).unwrap();
    test.publish(8).unwrap();
    let mut targets = Vec::new();
    test.hub.next_batch(3, NOW, &mut targets).unwrap();
    // One whole message of ten bytes, and half of the other.
    test.hub.fell_behind(Slot(1), 15);
    test.hub.batch_done(test.topic, NOW);
    assert_eq!(test.hub.stats().delivered, 4);
    test.hub.unsubscribe(Slot(1), NOW);
    assert_eq!(test.hub.stats().delivered, 5);
}
