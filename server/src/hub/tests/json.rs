//! JSON feeds, connections with several subscriptions, and topics that are followed in both encodings.

use super::*;

/// What a JSON subscriber of topic `a` gets for a text message of up to 125 bytes in all.
fn message(offset: u64, text: &str) -> Vec<u8> {
    let object =
        format!(r#"{{"op":"message","topic":"a","offset":{offset},"encoding":"text","data":"{text}"}}"#);
    [&[0x81, u8::try_from(object.len()).unwrap()], object.as_bytes()].concat()
}

impl TestHub {
    fn plan(&mut self, max_per_feed: usize, max: usize) -> Plan {
        let mut plan = Plan::default();
        self.hub.next_json_batches(max_per_feed, max, NOW, &mut plan);
        plan
    }

    /// Passes go on until there is nothing to pass; the subscriptions that `is_full` names take nothing.
    fn pass_json(&mut self, is_full: impl Fn(MemberId) -> bool) -> Vec<(MemberId, usize)> {
        let mut sent = Vec::new();
        while self.hub.ready_json() > 0 {
            let plan = self.plan(100, 100);
            for part in &plan.parts {
                if is_full(part.member) {
                    self.hub.fell_behind(part.member, 0);
                    self.hub.hold(part.member);
                } else {
                    sent.push((part.member, self.hub.batch_bytes(part.feed).len()));
                }
            }
            for &feed in &plan.feeds {
                self.hub.batch_done(feed, NOW);
            }
        }
        sent
    }

    fn open_and_subscribe_json(&mut self, name: &str, slot: u32) -> (TopicId, MemberId) {
        let topic = self.hub.open(name.into(), Offset(0));
        (topic, self.hub.subscribe(Slot(slot), topic, Encoding::Json))
    }
}

// Subscriptions -------------------------------------------------------------------------------------------------

#[test]
fn a_subscription_costs_what_the_budget_says() {
    assert_eq!((MEMBERSHIP_BYTES, JSON_MEMBERSHIP_BYTES), (16, 24));
}

#[test]
fn a_connection_holds_many_subscriptions_numbered_above_all_slots() {
    let mut test = TestHub::new(limits());
    let first = test.subscribe_json(3);
    let (b, second) = test.open_and_subscribe_json("b", 3);
    let other = test.subscribe_json(4);
    assert_eq!([first, second, other], [MemberId(100), MemberId(101), MemberId(102)]);
    assert_eq!(test.hub.members(Slot(3)).collect::<Vec<_>>(), [second, first]);
    assert_eq!((test.hub.subscriptions_of(Slot(3)), test.hub.subscriptions_of(Slot(4))), (2, 1));
    assert_eq!((test.hub.subscriptions_of(Slot(0)), test.hub.subscriptions_of(Slot(99))), (0, 0));
    assert_eq!((test.hub.find(Slot(3), b), test.hub.find(Slot(4), b)), (Some(second), None));
    assert_eq!((test.hub.topic_of(second), test.hub.slot_of(second)), (b, Slot(3)));
    assert_eq!((test.hub.subscriptions(), test.hub.subscribers(test.topic)), (3, 2));

    test.hub.unsubscribe(first);
    assert_eq!(test.hub.members(Slot(3)).collect::<Vec<_>>(), [second]);
    assert_eq!(test.subscribe_json(5), first, "its number is free");
    test.hub.unsubscribe_all(Slot(3));
    test.hub.unsubscribe_all(Slot(3));
    assert_eq!((test.hub.subscriptions_of(Slot(3)), test.hub.subscriptions()), (0, 2));
    assert_eq!(test.hub.subscribe(Slot(3), b, Encoding::Raw), MemberId(3), "a raw connection now");
}

#[test]
#[should_panic(expected = "a connection subscribes to a topic once")]
fn a_json_connection_does_not_subscribe_to_a_topic_twice() {
    let mut test = TestHub::new(limits());
    test.subscribe_json(0);
    test.subscribe_json(0);
}

#[test]
#[should_panic(expected = "a raw connection has one subscription")]
fn a_raw_connection_has_no_json_subscriptions() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.open_and_subscribe_json("b", 0);
}

#[test]
fn who_is_not_subscribed_has_nothing_to_get() {
    let mut test = TestHub::new(limits());
    test.subscribe_json(0);
    // The slot of a JSON connection, one that nobody had, and a subscription that there never was.
    for member in [MemberId(0), MemberId(7), MemberId(101)] {
        test.hub.hold(member);
        assert_eq!((test.hub.backlog(member), test.hub.rest_of_frame(member)), (None, &b""[..]));
    }
    assert_eq!(test.hub.laggers(), 0);
}

// Both encodings ------------------------------------------------------------------------------------------------

