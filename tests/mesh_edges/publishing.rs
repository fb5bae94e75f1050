//! Publishing to a home elsewhere when there is no room: nothing is lost, doubled or put in another order, and who dies
//! while waiting leaves nothing behind.

use super::shards::{NARROW, Shards, WIDE, get, message, post, publish, requests, subscribe, text};
use corecast::mesh::Capacity;
use corecast::shard::Levels;
use corecast_protocol::Side;
use corecast_tests::wire::{Seen, TEXT, frame_to};

fn frames(messages: &[&str]) -> Vec<u8> {
    messages.iter().flat_map(|message| frame_to(Side::Server, TEXT, message.as_bytes())).collect()
}

fn seen(messages: &[&str]) -> Vec<Seen> {
    messages.iter().map(|&message| Seen::Text(message.to_owned())).collect()
}

#[test]
fn home_stops_publishing_while_a_subscribers_shard_takes_nothing() {
    let mut shards = Shards::start(2, Capacity { messages: 2, bytes: 10_000 }, |_| ());
    let topic = shards.topic_at(0, 0);
    let subscriber = shards.raw(1, &topic, "?role=subscriber");
    let publisher = shards.raw(0, &topic, "?role=publisher");
    let messages = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
    shards.send(publisher, &frames(&messages));
    shards.turns_of(0, 20);
    assert_eq!(shards.counters(0).messages_published, 2, "as many as the link takes");
    assert_eq!(shards.levels(0).waiting, 1);
    shards.turns(20);
    assert_eq!(shards.seen(subscriber), seen(&messages));
    shards.assert_at_rest();
}

/// A large message that waits for room is not passed by small ones for which there would be some, wherever they come from.
#[test]
fn small_messages_of_another_shard_queue_behind_a_large_one_that_waits_at_the_home() {
    let mut shards = Shards::start(3, Capacity { messages: 1024, bytes: 1000 }, |_| ());
    let topic = shards.topic_at(0, 0);
    let subscriber = shards.raw(2, &topic, "?role=subscriber");
    let [here, there] = [0, 1].map(|shard| shards.raw(shard, &topic, "?role=publisher"));
    // The first leaves less than half of the link, which a large one needs, but enough for small ones.
    let (first, large) = ("f".repeat(400), "x".repeat(900));
    shards.send(here, &frames(&[&first, &large]));
    shards.turns_of(0, 4);
    shards.send(there, &frames(&["a", "b"]));
    for _ in 0..5 {
        shards.turn(1);
        shards.turn(0);
    }
    assert_eq!((shards.counters(0).messages_published, shards.levels(0).waiting), (1, 3));
    shards.turns(20);
    assert_eq!(shards.seen(subscriber), seen(&[&first, &large, "a", "b"]));
    shards.assert_at_rest();
}

/// Topics whose subscribers are on the same shard take turns at the link there, however much is waiting for one of them.
#[test]
fn a_busy_topic_leaves_room_for_another_on_the_same_link() {
    let mut shards = Shards::start(2, NARROW, |_| ());
    let [busy, other] = [0, 1].map(|number| shards.topic_at(0, number));
    let subscribers = [&busy, &other].map(|topic| shards.raw(1, topic, "?role=subscriber"));
    let publishers = [&busy, &other].map(|topic| shards.raw(0, topic, "?role=publisher"));
    shards.send(publishers[0], &frames(&["x"; 100]));
    shards.send(publishers[1], &frames(&["1", "2", "3"]));
    shards.turns(12);
    assert_eq!(shards.seen(subscribers[1]), seen(&["1", "2", "3"]));
    shards.turns(200);
    assert_eq!(shards.seen(subscribers[0]), seen(&["x"; 100]));
}

