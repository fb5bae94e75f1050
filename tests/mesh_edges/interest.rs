//! Subscribing where the home is another shard: the answer comes when the home has said that messages will, and says exactly
//! where they begin.

use super::shards::{
    NARROW, Shards, WIDE, get, message, post, publish, requests, seen_in, subscribe, text, texts,
};
use corecast_protocol::Side;
use corecast_tests::wire::{Seen, TEXT, frame_to};

#[test]
fn one_burst_that_publishes_subscribes_and_publishes_is_done_in_its_order() {
    for capacity in [NARROW, WIDE] {
        let mut shards = Shards::start(2, capacity, |_| ());
        let topic = shards.topic_at(0, 0);
        let client = shards.json(1);
        let burst = [publish(&topic, "1", 1), subscribe(&topic, 2), publish(&topic, "2", 3)];
        shards.send(client, &requests(&burst.each_ref().map(String::as_str)));
        shards.turns(20);
        let answers = shards.messages(client);
        assert_eq!(answers[0], r#"{"op":"published","offset":1,"id":1}"#);
        let begins = format!(r#"{{"op":"subscribed","topic":"{topic}","offset":1,"epoch":""#);
        assert!(answers[1].starts_with(&begins) && answers[1].ends_with(r#"","id":2}"#), "{}", answers[1]);
        // Nothing says which of these two comes first.
        let mut last_two = answers[2..].to_vec();
        last_two.sort();
        assert_eq!(last_two, [message(&topic, 2, "2"), r#"{"op":"published","offset":2,"id":3}"#.to_owned()]);
        shards.assert_at_rest();
    }
}

/// What the home sent for an interest that has ended meanwhile is not taken for the new one.
#[test]
fn relays_of_an_earlier_interest_are_ignored() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let earlier = shards.raw(1, &topic, "?role=subscriber");
    let publisher = shards.raw(0, &topic, "?role=publisher");
    shards.reset(earlier);
    // The home does not turn while the linger passes, so it has not heard of the end when the next message comes.
    shards.advance_only(7, &[1]);
    let later = shards.upgrading(1, &topic, "?role=subscriber");
    shards.send(publisher, &frame_to(Side::Server, TEXT, b"before"));
    // Nothing arrives there but what its own sockets have.
    for _ in 0..4 {
        shards.turn_with(0, 0);
    }
    assert_eq!(shards.counters(0).messages_published, 1);
    shards.turns_of(1, 4);
    assert_eq!(shards.read(later), b"", "the home has not answered");
    shards.turns(10);
    shards.send(publisher, &frame_to(Side::Server, TEXT, b"after"));
    shards.turns(10);
    let stream = shards.read(later);
    let (head, frames) = stream.split_at(stream.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4);
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    assert_eq!(seen_in(frames), [Seen::Text("after".to_owned())]);
    assert_eq!(shards.counters(1).messages_relayed, 1);
}

/// Who comes back within the linger is subscribed at once: the home does not turn meanwhile.
#[test]
fn the_next_subscriber_within_the_linger_does_not_wait_for_the_home() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let first = shards.raw(1, &topic, "?role=subscriber");
    shards.reset(first);
    shards.advance_only(4, &[1]);
    let second = shards.upgrading(1, &topic, "?role=subscriber");
    assert!(text(&shards.read(second)).starts_with("HTTP/1.1 101 "));
}

#[test]
fn interest_ends_after_the_linger_and_the_topic_after_its_idle_time() {
    let mut shards = Shards::start(2, WIDE, |config| config.max_topics = 1);
    let [topic, other] = [0, 1].map(|number| shards.topic_at(0, number));
    let subscriber = shards.raw(1, &topic, "?role=subscriber");
    shards.reset(subscriber);
    shards.advance(4);
    assert_eq!((shards.levels(1).records, shards.levels(0).homes), (1, 1));
    shards.advance(3);
    assert_eq!((shards.levels(1).records, shards.levels(0).homes), (0, 1));
    shards.advance(595);
    assert_eq!(shards.levels(0).homes, 1);
    shards.advance(10);
    assert_eq!(shards.levels(0).homes, 0);
    // There is a place for another now.
    shards.raw(1, &other, "?role=subscriber");
}

#[test]
fn over_max_topics_every_dialect_is_refused_by_a_home_elsewhere() {
    let mut shards = Shards::start(2, WIDE, |config| config.max_topics = 1);
    let [topic, other] = [0, 1].map(|number| shards.topic_at(0, number));
    shards.raw(0, &topic, "");
    let raw = shards.upgrading(1, &other, "");
    let publisher = shards.raw(1, &other, "?role=publisher");
    let json = shards.json(1);
    let http = shards.connect(1);
    shards.send(publisher, &frame_to(Side::Server, TEXT, b"x"));
    shards.send(json, &requests(&[&subscribe(&other, 1), &publish(&other, "1", 2)]));
    shards.send(http, &[post(&other, "x"), get("/health")].concat());
    shards.turns(20);
    assert!(text(&shards.read(raw)).starts_with("HTTP/1.1 503 "));
    let Seen::Close(Some((code, _))) = &shards.seen(publisher)[0] else { panic!("not closed") };
    assert_eq!(*code, 4013);
    let refused = shards.messages(json);
    assert_eq!(refused.len(), 2);
    for (answer, id) in refused.iter().zip([1, 2]) {
        assert!(answer.starts_with(r#"{"op":"error","code":"too_many","#), "{answer}");
        assert!(answer.ends_with(&format!(r#","id":{id}}}"#)), "{answer}");
    }
    let answers = text(&shards.read(http));
    assert!(answers.starts_with("HTTP/1.1 503 ") && answers.contains("HTTP/1.1 200 "), "{answers}");
    shards.assert_at_rest();
}

/// What others have to do first is waited for, and a message that was answered is among it.
#[test]
fn drain_delivers_what_was_published_before_it() {
    let mut shards = Shards::start(3, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let subscriber = shards.raw(2, &topic, "?role=subscriber");
    let publisher = shards.json(1);
    shards.send(publisher, &requests(&[&publish(&topic, "1", 1)]));
    shards.turns_of(1, 2);
    for shard in 0..3 {
        shards.drain(shard);
    }
    // The subscriber's shard is told first, and has nothing of it yet.
    shards.turns_of(2, 3);
    shards.turns(10);
    let closed = Seen::Close(Some((1001, "server is shutting down; reconnect".to_owned())));
    assert_eq!(shards.seen(subscriber), [Seen::Text("1".to_owned()), closed.clone()]);
    let answered = Seen::Text(r#"{"op":"published","offset":1,"id":1}"#.to_owned());
    assert_eq!(shards.seen(publisher), [answered, closed]);
}

/// The home does not turn any more, until long after the other began to stop.
#[test]
fn drain_answers_subscriptions_that_wait_for_a_home() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let raw = shards.upgrading(1, &topic, "");
    let json = shards.json(1);
    shards.send(json, &requests(&[&subscribe(&topic, 1)]));
    shards.turns_of(1, 4);
    assert_eq!((shards.read(raw), shards.read(json)), (Vec::new(), Vec::new()));
    shards.drain(1);
    shards.advance_only(2, &[1]);
    shards.drain(0);
    shards.turns(10);
    assert!(text(&shards.read(raw)).starts_with("HTTP/1.1 503 "));
    assert_eq!(
        shards.seen(json),
        [Seen::Close(Some((1001, "server is shutting down; reconnect".to_owned())))]
    );
    shards.advance(20);
    assert_eq!([shards.turn(0), shards.turn(1)], [corecast::shard::Turn::Finished; 2]);
    assert!(shards.are_clean());
}

/// A connection that waits for a home keeps what it says meanwhile, and nobody else's answer reaches it.
#[test]
fn requests_behind_a_subscription_that_waits_are_answered_behind_it() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let [there, here] = [shards.topic_at(0, 0), shards.topic_at(1, 0)];
    let client = shards.json(1);
    let burst = [subscribe(&there, 1), subscribe(&here, 2), r#"{"op":"ping","id":3}"#.to_owned()];
    shards.send(client, &requests(&burst.each_ref().map(String::as_str)));
    shards.turns_of(1, 5);
    assert_eq!(shards.read(client), b"");
    shards.turns(10);
    let answers = texts(shards.seen(client));
    let ids: Vec<&str> = answers.iter().map(|answer| &answer[answer.len() - 7..]).collect();
    assert_eq!(ids, [r#","id":1}"#, r#","id":2}"#, r#","id":3}"#].map(|end| &end[end.len() - 7..]));
    assert_eq!(answers[2], r#"{"op":"pong","id":3}"#);
}