#[test]
fn each_gets_the_message_in_its_encoding() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    let member = test.subscribe_json(1);
    test.publish_text("hi");
    let mut targets = Vec::new();
    assert_eq!(test.hub.next_batch(9, NOW, &mut targets).unwrap().bytes, b"\x81\x02hi");
    assert_eq!(targets, [Slot(0)]);
    let plan = test.plan(9, 9);
    assert_eq!(plan.parts, [Part { slot: Slot(1), member, feed: plan.feeds[0] }]);
    assert_eq!(test.hub.batch_bytes(plan.feeds[0]), message(1, "hi"));
}

#[test]
fn a_feed_begins_with_its_first_subscriber_at_the_topics_newest_message() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.publish_text("old");
    let member = test.subscribe_json(1);
    assert_eq!(test.hub.ready_json(), 0);
    test.publish_text("new");
    assert_eq!(test.pass_json(|_| false), [(member, message(2, "new").len())]);
    test.hub.unsubscribe(member);
    test.publish_text("newer");
    assert_eq!(test.hub.ready_json(), 0);
    assert_eq!(test.pass(everybody_takes), [(Slot(0), 17)]);
    assert_eq!(test.hub.stats().delivered, 4);
}

#[test]
fn a_message_that_the_json_feed_has_no_room_for_is_in_neither() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.subscribe_json(1);
    // In base64 two of these are more than half of 65,536.
    test.publish(15_000).unwrap();
    test.pass(everybody_takes);
    assert!(!test.hub.is_full(test.topic, 12_000), "as far as can be said before");
    assert_eq!(test.publish(12_000), Err(HeldBack));
    assert_eq!((test.hub.last(test.topic), test.hub.ready_raw()), (Offset(1), 0));
    test.pass_json(|_| false);
    assert_eq!(test.publish(12_000), Ok(2));
}

#[test]
fn a_chunk_that_is_of_no_use_alone_goes_back() {
    // Room for one chunk of 4 KiB, and 4,000 bytes.
    let mut test = TestHub::new(HubLimits { log_bytes: 8096, topic_log_bytes: 8000, ..limits() });
    let topic = test.topic;
    test.topic = test.hub.open("b".into(), Offset(0));
    test.subscribe(2);
    test.publish(2100).unwrap();
    let used = test.hub.log_bytes_used();
    test.topic = topic;
    test.subscribe(0);
    test.subscribe_json(1);
    assert_eq!(test.publish(3000), Err(HeldBack));
    assert_eq!(test.hub.log_bytes_used(), used);
    assert_eq!((test.hub.last(topic), test.hub.ready_raw(), test.hub.ready_json()), (Offset(0), 1, 0));
    test.pass(everybody_takes);
    assert_eq!(test.publish(3000), Ok(1));
}

#[test]
fn a_message_whose_json_goes_into_no_log_is_announced_as_missed() {
    let mut test = TestHub::new(limits());
    test.subscribe(0);
    test.subscribe_json(1);
    // Each letter becomes six.
    test.publish_text(&"\u{1}".repeat(12_000));
    let plan = test.plan(9, 9);
    assert_eq!(
        test.hub.batch_bytes(plan.feeds[0]),
        b"\x81\x2b{\"op\":\"missed\",\"topic\":\"a\",\"from\":1,\"to\":1}"
    );
    assert_eq!(test.pass(everybody_takes), [(Slot(0), 12_004)]);
    assert_eq!(test.hub.stats().too_long_in_json, 1);
}

// Plans ---------------------------------------------------------------------------------------------------------

#[test]
fn a_plan_gathers_a_connections_news_from_several_topics() {
    let mut test = TestHub::new(limits());
    let in_a = test.subscribe_json(0);
    let (b, in_b) = test.open_and_subscribe_json("b", 0);
    let a = std::mem::replace(&mut test.topic, b);
    test.publish(1).unwrap();
    test.topic = a;
    test.publish(1).unwrap();
    assert_eq!(test.hub.ready_json(), 2);
    let plan = test.plan(9, 9);
    let members: Vec<_> = plan.parts.iter().map(|part| (part.slot, part.member, part.feed)).collect();
    assert_eq!(members, [(Slot(0), in_b, plan.feeds[0]), (Slot(0), in_a, plan.feeds[1])]);

    // The first was taken whole, the second was not.
    test.hub.fell_behind(in_a, 3);
    test.hub.hold(in_b);
    for feed in plan.feeds {
        test.hub.batch_done(feed, NOW);
    }
    let mut lagging = Vec::new();
    test.hub.lagging(Slot(0), &mut lagging);
    assert_eq!((lagging, test.hub.is_lagging(Slot(0))), (vec![in_b, in_a], true));
    assert_eq!((test.backlog(in_b), test.hub.rest_of_frame(in_b)), (&b""[..], &b""[..]));
    assert_eq!(test.backlog(in_a), test.hub.rest_of_frame(in_a));
    assert!(test.backlog(in_a).starts_with(b"\"op\":\"message\""));
}

