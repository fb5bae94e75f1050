//! Clauses of RFC 6455 and RFC 7692 that bind the client as a whole: what it says and when. What a connection makes of bytes is
//! tested with the protocol crate.

use super::tests::{begun, json_role, role, switching_protocols};
use super::*;

/// First byte and payload.
type Frame = (u8, Vec<u8>);

/// Frames of ours without their masks: first byte and payload (RFC 6455 §5.3, the slow way). All of `bytes` must be such
/// frames, with payloads of at most 125 bytes.
fn unmasked(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first_byte, second, rest @ ..] = bytes {
        assert!((0x80..=0x80 + 125).contains(second), "§5.1: a client MUST mask all frames: {bytes:02x?}");
        let (key, rest) = rest.split_at(4);
        let (payload, rest) = rest.split_at(usize::from(second & 0x7f));
        frames.push((
            *first_byte,
            payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect(),
        ));
        bytes = rest;
    }
    frames
}

/// What a client that is open says to these bytes, how it comes out, and the messages that it took.
fn says(role: &Role, answer: &[u8], bytes: &[u8]) -> (Vec<Frame>, Result<Progress, Failure>, Vec<Vec<u8>>) {
    let (mut client, mut out) = begun(role);
    out.clear();
    let mut messages = Vec::new();
    let mut bytes = [answer, bytes].concat();
    let result = client.handle_bytes(&mut bytes, role, &mut Scratch::default(), &mut out, |_, message, _| {
        messages.push(message.to_vec())
    });
    (unmasked(&out), result, messages)
}

fn switching_with(line: &str) -> Vec<u8> {
    let mut answer = switching_protocols();
    answer.truncate(answer.len() - 2);
    answer.extend_from_slice(line.as_bytes());
    answer.extend_from_slice(b"\r\n\r\n");
    answer
}

/// §4.1: "Once the client's opening handshake has been sent, the client MUST wait for a response from the server before sending
/// any further data." Part of a response is none.
#[test]
fn nothing_is_said_before_the_whole_answer() {
    let role = role(&["--subscribe-message", "please"]);
    let (mut client, mut out) = begun(&role);
    out.clear();
    let answer = switching_protocols();
    for byte in &answer[..answer.len() - 1] {
        let progress =
            client.handle_bytes(&mut [*byte], &role, &mut Scratch::default(), &mut out, |_, _, _| {});
        assert_eq!((progress, &out[..]), (Ok(Progress::Opening), &b""[..]));
        assert!(!client.close(&mut out), "there is no connection to close");
    }
    client
        .handle_bytes(&mut [b'\n'], &role, &mut Scratch::default(), &mut out, |_, _, _| {})
        .expect("an answer");
    assert_eq!(unmasked(&out), [(0x81, b"please".to_vec())]);
}

/// §4.1: the connection fails on an answer that is none, and nothing is said to whoever gave it.
#[test]
fn failed_handshake_is_left_without_a_word() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        &switching_with("Sec-WebSocket-Protocol: unasked"),
        &switching_with("Sec-WebSocket-Extensions: permessage-deflate"),
        &switching_with("Upgrade: h2c"),
    ] {
        let (said, result, _) = says(&role(&[]), answer, b"");
        assert_eq!(said, []);
        assert!(matches!(result, Err(Failure::Handshake(_))), "{result:?}");
    }
}

/// §5.1, §5.2, §5.4, §8.1, §7.1.7: the Close has the code for what was wrong, and what came before was taken.
#[test]
fn server_that_breaks_the_protocol_is_failed_with_a_close() {
    for (bytes, code) in [
        (&b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..], 1002_u16), // masked
        (b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", 1002), // compressed, and nothing was agreed on
        (b"\x83\x00", 1002),
        (b"\x80\x00", 1002),
        (b"\x09\x00", 1002),
        (b"\x88\x01\x03", 1002),
        (b"\x88\x02\x03\xed", 1002),
        (b"\x81\x01\xff", 1007),
        (b"\x82\x7f\x40\x00\x00\x00\x00\x00\x00\x00", 1009),
    ] {
        let stream = [b"\x82\x01a", bytes, b"\x82\x01b\x89\x00"].concat();
        let (said, result, messages) = says(&role(&[]), &switching_protocols(), &stream);
        assert!(matches!(result, Err(Failure::Protocol(_))), "{bytes:02x?}: {result:?}");
        let [(0x88, body)] = &said[..] else { panic!("one Close: {said:02x?}") };
        assert_eq!(body[..2], code.to_be_bytes(), "{bytes:02x?}");
        assert_eq!(messages, [b"a"], "{bytes:02x?}");
    }
}

