//! A client of the JSON dialect: several topics, requests that do not wait for each other.

use super::client::{Hearing, Socket, epoch, number, string, topic};
use super::truth::{Life, Truth, from_base64};
use corecast_protocol::Side;
use corecast_tests::wire::{TEXT, frame_to};
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
pub(crate) struct Json {
    pub(crate) socket: Socket,
    next_id: u64,
    /// Requests that are answered in their order: all but publishes.
    asked: VecDeque<(u64, Asked)>,
    /// Publishes that are not answered, by request id.
    publishing: BTreeMap<u64, usize>,
    /// Publishes without an id that are not answered.
    publishing_nameless: usize,
    pub(crate) active: BTreeMap<usize, Session>,
    pub(crate) ended: Vec<Session>,
    /// What was sent.
    pub(crate) sent: Vec<usize>,
    pub(crate) max_subscriptions: usize,
    pub(crate) missed: u64,
}

#[derive(Debug)]
enum Asked {
    Subscribe(usize),
    Unsubscribe(usize),
    Ping,
}

/// A subscription from its `subscribed` on.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) life: Life,
    /// The last message that it does not get.
    pub(crate) start: u64,
    /// The last one that it got, or was told to have missed.
    pub(crate) last: u64,
    /// The world's step in which it was told.
    pub(crate) since: u64,
}

