//! What a hub does at its edges. Random runs against an oracle are in `tests/model_hub.rs`.

mod json;

use super::*;
use crate::ids::{Form, Now};

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
        let topic = hub.open("a".into(), Offset(0));
        Self { hub, topic, tail_room: TAIL_ROOM }
    }

    fn subscribe(&mut self, slot: u32) -> MemberId {
        self.hub.subscribe(Slot(slot), self.topic, Encoding::Raw)
    }

    fn subscribe_json(&mut self, slot: u32) -> MemberId {
        self.hub.subscribe(Slot(slot), self.topic, Encoding::Json)
    }

    fn publish(&mut self, bytes: usize) -> Result<u64, HeldBack> {
        self.append(Form::Binary, &vec![b'x'; bytes], NOW)
    }

    fn publish_text(&mut self, text: &str) {
        self.append(Form::Text, text.as_bytes(), NOW).unwrap();
    }

    fn append(&mut self, form: Form, payload: &[u8], now: Now) -> Result<u64, HeldBack> {
        let offset = self.hub.last(self.topic).next();
        self.hub.append(self.topic, offset, form, payload, now, self.tail_room)?;
        Ok(offset.0)
    }

    /// Passes go on until there is nothing to pass; the slots that `is_full` names take nothing.
    fn pass(&mut self, is_full: impl Fn(Slot) -> bool) -> Vec<(Slot, usize)> {
        let mut sent = Vec::new();
        let mut targets = Vec::new();
        while let Some(Batch { feed, bytes }) = self.hub.next_batch(100, NOW, &mut targets) {
            let len = bytes.len();
            for slot in targets.drain(..) {
                if is_full(slot) {
                    self.hub.fell_behind(slot.into(), 0);
                    self.hub.hold(slot.into());
                } else {
                    sent.push((slot, len));
                }
            }
            self.hub.batch_done(feed, NOW);
        }
        sent
    }

    /// One batch, of which each of these takes the first so many bytes.
    fn batch_of_which(&mut self, short: &[(Slot, usize)]) {
        let feed = self.hub.next_batch(100, NOW, &mut Vec::new()).unwrap().feed;
        for &(slot, taken) in short {
            self.hub.fell_behind(slot.into(), taken);
            self.hub.hold(slot.into());
        }
        self.hub.batch_done(feed, NOW);
    }

    fn backlog(&self, member: impl Into<MemberId>) -> &[u8] {
        match self.hub.backlog(member.into()) {
            Some(Backlog::Bytes(bytes)) => bytes,
            other => panic!("no bytes: {other:?}"),
        }
    }
}

fn limits() -> HubLimits {
    HubLimits::for_tests()
}

fn everybody_takes(_: Slot) -> bool {
    false
}

// Topics --------------------------------------------------------------------------------------------------------

#[test]
fn a_topic_goes_on_from_where_its_home_says_it_is() {
    let mut hub = Hub::new(limits());
    let topic = hub.open("a".into(), Offset(41));
    assert_eq!((&**hub.name(topic), hub.last(topic), hub.subscribers(topic)), ("a", Offset(41), 0));
    hub.append(topic, Offset(42), Form::Text, b"", NOW, TAIL_ROOM).unwrap();
    assert_eq!(hub.last(topic), Offset(42));
    hub.set_last(topic, Offset(99));
    hub.append(topic, Offset(100), Form::Text, b"", NOW, TAIL_ROOM).unwrap();
    assert_eq!(hub.last(topic), Offset(100));
}

#[test]
#[should_panic(expected = "messages come in the order of their offsets")]
fn no_offset_is_left_out() {
    let mut hub = Hub::new(limits());
    let topic = hub.open("a".into(), Offset(0));
    let _ = hub.append(topic, Offset(2), Form::Text, b"", NOW, TAIL_ROOM);
}

#[test]
fn the_place_of_a_closed_topic_is_used_again() {
    let mut hub = Hub::new(limits());
    let [a, b] = ["a", "b"].map(|name| hub.open(name.into(), Offset(5)));
    assert_eq!(hub.topics(), 2);
    hub.close(a);
    assert_eq!(hub.topics(), 1);
    let c = hub.open("c".into(), Offset(0));
    assert_eq!((c, hub.topics()), (a, 2));
    assert_eq!((&**hub.name(c), hub.last(c), &**hub.name(b), hub.last(b)), ("c", Offset(0), "b", Offset(5)));
}

#[test]
#[should_panic(expected = "a topic with subscribers is not closed")]
fn a_topic_with_a_subscriber_stays_open() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.hub.close(test.topic);
}

