//! What a connection of the JSON dialect gets from many topics, of homes on several shards.

use super::shards::{Client, Shards, WIDE, message, publish, requests, seen_in, subscribe, texts};
use corecast::config::LagPolicy;
use corecast_uring::GATHER_PARTS_MAX;

const TOPICS: usize = 100;
const _: () = assert!(TOPICS > GATHER_PARTS_MAX, "more topics than one send takes");

/// Subscribed to a hundred topics of both shards.
fn subscribed_to_many(shards: &mut Shards) -> (Client, Vec<String>) {
    let topics: Vec<String> =
        (0..TOPICS).map(|number| shards.topic_at(number as u16 % 2, number / 2)).collect();
    let client = shards.json(0);
    for (id, topic) in topics.iter().enumerate() {
        shards.send(client, &requests(&[&subscribe(topic, id)]));
    }
    shards.turns(TOPICS);
    assert_eq!(shards.messages(client).len(), TOPICS);
    (client, topics)
}

fn publish_to_all(shards: &mut Shards, topics: &[String], data: &str) {
    let publisher = shards.json(1);
    for topic in topics {
        shards.send(publisher, &requests(&[&publish(topic, data, 1)]));
    }
    shards.turns(20);
    assert_eq!(shards.messages(publisher).len(), topics.len());
}

#[test]
fn news_of_more_topics_than_one_send_takes_all_arrive() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let (client, topics) = subscribed_to_many(&mut shards);
    publish_to_all(&mut shards, &topics, "1");
    let mut received = shards.messages(client);
    received.sort();
    let mut expected: Vec<String> = topics.iter().map(|topic| message(topic, 1, "1")).collect();
    expected.sort();
    assert_eq!(received, expected);
}

/// One send has the answers to the publisher, and one the news of all topics.
#[test]
fn news_of_several_topics_are_one_send() {
    let mut shards = Shards::start(1, WIDE, |_| ());
    let topics: Vec<String> = (0..10).map(|number| shards.topic_at(0, number)).collect();
    let client = shards.json(0);
    for topic in &topics {
        shards.send(client, &requests(&[&subscribe(topic, 1)]));
    }
    let publisher = shards.json(0);
    shards.turns(20);
    let before = shards.sends(0);
    let all: Vec<String> = topics.iter().map(|topic| publish(topic, "1", 1)).collect();
    shards.send(publisher, &requests(&all.iter().map(String::as_str).collect::<Vec<_>>()));
    shards.turns(5);
    assert_eq!(shards.sends(0) - before, 2);
    assert_eq!(shards.messages(client).len(), 10 + 10, "an answer and a message for each");
}

/// A socket that takes a few bytes at a time: every frame is whole, each topic's in their order.
#[test]
fn news_of_more_topics_than_one_send_takes_arrive_through_a_narrow_socket() {
    let mut shards = Shards::start(2, WIDE, |_| ());
    let (client, topics) = subscribed_to_many(&mut shards);
    shards.set_room(client, 37);
    publish_to_all(&mut shards, &topics, "1");
    publish_to_all(&mut shards, &topics, "2");
    let mut stream = Vec::new();
    for _ in 0..2000 {
        stream.extend(shards.read(client));
        shards.turns(1);
    }
    let received = texts(seen_in(&stream));
    assert_eq!(received.len(), 2 * TOPICS);
    for topic in &topics {
        let name = format!("\"{topic}\"");
        let of_topic: Vec<&String> = received.iter().filter(|message| message.contains(&name)).collect();
        assert_eq!(of_topic, [&message(topic, 1, "1"), &message(topic, 2, "2")]);
    }
}

/// Its socket is full in the middle of one topic's frame while another topic goes past it: the frame is finished, then it is
/// told what it missed of the other, and goes on with the newest.
#[test]
fn lapped_in_one_topic_inside_a_frame_of_another() {
    let mut shards = Shards::start(2, WIDE, |config| {
        config.max_message_bytes = 4 << 10;
        config.max_frame_bytes = 4 << 10;
        config.topic_log_bytes = 16 << 10;
        config.log_bytes = 64 << 10;
        config.lag_policy = LagPolicy::Skip;
    });
    let [half, lapped] = [shards.topic_at(0, 0), shards.topic_at(1, 0)];
    let client = shards.json(0);
    shards.send(client, &requests(&[&subscribe(&half, 1), &subscribe(&lapped, 2)]));
    shards.turns(10);
    assert_eq!(shards.messages(client).len(), 2);
    shards.set_room(client, 1000);
    let publisher = shards.json(1);
    let large = format!("\"{}\"", "x".repeat(3000));
    shards.send(publisher, &requests(&[&publish(&half, &large, 1)]));
    shards.turns(5);
    for id in 1..=20 {
        shards.send(publisher, &requests(&[&publish(&lapped, &large, id)]));
        shards.turns(5);
    }
    shards.advance(1);
    assert_eq!(shards.counters(0).lapped, 1);
    let mut stream = shards.read(client);
    shards.set_room(client, 1 << 20);
    shards.turns(10);
    stream.extend(shards.read(client));
    shards.send(publisher, &requests(&[&publish(&lapped, "21", 21)]));
    shards.turns(10);
    stream.extend(shards.read(client));
    let received = texts(seen_in(&stream));
    assert_eq!(received[0], message(&half, 1, &large));
    assert_eq!(received[1], format!(r#"{{"op":"missed","topic":"{lapped}","from":1,"to":20}}"#));
    assert_eq!(received[2..], [message(&lapped, 21, "21")]);
}