impl Json {
    pub(crate) fn new(max_subscriptions: usize) -> Self {
        Self {
            socket: Socket::new(),
            next_id: 0,
            asked: VecDeque::new(),
            publishing: BTreeMap::new(),
            publishing_nameless: 0,
            active: BTreeMap::new(),
            ended: Vec::new(),
            sent: Vec::new(),
            max_subscriptions,
            missed: 0,
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.asked.is_empty() && self.publishing.is_empty() && self.publishing_nameless == 0
    }

    // What it says ------------------------------------------------------------------------------------------------

    pub(crate) fn subscribe(&mut self, topic: usize) -> Vec<u8> {
        let id = self.ask(Asked::Subscribe(topic));
        request(&format!("{{\"op\":\"subscribe\",\"topic\":\"t{topic}\",\"id\":{id}}}"))
    }

    pub(crate) fn unsubscribe(&mut self, topic: usize) -> Vec<u8> {
        let id = self.ask(Asked::Unsubscribe(topic));
        request(&format!("{{\"id\":{id},\"op\":\"unsubscribe\",\"topic\":\"t{topic}\"}}"))
    }

    pub(crate) fn ping(&mut self) -> Vec<u8> {
        let id = self.ask(Asked::Ping);
        request(&format!("{{\"op\":\"ping\",\"id\":{id}}}"))
    }

    pub(crate) fn publish(&mut self, message: usize, truth: &Truth, is_named: bool) -> Vec<u8> {
        self.sent.push(message);
        let of = &truth.messages[message];
        let data = str::from_utf8(&of.payload).expect("JSON is text");
        let id = if is_named {
            self.next_id += 1;
            self.publishing.insert(self.next_id, message);
            format!(",\"id\":{}", self.next_id)
        } else {
            self.publishing_nameless += 1;
            String::new()
        };
        request(&format!("{{\"op\":\"publish\",\"topic\":\"t{}\",\"data\":{data}{id}}}", of.topic))
    }

    fn ask(&mut self, asked: Asked) -> u64 {
        self.next_id += 1;
        self.asked.push_back((self.next_id, asked));
        self.next_id
    }

    // What it hears -----------------------------------------------------------------------------------------------

    pub(crate) fn on_message(&mut self, text: &str, hearing: &mut Hearing<'_>) {
        match string(text, "op").expect("every message has an op") {
            "message" => self.on_delivery(text, hearing.truth),
            "missed" => self.on_missed(text, hearing.may_miss),
            "published" => self.on_published(text, hearing.truth),
            "error" if self.is_about_publish(text) => self.on_publish_refused(text, hearing),
            _ => self.on_answer(text, hearing),
        }
    }

    fn on_delivery(&mut self, text: &str, truth: &mut Truth) {
        let (topic, offset) = (topic(text).expect("a topic"), number(text, "offset").expect("an offset"));
        let id = match string(text, "encoding") {
            Some("base64") => truth.id_in(&from_base64(string(text, "data").expect("data"))),
            _ => truth.id_in(text.as_bytes()),
        };
        assert_eq!(text, truth.as_json(id, offset));
        let session = self.active.get_mut(&topic).unwrap_or_else(|| panic!("not subscribed: {text}"));
        assert_eq!(offset, session.last + 1, "{text} after {session:?}");
        session.last = offset;
        truth.place(id, session.life, offset);
    }

    fn on_missed(&mut self, text: &str, may_miss: bool) {
        assert!(may_miss, "the lag policy is to disconnect: {text}");
        let (from, to) = (number(text, "from").expect("from"), number(text, "to").expect("to"));
        let session = self.active.get_mut(&topic(text).expect("a topic")).expect("subscribed");
        assert!(from == session.last + 1 && to >= from, "{text} after {session:?}");
        self.missed += to - from + 1;
        session.last = to;
    }

    fn on_published(&mut self, text: &str, truth: &mut Truth) {
        let offset = number(text, "offset").expect("an offset");
        let Some(request) = number(text, "id") else {
            assert!(self.publishing_nameless > 0, "nothing was asked: {text}");
            self.publishing_nameless -= 1;
            return;
        };
        let id = self.publishing.remove(&request).unwrap_or_else(|| panic!("not asked: {text}"));
        if let Some((_, place)) = truth.place_of(id) {
            assert_eq!(place, offset, "#{id}: {text}");
        }
        truth.messages[id].offset = Some(offset);
        truth.messages[id].is_confirmed = true;
    }

    fn is_about_publish(&self, text: &str) -> bool {
        number(text, "id").is_none_or(|id| self.publishing.contains_key(&id))
    }

    fn on_publish_refused(&mut self, text: &str, hearing: &mut Hearing<'_>) {
        assert!(hearing.may_be_full && string(text, "code") == Some("too_many"), "{text}");
        match number(text, "id") {
            Some(request) => {
                let id = self.publishing.remove(&request).expect("looked for above");
                assert_eq!(hearing.truth.place_of(id), None, "#{id} was published: {text}");
                hearing.truth.messages[id].is_refused = true;
            }
            None => self.publishing_nameless -= 1,
        }
    }

    /// The answer to the oldest request that is no publish.
    fn on_answer(&mut self, text: &str, hearing: &mut Hearing<'_>) {
        let (id, asked) = self.asked.pop_front().unwrap_or_else(|| panic!("nothing was asked: {text}"));
        assert_eq!(number(text, "id"), Some(id), "another answer is due: {text}");
        let (op, code) = (string(text, "op").expect("an op"), string(text, "code"));
        match (asked, op, code) {
            (Asked::Ping, "pong", None) => {}
            (Asked::Subscribe(wanted), "subscribed", None) => {
                assert_eq!(topic(text), Some(wanted));
                let life = (wanted, epoch(text).expect("an epoch"));
                let start = number(text, "offset").expect("an offset");
                hearing.truth.know(life);
                let session = Session { life, start, last: start, since: hearing.step };
                assert!(self.active.insert(wanted, session).is_none(), "subscribed twice: {text}");
            }
            (Asked::Subscribe(wanted), "error", Some("bad_request")) => {
                assert!(self.active.contains_key(&wanted), "{text}");
            }
            (Asked::Subscribe(wanted), "error", Some("too_many")) => {
                let is_over = self.active.len() >= self.max_subscriptions;
                assert!(is_over || (hearing.may_be_full && !self.active.contains_key(&wanted)), "{text}");
            }
            (Asked::Unsubscribe(wanted), "unsubscribed", None) => {
                let session = self.active.remove(&wanted).unwrap_or_else(|| panic!("{text}"));
                self.ended.push(session);
            }
            (Asked::Unsubscribe(wanted), "error", Some("not_subscribed")) => {
                assert!(!self.active.contains_key(&wanted), "{text}");
            }
            (asked, ..) => panic!("{text} in answer to {asked:?}"),
        }
    }
}

fn request(text: &str) -> Vec<u8> {
    frame_to(Side::Server, TEXT, text.as_bytes())
}