#[test]
#[should_panic(expected = "subscribers get every message")]
fn a_topic_with_a_subscriber_is_not_moved_on() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.hub.set_last(test.topic, Offset(9));
}

#[test]
fn a_topic_can_be_closed_during_the_batch_in_which_its_last_subscriber_leaves() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.publish(1).unwrap();
    let feed = test.hub.next_batch(100, NOW, &mut Vec::new()).unwrap().feed;
    test.hub.unsubscribe_all(Slot(0));
    assert_eq!(test.hub.batch_bytes(feed), b"");
    test.hub.close(test.topic);
    test.topic = test.hub.open("b".into(), Offset(7));
    test.subscribe(0);
    test.publish_text("new");
    assert_eq!(test.hub.batch_done(feed, NOW), None);
    let mut targets = Vec::new();
    assert_eq!(test.hub.next_batch(100, NOW, &mut targets).unwrap().bytes, b"\x81\x03new");
    assert_eq!(targets, [Slot(0)]);
}

#[test]
fn a_topic_whose_last_subscriber_was_lapped_for_another_is_there_still() {
    // Room for one chunk: what the other topic needs is taken from the one that lags.
    let mut test = TestHub::new(HubLimits { log_bytes: 5000, ..limits() });
    test.subscribe(0);
    test.publish(100).unwrap();
    test.pass(|_| true);
    let first = std::mem::replace(&mut test.topic, test.hub.open("b".into(), Offset(0)));
    test.subscribe(1);
    test.publish_text("x");
    let lapped = test.hub.take_lapped().remove(0);
    assert_eq!((lapped.slot, lapped.topic, lapped.encoding), (Slot(0), first, Encoding::Raw));
    assert!(lapped.is_out);
    assert_eq!(test.hub.stats().pool_exhausted, 1);
    assert_eq!((test.hub.last(first), test.hub.subscribers(first)), (Offset(1), 0));
}

#[test]
fn laggers_of_a_closed_topic_are_not_counted_for_the_next_in_its_place() {
    let mut test = TestHub::new(limits());
    for _ in 0..3 {
        test.subscribe(0);
        test.publish(1).unwrap();
        test.pass(|_| true);
        assert_eq!(test.hub.laggers(), 1);
        test.hub.unsubscribe_all(Slot(0));
        test.hub.close(test.topic);
        assert_eq!((test.hub.topics(), test.hub.laggers()), (0, 0));
        test.topic = test.hub.open("a".into(), Offset(0));
    }
}

// Subscribers ---------------------------------------------------------------------------------------------------

#[test]
fn a_subscriber_gets_what_follows_the_offset_it_was_told() {
    let mut test = TestHub::new(limits());
    test.publish(1).unwrap();
    assert_eq!(test.subscribe(0), MemberId(0));
    assert_eq!((test.hub.last(test.topic), test.hub.subscribers(test.topic)), (Offset(1), 1));
    test.publish_text("two");
    let mut targets = Vec::new();
    let batch = test.hub.next_batch(100, NOW, &mut targets).unwrap();
    assert_eq!(batch.bytes, b"\x81\x03two");
    assert_eq!(targets, [Slot(0)]);
}

#[test]
fn who_joins_during_a_pass_gets_nothing_of_it() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.publish_text("old");
    let feed = test.hub.next_batch(1, NOW, &mut Vec::new()).unwrap().feed;
    test.subscribe(1);
    test.publish_text("new");
    test.hub.batch_done(feed, NOW);
    assert_eq!(test.pass(everybody_takes), [(Slot(0), 5), (Slot(1), 5)]);
    assert_eq!(test.hub.stats().delivered, 3);
}

#[test]
fn who_joins_behind_messages_that_no_pass_has_begun_on_gets_what_follows_when_it_is_runnable() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.publish_text("old");
    test.subscribe(1);
    test.publish_text("new");
    assert_eq!(test.backlog(Slot(1)), b"", "the pass has given it to nobody");
    assert!(!test.hub.has_runnable());
    assert_eq!(test.pass(everybody_takes), [(Slot(0), 10)]);

    let mut runnable = Vec::new();
    assert!(test.hub.has_runnable());
    test.hub.take_runnable(&mut runnable);
    assert_eq!(runnable, [Slot(1)]);
    assert_eq!(test.backlog(Slot(1)), b"\x81\x03new");
    assert_eq!(test.hub.advance(Slot(1).into(), 5), Progress::CaughtUp);
    assert_eq!(test.hub.stats().delivered, 3);
}

