//! What goes into a connection and what comes out of it.

use std::ops::{Deref, DerefMut};

use crate::codes::{CloseCode, MessageKind};

/// A cursor over received bytes. What has not been parsed yet stays in it, so the caller may stop between two
/// events and go on later with [`Input::into_rest`].
#[derive(Debug)]
pub struct Input<'a> {
    rest: &'a mut [u8],
}

impl<'a> Input<'a> {
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes that have not been parsed.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that have not been parsed. Right after an error they begin with the header that broke a
    /// rule, unless part of that header came with earlier input.
    pub const fn into_rest(self) -> &'a mut [u8] {
        self.rest
    }

    pub(super) const fn bytes(&self) -> &[u8] {
        self.rest
    }

    /// Takes the first `length` bytes, or all if there are fewer.
    pub(super) fn take(&mut self, length: usize) -> &'a mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut(length.min(rest.len()));
        self.rest = rest;
        taken
    }

    pub(super) fn discard(&mut self) {
        self.rest = &mut [];
    }
}

/// What a peer did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message. Text is valid UTF-8 (RFC 6455 §8.1).
    Message { kind: MessageKind, payload: Payload<'a> },
    /// A whole message that is compressed, if that was agreed on (RFC 7692 §6): for [`crate::deflate::Inflater`]. Limits
    /// were held against what arrived.
    Deflated { kind: MessageKind, payload: Payload<'a> },
    /// To be answered with a Pong of the same payload, unless a Close was received (RFC 6455 §5.5.2).
    Ping(Payload<'a>),
    /// An answer to a ping of ours, or unasked for (RFC 6455 §5.5.3).
    Pong(Payload<'a>),
    /// The peer closes: code, and a reason that is valid UTF-8; `None` for a Close frame without a body. To
    /// be answered with a Close of our own if none was sent (RFC 6455 §5.5.1).
    Close(Option<(CloseCode, Payload<'a>)>),
}

/// Payload bytes, unmasked.
#[derive(Debug)]
pub enum Payload<'a> {
    /// A slice of the caller's input.
    InPlace(&'a mut [u8]),
    /// Joined from several pieces of input, or from several fragments.
    Assembled(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes as a vector of their own; copies them if they are in place.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::InPlace(bytes) => bytes.to_vec(),
            Self::Assembled(bytes) => bytes,
        }
    }
}

impl<'a> Payload<'a> {
    /// Cuts the first `length` bytes off.
    pub(super) fn without_first(self, length: usize) -> Self {
        match self {
            Self::InPlace(bytes) => Self::InPlace(&mut bytes[length..]),
            Self::Assembled(mut bytes) => {
                bytes.drain(..length);
                Self::Assembled(bytes)
            }
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Assembled(bytes) => bytes,
        }
    }
}

impl DerefMut for Payload<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Assembled(bytes) => bytes,
        }
    }
}

/// Equal bytes are equal payloads, wherever they lie.
impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload<'_> {}