/// A message that needs all of a link gets it, though small ones of another topic never cease to come.
#[test]
fn a_large_message_is_not_kept_waiting_by_small_ones_of_another_topic() {
    let mut shards = Shards::start(2, Capacity { messages: 1024, bytes: 1000 }, |_| ());
    let [small, large] = [0, 1].map(|number| shards.topic_at(0, number));
    let subscribers = [&small, &large].map(|topic| shards.raw(1, topic, "?role=subscriber"));
    let publishers = [&small, &large].map(|topic| shards.raw(0, topic, "?role=publisher"));
    shards.send(publishers[0], &frames(&["x"; 5]));
    shards.turns_of(0, 2);
    let long = "y".repeat(1000);
    shards.send(publishers[1], &frames(&[&long]));
    for _ in 0..10 {
        // There are always some on the link, and room for another small one.
        shards.send(publishers[0], &frames(&["x"]));
        shards.turns_of(0, 2);
        shards.turn_with(1, 1);
        shards.turn_with(1, 0);
    }
    assert_eq!(shards.seen(subscribers[1]), seen(&[&long]));
    shards.turns(20);
    assert_eq!(shards.seen(subscribers[0]), seen(&["x"; 15]));
    shards.assert_at_rest();
}

/// One slow shard holds up the topics that have subscribers there, and no others.
#[test]
fn a_shard_that_takes_nothing_holds_up_only_what_it_wants() {
    let mut shards = Shards::start(3, NARROW, |_| ());
    let [wanted, other] = [0, 1].map(|number| shards.topic_at(0, number));
    let sleeper = shards.raw(1, &wanted, "?role=subscriber");
    let awake = shards.raw(2, &other, "?role=subscriber");
    let publishers = [&wanted, &other].map(|topic| shards.raw(0, topic, "?role=publisher"));
    for publisher in publishers {
        shards.send(publisher, &frames(&["1", "2", "3"]));
    }
    for _ in 0..20 {
        shards.turn(0);
        shards.turn(2);
    }
    assert_eq!(shards.seen(awake), seen(&["1", "2", "3"]));
    shards.turns(20);
    assert_eq!(shards.seen(sleeper), seen(&["1", "2", "3"]));
}