#[test]
#[should_panic(expected = "a raw connection has one subscription")]
fn a_raw_connection_does_not_subscribe_twice() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.topic = test.hub.open("b".into(), Offset(0));
    test.subscribe(0);
}

// Memory --------------------------------------------------------------------------------------------------------

#[test]
fn a_topic_holds_memory_only_while_somebody_has_to_get_something() {
    let mut test = TestHub::new(limits());
    test.publish(100).unwrap();
    assert_eq!(test.hub.log_bytes_used(), 0, "nobody is subscribed");
    test.subscribe(0);
    assert_eq!(test.hub.log_bytes_used(), 0, "nothing was published since");
    test.publish(100).unwrap();
    assert_eq!(test.hub.log_bytes_used(), 4096);
    test.pass(everybody_takes);
    assert_eq!(test.hub.log_bytes_used(), 0, "it has everything");
}

#[test]
fn who_leaves_gives_back_what_only_it_needed() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.subscribe(1);
    test.publish(100).unwrap();
    test.pass(|slot| slot == Slot(0));
    assert_eq!(test.hub.log_bytes_used(), 4096);
    test.hub.unsubscribe_all(Slot(0));
    assert_eq!(test.hub.log_bytes_used(), 0);
}

#[test]
fn chunks_grow_while_a_backlog_does() {
    let mut test = TestHub::new(HubLimits { topic_log_bytes: 1 << 20, ..limits() });
    test.subscribe(0);
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
fn a_burst_that_came_before_goes_to_everybody_in_one_send() {
    let mut test = TestHub::new(HubLimits { topic_log_bytes: 1 << 20, log_bytes: 4 << 20, ..limits() });
    test.subscribe(0);
    let mut sends_of_burst = |messages| {
        for _ in 0..messages {
            test.publish(64).unwrap();
        }
        test.pass(everybody_takes).into_iter().map(|(_, len)| len).collect::<Vec<_>>()
    };
    // 66 bytes each, of which 62 go into the smallest chunk.
    assert_eq!(sends_of_burst(64), [62 * 66, 2 * 66]);
    assert_eq!(sends_of_burst(64), [64 * 66]);
    assert_eq!(sends_of_burst(1), [66]);
    assert_eq!(sends_of_burst(64), [64 * 66], "one small burst in between");
    assert_eq!(sends_of_burst(1), [66]);
    assert_eq!(sends_of_burst(1), [66]);
    assert_eq!(sends_of_burst(64), [62 * 66, 2 * 66], "forgotten: small chunks are enough again");
}

#[test]
fn nobody_is_lapped_for_a_large_chunk_where_a_small_one_is_left() {
    let mut test = TestHub::new(HubLimits { log_bytes: 20 << 10, ..limits() });
    test.subscribe(0);
    test.publish(4000).unwrap();
    test.pass(|_| true);
    test.topic = test.hub.open("b".into(), Offset(0));
    test.subscribe(1);
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
        test.subscribe(0);
        let mut most = 0;
        for _ in 0..200 {
            test.publish(topic_log_bytes / 20).unwrap();
            most = most.max(test.hub.log_bytes_used());
            test.pass(|_| true);
            if test.hub.backlog(Slot(0).into()) == Some(Backlog::Skipping) {
                test.hub.resume(Slot(0).into());
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
    test.subscribe(0);
    // 31 frames of 1,024 bytes with a header of 4, and one that leaves a byte of the 32,768.
    for _ in 0..31 {
        test.publish(1020).unwrap();
    }
    assert_eq!(test.publish(1019), Ok(32));
    assert_eq!(test.publish(0), Err(HeldBack));
    assert_eq!(test.hub.last(test.topic), Offset(32), "nothing was taken");
    test.pass(everybody_takes);
    assert_eq!(test.publish(0), Ok(33));
}

#[test]
fn a_message_over_half_the_log_goes_alone() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    assert_eq!(test.publish(40_000), Ok(1));
    assert_eq!(test.publish(0), Err(HeldBack));
}

#[test]
fn nobody_is_lapped_for_a_message_that_is_held_back() {
    let mut test = TestHub::new(HubLimits { lag_policy: LagPolicy::SkipSilent, ..limits() });
    test.subscribe(0);
    test.subscribe(1);
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
        test.subscribe(0);
        test.subscribe(1);
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
    test.subscribe(0);
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
    assert_eq!(test.hub.find(Slot(0), test.topic), None);
    assert!(lapped[0].is_out);
    assert_eq!((test.hub.subscriptions(), test.hub.laggers(), test.hub.stats().lapped), (0, 0, 1));
    assert_eq!(test.hub.log_bytes_used(), 0, "it was the last one");
    test.pass(everybody_takes);
    assert_eq!(test.hub.subscribers(test.topic), 0);
}

#[test]
fn a_lapped_subscriber_goes_on_with_the_newest_and_its_gap_is_counted() {
    let (mut test, lapped) = lapped(LagPolicy::SkipSilent);
    assert_eq!((lapped[0].slot, lapped[0].tail.as_deref()), (Slot(0), Some(&b"xxxxxxxxxx"[..])));
    assert_eq!(test.hub.backlog(Slot(0).into()), Some(Backlog::Skipping));
    assert_eq!(test.hub.rest_of_frame(Slot(0).into()), b"");
    // It has message 1 with the tail; the pass has given 8 to everybody, and 9 is the next.
    let missed = Missed { topic: test.topic, from: Offset(2), to: Offset(8) };
    assert_eq!(test.hub.resume(Slot(0).into()), Some(missed));
    assert_eq!(test.hub.resume(Slot(0).into()), None);
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
        test.subscribe(slot);
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
        test.subscribe(slot);
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
    test.subscribe(0);
    for _ in 0..6 {
        test.publish(1996).unwrap();
        test.pass(|_| true);
    }
    while test.hub.subscriptions() > 0 {
        test.publish(1996).unwrap();
    }
    let last = test.publish(1996).unwrap();
    test.subscribe(1);
    assert_eq!(test.hub.last(test.topic), Offset(last));
    test.publish(10).unwrap();
    assert_eq!(test.pass(everybody_takes), [(Slot(1), 12)]);
    assert_eq!(test.hub.stats().delivered, 1);
}

// What is measured ----------------------------------------------------------------------------------------------

#[test]
fn latency_runs_from_the_oldest_message_of_each_region() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    // Two chunks, and the second begins with the message of 20.
    for (at, bytes) in [(10, 4000), (20, 200), (30, 200)] {
        test.append(Form::Binary, &vec![0; bytes], Now(at)).unwrap();
    }
    let mut region = |now| {
        let feed = test.hub.next_batch(1, Now(now), &mut Vec::new()).unwrap().feed;
        test.hub.batch_done(feed, Now(now)).map(|latency| latency.as_nanos())
    };
    assert_eq!(region(100), Some(90));
    assert_eq!(region(200), Some(180));
}

#[test]
fn delivered_counts_whole_messages_of_each_subscriber() {
    let mut test = TestHub::new(limits());
    for slot in 0..3 {
        test.subscribe(slot);
    }
    test.publish(8).unwrap();
    test.publish(8).unwrap();
    let mut targets = Vec::new();
    let feed = test.hub.next_batch(3, NOW, &mut targets).unwrap().feed;
    // One whole message of ten bytes, and half of the other.
    test.hub.fell_behind(Slot(1).into(), 15);
    test.hub.batch_done(feed, NOW);
    assert_eq!(test.hub.stats().delivered, 4);
    test.hub.unsubscribe_all(Slot(1));
    assert_eq!(test.hub.stats().delivered, 5);
}

/// Asked before a message is compressed: what is held back is tried again in every turn.
#[test]
fn a_pool_that_is_used_up_is_known_without_encoding_the_message() {
    let limits = HubLimits { log_bytes: 64 << 10, topic_log_bytes: 64 << 10, ..limits() };
    let mut test = TestHub::new(limits);
    let topics = ["b", "c", "d"].map(|name| test.hub.open(name.into(), Offset(0)));
    for (slot, topic) in topics.into_iter().enumerate() {
        test.hub.subscribe(Slot(slot as u32), topic, Encoding::Raw);
    }
    let [b, c, d] = topics;
    for topic in [b, c] {
        test.hub.append(topic, Offset(1), Form::Binary, &[0; 30_000], NOW, TAIL_ROOM).unwrap();
    }
    assert!(!test.hub.is_full(d, 10_000) && test.hub.is_exhausted_for(d, 10_000));
    assert_eq!(test.hub.append(d, Offset(1), Form::Binary, &[0; 10_000], NOW, TAIL_ROOM), Err(HeldBack));
    assert!(!test.hub.is_exhausted_for(d, 1_000));
    test.pass(|_| false);
    assert!(!test.hub.is_exhausted_for(d, 10_000));
    test.hub.append(d, Offset(1), Form::Binary, &[0; 10_000], NOW, TAIL_ROOM).unwrap();
}