#[test]
fn a_plan_keeps_within_its_bounds_and_goes_on_where_it_stopped() {
    let mut test = TestHub::new(limits());
    let mut topics = Vec::new();
    for name in ["b", "c", "d"] {
        let (topic, _) = test.open_and_subscribe_json(name, 0);
        for slot in 1..5 {
            test.hub.subscribe(Slot(slot), topic, Encoding::Json);
        }
        topics.push(topic);
    }
    for &topic in &topics {
        test.topic = topic;
        test.publish(1).unwrap();
    }
    // Five members of each of three feeds, at most three of one feed and seven in all.
    let mut sizes = Vec::new();
    while test.hub.ready_json() > 0 {
        let plan = test.plan(3, 7);
        let of = |feed| plan.parts.iter().filter(|part| part.feed == feed).count();
        sizes.push(plan.feeds.iter().map(|&feed| of(feed)).collect::<Vec<_>>());
        for &feed in &plan.feeds {
            test.hub.batch_done(feed, NOW);
        }
    }
    assert_eq!(sizes, [vec![3, 3, 1], vec![2, 2, 3], vec![1]]);
    assert_eq!(test.hub.stats().delivered, 15);
}

#[test]
fn a_feed_that_ends_during_its_batch_leaves_its_number_to_nobody_before_the_batch_does() {
    let mut test = TestHub::new(limits());
    let member = test.subscribe_json(0);
    test.publish(1).unwrap();
    let ended = test.plan(9, 9).feeds[0];
    test.hub.unsubscribe(member);
    assert_eq!(test.hub.batch_bytes(ended), b"");
    test.subscribe_json(1);
    test.publish(1).unwrap();
    let plan = test.plan(9, 9);
    assert_ne!(plan.feeds[0], ended);
    assert_eq!(test.hub.batch_done(ended, NOW), None);
    assert!(test.hub.batch_done(plan.feeds[0], NOW).is_some());
}

// Lapped --------------------------------------------------------------------------------------------------------

/// A raw and a JSON subscriber that take nothing, until both were lapped.
fn both_lapped(policy: LagPolicy) -> (TestHub, MemberId, Vec<Lapped>) {
    let mut test = TestHub::new(HubLimits { topic_log_bytes: 16 << 10, lag_policy: policy, ..limits() });
    test.subscribe(0);
    let member = test.subscribe_json(1);
    test.subscribe(2);
    test.open_and_subscribe_json("b", 1);
    let mut lapped = Vec::new();
    while lapped.len() < 2 {
        test.publish(1990).unwrap();
        lapped.append(&mut test.hub.take_lapped());
        test.pass(|slot| slot == Slot(0));
        test.pass_json(|_| true);
    }
    (test, member, lapped)
}

#[test]
fn who_is_unsubscribed_when_lapped_depends_on_policy_and_encoding() {
    for (policy, raw_is_out, json_is_out) in [
        (LagPolicy::Disconnect, true, true),
        (LagPolicy::Skip, true, false),
        (LagPolicy::SkipSilent, false, false),
    ] {
        let (test, member, mut lapped) = both_lapped(policy);
        lapped.sort_by_key(|lapped| lapped.slot);
        let seen: Vec<_> =
            lapped.iter().map(|lapped| (lapped.slot, lapped.encoding, lapped.topic, lapped.is_out)).collect();
        let topic = test.topic;
        assert_eq!(
            seen,
            [(Slot(0), Encoding::Raw, topic, raw_is_out), (Slot(1), Encoding::Json, topic, json_is_out)]
        );
        assert_eq!(test.hub.find(Slot(0), topic).is_none(), raw_is_out);
        assert_eq!(test.hub.find(Slot(1), topic), (!json_is_out).then_some(member));
        assert_eq!(test.hub.subscriptions_of(Slot(1)), 2 - usize::from(json_is_out));
    }
}

#[test]
fn a_json_subscriber_is_told_what_it_missed_before_it_goes_on() {
    let (mut test, member, _) = both_lapped(LagPolicy::Skip);
    let last = test.hub.last(test.topic);
    assert_eq!(test.hub.backlog(member), Some(Backlog::Skipping));
    let missed = Missed { topic: test.topic, from: Offset(1), to: last };
    assert_eq!(test.hub.resume(member), Some(missed));
    assert_eq!(test.hub.stats().messages_skipped, last.0);
    // Until it has been told.
    test.hub.hold(member);
    test.publish_text("next");
    assert_eq!(test.pass_json(|_| false), []);
    assert_eq!(test.backlog(member), message(last.0 + 1, "next"));
    let bytes = test.backlog(member).len();
    assert_eq!(test.hub.advance(member, bytes), Progress::CaughtUp);
}