/// §7.1.7: "An endpoint MUST NOT continue to attempt to process data […] after being instructed to _Fail the WebSocket
/// Connection_."
#[test]
fn failed_connection_stays_failed_and_closes_once() {
    let role = role(&[]);
    let (mut client, mut out) = begun(&role);
    out.clear();
    let mut bytes = [&switching_protocols()[..], b"\x83\x00"].concat();
    client.handle_bytes(&mut bytes, &role, &mut Scratch::default(), &mut out, |_, _, _| {}).unwrap_err();
    let said = out.len();
    for later in [&b"\x82\x01b"[..], b"\x89\x00", b"\x88\x00"] {
        let result =
            client.handle_bytes(&mut later.to_vec(), &role, &mut Scratch::default(), &mut out, |_, _, _| {
                panic!("a message of a failed connection")
            });
        assert!(matches!(result, Err(Failure::Protocol(_))), "{result:?}");
        assert!(!client.close(&mut out) || out.len() == said, "one Close only");
    }
    assert_eq!(out.len(), said);
}

/// §5.5.1: "an endpoint MUST send a Close frame in response" with the code received, or without one.
#[test]
fn close_is_answered_with_its_code() {
    for (body, answer) in [(&b""[..], &b""[..]), (b"\x03\xe8", b"\x03\xe8"), (b"\x0f\xa8lapped", b"\x0f\xa8")]
    {
        let close = [&[0x88, body.len() as u8], body, b"\x82\x01b\x89\x00"].concat();
        let (said, result, messages) = says(&role(&[]), &switching_protocols(), &close);
        assert_eq!(said, [(0x88, answer.to_vec())]);
        assert!(matches!(result, Err(Failure::Closed { .. })), "{result:?}");
        assert_eq!(messages, Vec::<Vec<u8>>::new(), "nothing follows a Close");
    }
}

/// §5.5.2: having sent a Close is no excuse. §5.5.1: Closes that cross end the connection, with one from each side.
#[test]
fn ping_is_answered_between_our_close_and_theirs() {
    let role = role(&[]);
    let (mut client, mut out) = begun(&role);
    out.clear();
    client
        .handle_bytes(&mut switching_protocols(), &role, &mut Scratch::default(), &mut out, |_, _, _| {})
        .expect("open");
    assert!(client.close(&mut out) && client.close(&mut out), "once said");
    let mut bytes = b"\x89\x02hi\x88\x02\x03\xe9\x89\x04late".to_vec();
    assert_eq!(
        client.handle_bytes(&mut bytes, &role, &mut Scratch::default(), &mut out, |_, _, _| {}),
        Ok(Progress::Closed)
    );
    assert_eq!(unmasked(&out), [(0x88, b"\x03\xe8".to_vec()), (0x8a, b"hi".to_vec())]);
    assert!(client.is_closed());
}

/// §7.1.7: "If _The WebSocket Connection is Established_ […] the endpoint SHOULD send a Close frame"; §7.4.1 on 1010: "The list of
/// extensions that are needed SHOULD appear in the /reason/".
#[test]
fn connection_without_what_the_client_needs_is_closed() {
    let (said, result, _) = says(&json_role(&[]), &switching_protocols(), b"");
    assert_eq!((said, result), (vec![(0x88, b"\x03\xe8".to_vec())], Err(Failure::NoSubprotocol)));
    let (said, result, _) = says(&role(&["--deflate"]), &switching_protocols(), b"");
    let close = [&b"\x03\xf2"[..], b"permessage-deflate"].concat();
    assert_eq!((said, result), (vec![(0x88, close)], Err(Failure::NoDeflate)));
}

/// RFC 7692 §6.2, §7.2.2, and hostile: what inflates is taken, what does not fails the connection.
#[test]
fn compressed_messages_are_inflated_or_fail_the_connection() {
    let answer = switching_with("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover");
    let role = role(&["--deflate"]);
    let hello = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
    let fragments = b"\x41\x03\xf2\x48\xcd\x89\x00\x80\x04\xc9\xc9\x07\x00";
    let stream = [&hello[..], fragments, b"\x81\x05plain"].concat();
    let (said, result, messages) = says(&role, &answer, &stream);
    assert_eq!((said, result), (vec![(0x8a, vec![])], Ok(Progress::Open)));
    assert_eq!(messages, [&b"Hello"[..], b"Hello", b"plain"]);
    for (bytes, code) in [
        (&b"\xc1\x05\xf2\x00\x11\x00\x00"[..], 1007_u16), // goes on with the context of the last
        (b"\xc1\x01\x07", 1007),
        (b"\xc1\x07\x00\x01\x00\xfe\xff\xff\x00", 1007), // inflates to no text
        (b"\xc9\x00", 1002),
        (b"\xa1\x00", 1002),
    ] {
        let (said, result, messages) = says(&role, &answer, &[hello, bytes, hello].concat());
        assert!(matches!(result, Err(Failure::Protocol(_))), "{bytes:02x?}: {result:?}");
        let [(0x88, body)] = &said[..] else { panic!("one Close: {said:02x?}") };
        assert_eq!(body[..2], code.to_be_bytes(), "{bytes:02x?}");
        assert_eq!(messages, [b"Hello"], "{bytes:02x?}");
    }
}
