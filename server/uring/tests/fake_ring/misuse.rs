//! What a caller must not do is caught where it does it.

use corecast_uring::{File, Op, Ring, Send, Token};

use crate::bench::{
    ACCEPT, CANCEL, CLOSE, RECEIVE, arm_accept, arm_receive, close, config, only, pair, poll, ring,
    ring_with, send, token,
};

#[test]
fn quiescent_after_everything_is_closed() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    close(&mut ring, file);
    ring.push(Token::new(CANCEL, 0, 0), Op::Cancel { target: Token::new(ACCEPT, 0, 0) });
    assert_eq!(poll(&mut ring).len(), 2);
    ring.assert_quiescent();
}

#[test]
#[should_panic(expected = "open: file 0")]
fn open_file_is_not_quiescent() {
    let mut ring = ring();
    let _ = pair(&mut ring);
    ring.assert_quiescent();
}

#[test]
#[should_panic(expected = "receive buffers not released: 1")]
fn forgotten_buffer_is_not_quiescent() {
    let mut ring = ring();
    let (file, peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.peer_send(peer, b"x");
    drop(poll(&mut ring));
    ring.assert_quiescent();
}

#[test]
#[should_panic(expected = "no socket is open at File(3)")]
fn operation_on_an_unknown_file_is_caught() {
    arm_receive(&mut ring(), File(3));
}

#[test]
#[should_panic(expected = "is being closed")]
fn operation_after_a_close_is_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    ring.push(token(CLOSE, file), Op::Close { file });
    arm_receive(&mut ring, file);
}

#[test]
#[should_panic(expected = "no socket is open")]
fn send_to_a_closed_file_is_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    close(&mut ring, file);
    send(&mut ring, file, b"x");
}

#[test]
#[should_panic(expected = "operations are in flight on the file")]
fn close_with_an_armed_receive_is_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.push(token(CLOSE, file), Op::Close { file });
}

#[test]
#[should_panic(expected = "operations are in flight on the file")]
fn close_before_the_last_completion_is_seen_is_caught() {
    let mut ring = ring_with(1, config(), only(|faults| faults.late_completion = 1.0));
    let (file, _peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    ring.push(token(CANCEL, file), Op::Cancel { target: token(RECEIVE, file) });
    assert!(poll(&mut ring).is_empty());
    ring.push(token(CLOSE, file), Op::Close { file });
}

#[test]
#[should_panic(expected = "Receive is armed twice")]
fn receive_armed_twice_is_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    arm_receive(&mut ring, file);
    arm_receive(&mut ring, file);
}

#[test]
#[should_panic(expected = "Accept is armed twice")]
fn accept_armed_twice_is_caught() {
    arm_accept(&mut ring());
}

#[test]
#[should_panic(expected = "is the second to")]
fn two_sends_to_one_file_in_a_batch_are_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    ring.send_batch([Send { file, bytes: b"x" }; 2].into_iter(), &mut Vec::new());
}

#[test]
#[should_panic(expected = "send 0 of a batch has no bytes")]
fn send_of_nothing_is_caught() {
    let mut ring = ring();
    let (file, _peer) = pair(&mut ring);
    send(&mut ring, file, b"");
}

#[test]
#[should_panic(expected = "has no client side")]
fn client_operations_are_refused() {
    let connect = Op::Connect { file: File(0), address: "127.0.0.1:1".parse().unwrap() };
    ring().push(token(9, File(0)), connect);
}
