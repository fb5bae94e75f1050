//! What the tests share: a ring that listens, and the steps that every test begins with.

use corecast_uring::testing::{FakeRing, Faults, Peer};
use corecast_uring::{Completion, File, ListenerId, Op, Ring, RingConfig, Send, SendOutcome, Token};

pub(crate) const ACCEPT: u8 = 1;
pub(crate) const RECEIVE: u8 = 2;
pub(crate) const POLL: u8 = 3;
pub(crate) const ADDRESS: u8 = 4;
pub(crate) const SHUTDOWN: u8 = 5;
pub(crate) const CANCEL: u8 = 6;
pub(crate) const CLOSE: u8 = 7;
pub(crate) const TIMEOUT: u8 = 8;

pub(crate) const LISTENER: ListenerId = ListenerId(0);

pub(crate) fn config() -> RingConfig {
    RingConfig {
        submission_entries: 64,
        completion_entries: 256,
        files: 8,
        receive_buffers: 8,
        receive_buffer_bytes: 16,
        eventfd: false,
        ..RingConfig::default()
    }
}

/// A ring that listens, with its accept armed.
pub(crate) fn ring_with(seed: u64, config: RingConfig, faults: Faults) -> FakeRing {
    let mut ring = FakeRing::new(seed, config, faults);
    assert_eq!(ring.add_listener(), LISTENER);
    arm_accept(&mut ring);
    ring
}

pub(crate) fn ring() -> FakeRing {
    ring_with(1, config(), Faults::none())
}

pub(crate) fn arm_accept(ring: &mut FakeRing) {
    ring.push(Token::new(ACCEPT, 0, 0), Op::Accept { listener: LISTENER });
}

pub(crate) fn token(kind: u8, file: File) -> Token {
    Token::new(kind, file.0, 0)
}

pub(crate) fn poll(ring: &mut FakeRing) -> Vec<Completion> {
    let mut completions = Vec::new();
    ring.poll(&mut completions);
    completions
}

/// The one completion of a poll.
pub(crate) fn one(ring: &mut FakeRing) -> Completion {
    let mut completions = poll(ring);
    assert_eq!(completions.len(), 1, "{completions:?}");
    completions.remove(0)
}

pub(crate) fn pair(ring: &mut FakeRing) -> (File, Peer) {
    let peer = ring.connect();
    let completion = one(ring);
    assert_eq!((completion.token.kind(), completion.more), (ACCEPT, true));
    let file = File(completion.result.unwrap());
    assert_eq!(ring.peer_file(peer), Some(file));
    (file, peer)
}

pub(crate) fn arm_receive(ring: &mut FakeRing, file: File) {
    ring.push(token(RECEIVE, file), Op::Receive { file });
}

pub(crate) fn send(ring: &mut FakeRing, file: File, bytes: &[u8]) -> Vec<SendOutcome> {
    let mut outcomes = Vec::new();
    ring.send_batch([Send { file, bytes }].into_iter(), &mut outcomes);
    outcomes
}

pub(crate) fn close(ring: &mut FakeRing, file: File) {
    ring.push(token(CLOSE, file), Op::Close { file });
    let completion = one(ring);
    assert_eq!((completion.token, completion.result), (token(CLOSE, file), Ok(0)));
}

/// A fault that happens every time.
pub(crate) fn only(set: impl Fn(&mut Faults)) -> Faults {
    let mut faults = Faults::none();
    set(&mut faults);
    faults
}
