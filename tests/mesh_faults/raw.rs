//! A client of the raw dialect: one topic, payloads and nothing else.

use super::client::{Socket, upgrade};
use super::truth::{Form, Truth};
use corecast_protocol::Side;
use corecast_tests::wire::{BINARY, BINARY_BEGINS, CONTINUES, ENDS, TEXT, TEXT_BEGINS, frame_to};
use fastrand::Rng;

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Role {
    Both,
    Subscriber,
    Publisher,
}

#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) socket: Socket,
    pub(crate) topic: usize,
    pub(crate) role: Role,
    /// The world's step in which the 101 was read.
    pub(crate) opened_at: Option<u64>,
    /// What was received.
    pub(crate) stream: Vec<usize>,
    /// What was sent.
    pub(crate) sent: Vec<usize>,
}

impl Raw {
    pub(crate) fn new(topic: usize, role: Role) -> Self {
        Self { socket: Socket::new(), topic, role, opened_at: None, stream: Vec::new(), sent: Vec::new() }
    }

    pub(crate) fn upgrade(&self) -> Vec<u8> {
        let query = match self.role {
            Role::Both => "",
            Role::Subscriber => "?role=subscriber",
            Role::Publisher => "?role=publisher",
        };
        upgrade(&format!("/topics/t{}{query}", self.topic))
    }

    pub(crate) fn on_message(&mut self, payload: &[u8], is_binary: bool, truth: &Truth) {
        assert!(self.role != Role::Publisher, "a publisher only gets no messages");
        let id = truth.id_in(payload);
        let message = &truth.messages[id];
        assert_eq!(message.topic, self.topic, "#{id} is of another topic");
        assert_eq!((&message.payload[..], message.form == Form::Binary), (payload, is_binary), "#{id}");
        assert!(!self.stream.contains(&id), "#{id} came twice");
        self.stream.push(id);
    }

    /// A message as one frame, or as two.
    pub(crate) fn publish(&mut self, id: usize, truth: &Truth, rng: &mut Rng) -> Vec<u8> {
        self.sent.push(id);
        let message = &truth.messages[id];
        let is_binary = message.form == Form::Binary;
        if rng.u8(..4) > 0 {
            return frame_to(Side::Server, if is_binary { BINARY } else { TEXT }, &message.payload);
        }
        let (begin, end) = message.payload.split_at(rng.usize(..message.payload.len()));
        let begins = if is_binary { BINARY_BEGINS } else { TEXT_BEGINS };
        [frame_to(Side::Server, begins, begin), frame_to(Side::Server, ENDS | CONTINUES, end)].concat()
    }
}