#[test]
fn two_shards_publish_to_each_other_over_links_for_one_message() {
    let mut shards = Shards::start(2, NARROW, |_| ());
    let topics = [0, 1].map(|home| shards.topic_at(home, 0));
    let subscribers = [0, 1].map(|shard| [0, 1].map(|home| shards.json_subscriber(shard, &topics[home])));
    let publishers = [0, 1].map(|shard| shards.json(shard));
    for (publisher, home) in publishers.into_iter().zip([1, 0]) {
        for id in 1..=50 {
            shards.send(publisher, &requests(&[&publish(&topics[home], &id.to_string(), id)]));
        }
    }
    shards.turns(300);
    for (publisher, answers) in publishers.map(|publisher| (publisher, shards.messages(publisher))) {
        let expected: Vec<String> =
            (1..=50).map(|id| format!(r#"{{"op":"published","offset":{id},"id":{id}}}"#)).collect();
        assert_eq!(answers, expected, "{publisher:?}");
    }
    for (home, topic) in topics.iter().enumerate() {
        let expected: Vec<String> = (1..=50).map(|id| message(topic, id, &id.to_string())).collect();
        for subscriber in [subscribers[0][home], subscribers[1][home]] {
            assert_eq!(shards.messages(subscriber), expected);
        }
    }
    shards.assert_at_rest();
}

#[test]
fn publisher_that_dies_while_its_request_waits_at_the_home_leaves_nothing() {
    let mut shards = Shards::start(3, NARROW, |_| ());
    let topic = shards.topic_at(0, 0);
    let subscriber = shards.raw(2, &topic, "?role=subscriber");
    let publisher = shards.raw(1, &topic, "?role=publisher");
    shards.send(publisher, &frames(&["1", "2", "3", "4"]));
    for _ in 0..5 {
        shards.turn(1);
        shards.turn(0);
    }
    // One is on its way to the subscriber's shard, one waits at the home and fills the link, one waits at its publisher.
    assert_eq!(
        (shards.counters(0).messages_published, shards.levels(0).waiting, shards.levels(1).waiting),
        (1, 1, 1)
    );
    shards.reset(publisher);
    shards.turns(20);
    let delivered = shards.seen(subscriber);
    assert_eq!(delivered[..3], seen(&["1", "2", "3"]));
    assert!(delivered.len() == 3 || delivered[3..] == seen(&["4"]), "{delivered:?}");
    shards.assert_at_rest();
    shards.reset(subscriber);
    shards.advance(10);
    assert!(shards.are_clean());
}

/// Who publishes without waiting for the answers is read from no more once enough of them are owed.
#[test]
fn answers_that_a_home_owes_to_one_connection_are_bounded() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let publisher = shards.json(1);
    for id in 1..=200 {
        shards.send(publisher, &requests(&[&publish(&topic, "0", id)]));
    }
    shards.turns_of(1, 20);
    assert_eq!(shards.levels(1).owed_max, 64);
    shards.turns(50);
    let answers = shards.messages(publisher);
    let expected: Vec<String> =
        (1..=200).map(|id| format!(r#"{{"op":"published","offset":{id},"id":{id}}}"#)).collect();
    assert_eq!(answers, expected);
    assert_eq!(shards.levels(1).owed_max, 0);
}

/// The memory that the logs of many topics took is there for their next messages, and gone when there are none.
#[test]
fn memory_of_logs_is_kept_while_it_is_needed() {
    let mut shards = Shards::start(1, WIDE, |_| ());
    let client = shards.json(0);
    let names: Vec<String> = (0..20).map(|number| shards.topic_at(0, number)).collect();
    for name in &names {
        shards.send(client, &requests(&[&subscribe(name, 1)]));
    }
    shards.turns(5);
    let publishes: Vec<String> = names.iter().map(|name| publish(name, "0", 1)).collect();
    let publishes: Vec<&str> = publishes.iter().map(String::as_str).collect();
    for _ in 0..8 {
        shards.send(client, &requests(&publishes));
        shards.turns(5);
        let Levels { log_bytes, log_bytes_spare, .. } = shards.levels(0);
        assert_eq!((log_bytes, log_bytes_spare), (0, 20 * 4096));
    }
    shards.advance(2);
    assert_eq!(shards.levels(0).log_bytes_spare, 4 * 4096);
}

/// What it is owed when it is closed comes to nobody, and does not keep the connection from its end, whether that is at once,
/// a little later, or after its end.
#[test]
fn a_connection_that_is_closed_while_it_is_owed_most_ends_in_time() {
    for home_is_silent_for in [0, 1, 20] {
        let mut shards = Shards::start(2, WIDE, |config| config.inbound_bytes = 1 << 10);
        let topic = shards.topic_at(0, 0);
        let publisher = shards.json(1);
        let mut publishes: Vec<String> = (1..=64).map(|id| publish(&topic, "0", id)).collect();
        // What comes with it is kept until it is owed less, and is more than may be.
        publishes.push(publish(&topic, &"1".repeat(2000), 65));
        let publishes: Vec<&str> = publishes.iter().map(String::as_str).collect();
        shards.send(publisher, &requests(&publishes));
        shards.turns_of(1, 20);
        assert_eq!(shards.levels(1).owed_max, 64);
        let reason = "server is out of receive memory, try again".to_owned();
        assert_eq!(shards.seen(publisher), [Seen::Close(Some((1013, reason)))]);
        // The client stays silent: close_timeout, 5 s, is all there is.
        shards.advance_only(home_is_silent_for, &[1]);
        shards.advance_only(10 - home_is_silent_for.min(10), &[0, 1]);
        assert_eq!(shards.counters(1).connections_timed_out, 1, "silent for {home_is_silent_for} s");
        shards.advance(300);
        assert!(shards.are_clean(), "silent for {home_is_silent_for} s");
    }
}

/// The answer to a request of the slot's earlier owner is not given to the next.
#[test]
fn answer_for_a_connection_that_is_gone_reaches_nobody() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let topic = shards.topic_at(0, 0);
    let gone = shards.connect(1);
    shards.send(gone, &post(&topic, "x"));
    shards.turns_of(1, 3);
    shards.reset(gone);
    shards.turns_of(1, 6);
    let next = shards.connect(1);
    shards.send(next, &[get(&format!("/topics/{topic}")), get("/health")].concat());
    shards.turns_of(1, 4);
    assert_eq!(shards.read(next), b"");
    shards.turns(10);
    let answers = text(&shards.read(next));
    assert!(answers.starts_with("HTTP/1.1 200 ") && answers.contains(r#""offset":1,"#), "{answers}");
    assert!(
        answers.contains(r#""subscribers":0}"#) && answers.contains(r#""status":"healthy""#),
        "{answers}"
    );
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 2);
}

/// Half a topic's log is what may wait for the pass; a long body is published whole all the same, and what of it has no room
/// yet waits beside the log on every shard.
#[test]
fn lines_are_consecutive_on_every_shard_however_long_the_body() {
    let small = |config: &mut corecast::config::Config| {
        config.max_message_bytes = 4 << 10;
        config.max_frame_bytes = 4 << 10;
        config.topic_log_bytes = 8 << 10;
        config.log_bytes = 16 << 10;
    };
    let mut shards = Shards::start(2, NARROW, small);
    let topic = shards.topic_at(0, 0);
    let subscribers = [0, 1].map(|shard| shards.json_subscriber(shard, &topic));
    let poster = shards.connect(1);
    let body: String = (1..=400).map(|number| format!("{number}\n")).collect();
    let request = format!(
        "POST /topics/{topic} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Between two bodies of lines a message of another must not get in.
    let other = shards.raw(0, &topic, "?role=publisher");
    shards.send(poster, &[request.as_bytes(), request.as_bytes()].concat());
    for _ in 0..30 {
        shards.send(other, &frames(&["\"between\""]));
        shards.turns(3);
    }
    shards.turns(100);
    let answers = text(&shards.read(poster));
    assert_eq!(answers.matches(r#""count":400}"#).count(), 2, "{answers}");
    let streams = subscribers.map(|subscriber| shards.messages(subscriber));
    assert_eq!(streams[0], streams[1]);
    assert_eq!(streams[0].len(), 830);
    let data: Vec<&str> =
        streams[0].iter().map(|message| message.split_once(r#""data":"#).unwrap().1).collect();
    let first = data.iter().position(|&data| data == "1}").unwrap();
    let second = first + 1 + data[first + 1..].iter().position(|&data| data == "1}").unwrap();
    let expected: Vec<String> = (1..=400).map(|number| format!("{number}}}")).collect();
    assert_eq!(data[first..first + 400], expected);
    assert_eq!(data[second..second + 400], expected);
    for (index, message) in streams[0].iter().enumerate() {
        assert!(message.contains(&format!(r#""offset":{},"#, index + 1)), "{message}");
    }
    shards.assert_at_rest();
}

/// What it sends is not read while so many of its answers are on their way, and so its pong is not: its silence is ours.
#[test]
fn a_connection_that_waits_for_the_answers_of_another_shard_is_not_timed_out() {
    let mut shards = Shards::start(3, Capacity { messages: 200, bytes: 1 << 20 }, |_| ());
    let topic = shards.topic_at(1, 0);
    let subscriber = shards.raw(2, &topic, "?role=subscriber");
    let filler = shards.raw(1, &topic, "?role=publisher");
    let client = shards.json(0);
    shards.send(filler, &frames(&["f"; 200]));
    shards.turns_of(1, 20);
    let asked: Vec<String> = (0..64).map(|id| publish(&topic, "1", id)).collect();
    shards.send(client, &requests(&asked.iter().map(String::as_str).collect::<Vec<_>>()));
    shards.turns_of(0, 5);
    shards.turns_of(1, 5);
    assert_eq!(shards.levels(1).waiting, 64, "at the home, for the link to the subscriber's shard");

    shards.advance_only(120, &[0, 1]);
    assert_eq!(shards.counters(0).connections_timed_out, 0);
    shards.turns(50);
    let answers = shards.messages(client);
    assert_eq!(answers.iter().filter(|answer| answer.contains(r#""op":"published""#)).count(), 64);
    let got = shards.seen(subscriber);
    assert_eq!(got.iter().filter(|seen| matches!(seen, Seen::Text(_))).count(), 264);
    shards.assert_at_rest();
}
