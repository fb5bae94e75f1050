//! What was published, and where it stands as far as anybody was told: the messages of a topic's epoch have the places 1, 2, 3
//! and so on, each message at most one.

use std::collections::BTreeMap;

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Form {
    Text,
    Binary,
    Json,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: usize,
    pub(crate) form: Form,
    pub(crate) payload: Vec<u8>,
    pub(crate) client: usize,
    /// The world's step in which it was sent.
    pub(crate) step: u64,
    /// Its publisher was told that it was not published.
    pub(crate) is_refused: bool,
    /// As a JSON publisher was told, who is not told the epoch.
    pub(crate) offset: Option<u64>,
    /// Its publisher was told that it is published.
    pub(crate) is_confirmed: bool,
}

/// A topic in one of its lives.
pub(crate) type Life = (usize, u64);

#[derive(Default, Debug)]
pub(crate) struct Truth {
    pub(crate) messages: Vec<Message>,
    pub(crate) lives: BTreeMap<Life, BTreeMap<u64, usize>>,
    place_of: BTreeMap<usize, (Life, u64)>,
}

impl Truth {
    pub(crate) fn add(&mut self, client: usize, topic: usize, form: Form, filler: usize, step: u64) -> usize {
        let id = self.messages.len();
        let filler = "x".repeat(filler);
        let payload = match form {
            Form::Text => format!("#{id}:{filler} ß").into_bytes(),
            Form::Binary => [b"\xff\x00", format!("#{id}:{filler}").as_bytes()].concat(),
            Form::Json if id.is_multiple_of(2) => format!("\"#{id}:{filler}\"").into_bytes(),
            Form::Json => format!("{{\"v\": \"#{id}:{filler}\", \"n\":[1, -2e3]}}").into_bytes(),
        };
        let message = Message {
            topic,
            form,
            payload,
            client,
            step,
            is_refused: false,
            offset: None,
            is_confirmed: false,
        };
        self.messages.push(message);
        id
    }

    /// Whose payload this is, or is part of.
    pub(crate) fn id_in(&self, bytes: &[u8]) -> usize {
        let start = bytes.iter().position(|&byte| byte == b'#').expect("every message has a number") + 1;
        let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let id: usize =
            str::from_utf8(&bytes[start..start + digits]).expect("digits").parse().expect("a number");
        assert!(id < self.messages.len(), "nobody published #{id}");
        id
    }

    /// The message stands at this place of its topic.
    pub(crate) fn place(&mut self, id: usize, life: Life, offset: u64) {
        let message = &self.messages[id];
        assert_eq!(message.topic, life.0, "#{id} is of another topic");
        assert!(!message.is_refused, "#{id} was refused, and published");
        assert!(offset > 0, "#{id}: offsets begin at 1");
        assert!(
            message.offset.is_none_or(|told| told == offset),
            "#{id}: told {:?}, is at {offset}",
            message.offset
        );
        let there = *self.lives.entry(life).or_default().entry(offset).or_insert(id);
        assert_eq!(there, id, "two messages at {offset} of {life:x?}");
        let place = *self.place_of.entry(id).or_insert((life, offset));
        assert_eq!(place, (life, offset), "#{id} is at two places");
    }

    pub(crate) fn place_of(&self, id: usize) -> Option<(Life, u64)> {
        self.place_of.get(&id).copied()
    }

    /// The epoch is there, though nothing may be published in it yet.
    pub(crate) fn know(&mut self, life: Life) {
        self.lives.entry(life).or_default();
    }

    /// Of what is known.
    pub(crate) fn newest(&self, life: Life) -> u64 {
        self.lives.get(&life).and_then(|places| places.last_key_value()).map_or(0, |(&offset, _)| offset)
    }

    /// The JSON dialect's `message`.
    pub(crate) fn as_json(&self, id: usize, offset: u64) -> String {
        let Message { topic, form, payload, .. } = &self.messages[id];
        let text = || str::from_utf8(payload).expect("written as text").to_owned();
        let data = match form {
            Form::Json => format!("\"data\":{}", text()),
            Form::Text => format!("\"encoding\":\"text\",\"data\":\"{}\"", text()),
            Form::Binary => format!("\"encoding\":\"base64\",\"data\":\"{}\"", base64(payload)),
        };
        format!("{{\"op\":\"message\",\"topic\":\"t{topic}\",\"offset\":{offset},{data}}}")
    }
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for letter in 0..4 {
            let index = bits >> (18 - 6 * letter) & 63;
            text.push(if letter <= three.len() { LETTERS[index as usize].into() } else { '=' });
        }
    }
    text
}

/// The other way round, for what has no `#` to be found by.
pub(crate) fn from_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let letters: Vec<u32> = four
            .iter()
            .filter_map(|letter| LETTERS.iter().position(|other| other == letter))
            .map(|index| index as u32)
            .collect();
        let bits = letters.iter().fold(0, |bits, letter| bits << 6 | letter) << (6 * (4 - letters.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..letters.len()]);
    }
    bytes
}
