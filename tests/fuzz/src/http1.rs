//! Requests with bodies, one after the other on one connection, whole and in pieces.

use crate::handshake::{check_head, limits};
use crate::heads::{Lines, trim};
use crate::json;
use crate::pieces::Pieces;
use corecast::http::{BodyForm, body_form, check_body, route, route_admin};
use corecast::ids::Form;
use corecast_protocol::handshake::server::is_upgrade;
use corecast_protocol::http1::{
    BodyLength, ChunkedDecoder, HttpError, Parsed, RequestHead, Version, body_length, parse_request,
};

/// The longest body that is taken, in bytes.
const LIMIT: usize = 300;

pub fn check(bytes: &[u8]) {
    let Some(pieces) = Pieces::read(bytes) else { return };
    let mut whole = Reader::default();
    whole.hear(pieces.stream);
    let mut cut = Reader::default();
    pieces.iter().for_each(|piece| cut.hear(piece));
    let mut single = Reader::default();
    pieces.stream.chunks(1).for_each(|byte| single.hear(byte));
    for (other, how) in [(&cut, "in pieces"), (&single, "byte by byte")] {
        assert_eq!(other.bodies, whole.bodies, "{how}");
        assert_eq!(other.refused, whole.refused, "{how}");
        assert_eq!(other.unread, whole.unread, "{how}");
    }
    check_against_oracle(pieces.stream, &whole);
}

/// Reads as a server does: a head, its body, and so on.
#[derive(Default)]
struct Reader {
    /// Bytes of a head, or of a body of known length, that is incomplete.
    unread: Vec<u8>,
    /// A body that is under way, and what is to come of it.
    body: Option<(Vec<u8>, Rest)>,
    bodies: Vec<Vec<u8>>,
    refused: Option<HttpError>,
}

enum Rest {
    Bytes(usize),
    Chunks(ChunkedDecoder),
}

impl Reader {
    fn hear(&mut self, bytes: &[u8]) {
        if self.refused.is_some() {
            return;
        }
        self.unread.extend_from_slice(bytes);
        loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    assert!((400..=505).contains(&error.status()));
                    self.refused = Some(error);
                    // What is left of it depends on when that was known.
                    self.unread.clear();
                    self.body = None;
                    return;
                }
            }
        }
    }

    /// Whether something was read to its end.
    fn step(&mut self) -> Result<bool, HttpError> {
        let Some((body, rest)) = &mut self.body else { return self.read_head() };
        let is_done = match rest {
            Rest::Bytes(missing) => {
                let length = self.unread.len().min(*missing);
                body.extend(self.unread.drain(..length));
                *missing -= length;
                *missing == 0
            }
            Rest::Chunks(decoder) => {
                let (read, is_done) = decoder.decode(&self.unread, body, LIMIT)?;
                assert!(is_done || read == self.unread.len());
                self.unread.drain(..read);
                is_done
            }
        };
        assert!(body.len() <= LIMIT);
        if is_done {
            self.bodies.extend(self.body.take().map(|(body, _)| body));
        }
        Ok(is_done)
    }

    fn read_head(&mut self) -> Result<bool, HttpError> {
        let limits = limits();
        let Parsed::Complete { head, length } = parse_request(&self.unread, &limits)? else {
            assert!(self.unread.len() < limits.max_head_bytes());
            return Ok(false);
        };
        let rest = match body_length(&head)? {
            BodyLength::None => Rest::Bytes(0),
            BodyLength::Known(length) => match usize::try_from(length) {
                Ok(length) if length <= LIMIT => Rest::Bytes(length),
                _ => return Err(HttpError::BodyTooLong { limit: LIMIT }),
            },
            BodyLength::Chunked => Rest::Chunks(ChunkedDecoder::new()),
        };
        self.body = Some((Vec::new(), rest));
        self.unread.drain(..length);
        Ok(true)
    }
}

/// Everything at once, a request after the other, each body found the slow way (RFC 9112 §6, §7).
fn check_against_oracle(stream: &[u8], whole: &Reader) {
    let mut rest = stream;
    for body in &whole.bodies {
        let Ok(Parsed::Complete { head, length }) = parse_request(rest, &limits()) else {
            panic!("a body without a head");
        };
        let lines = Lines::read(&rest[..length]).expect("what was accepted is a head");
        check_head(&head, &lines);
        let (expected, later) = find_body(&lines, &rest[length..]).expect("a body was read");
        assert_eq!(body, &expected);
        check_meaning(&head, body);
        rest = later;
    }
    if let Ok(Parsed::Complete { head, length }) = parse_request(rest, &limits()) {
        let lines = Lines::read(&rest[..length]).expect("what was accepted is a head");
        check_head(&head, &lines);
        let body = find_body(&lines, &rest[length..]);
        assert_eq!(body, None, "{:?} although the body is whole", whole.refused);
    }
}

/// The body and what follows it, if all of it is there and everything about it is right.
fn find_body<'a>(head: &Lines<'_>, bytes: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
    let (lengths, codings) = (head.joined("content-length"), head.elements("transfer-encoding"));
    let has_coding = !head.values("transfer-encoding").is_empty();
    match (lengths, has_coding) {
        (None, false) => Some((Vec::new(), bytes)),
        (Some(lengths), false) => {
            let numbers = lengths.split(|&byte| byte == b',').map(|number| decimal(trim(number)));
            let numbers: Vec<u64> = numbers.collect::<Option<_>>()?;
            numbers.iter().all(|&number| number == numbers[0] && number <= LIMIT as u64).then_some(())?;
            let (body, rest) = bytes.split_at_checked(numbers[0] as usize)?;
            Some((body.to_vec(), rest))
        }
        (None, true) if head.first.ends_with(b"1.1") => match &codings[..] {
            [one] if one.eq_ignore_ascii_case(b"chunked") => find_chunks(bytes),
            _ => None,
        },
        _ => None,
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| str::from_utf8(digits).expect("digits").parse().ok()).flatten()
}

/// RFC 9112 §7.1.
fn find_chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let size_line = line(&mut rest).filter(|line| line.len() <= 255)?;
        let digits = size_line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if !matches!(size_line.get(digits), None | Some(b';' | b' ' | b'\t')) {
            return None;
        }
        let size = u64::from_str_radix(str::from_utf8(&size_line[..digits]).expect("digits"), 16).ok()?;
        if size > (LIMIT - body.len()) as u64 {
            return None;
        }
        if size == 0 {
            break;
        }
        let (data, later) = rest.split_at_checked(size as usize)?;
        body.extend_from_slice(data);
        rest = later.strip_prefix(b"\r\n")?;
    }
    let trailers = rest.len();
    while !line(&mut rest)?.is_empty() {}
    // Up to the last CR.
    (trailers - rest.len() - 1 <= 8192).then_some((body, rest))
}

/// A line, without the CR LF that ends it and with neither in it.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = rest.iter().position(|byte| b"\r\n".contains(byte))?;
    let line = &rest[..length];
    *rest = rest[length..].strip_prefix(b"\r\n")?;
    Some(line)
}

/// What the server makes of a whole request: refusals that can be told, messages that are what they are said to be.
fn check_meaning(head: &RequestHead<'_>, body: &[u8]) {
    for refusal in
        [route(head, is_upgrade(head), Some("/echo")).err(), route_admin(head).err()].into_iter().flatten()
    {
        assert!((400..=505).contains(&refusal.status), "{refusal:?}");
    }
    assert!(head.version == Version::Http10 || head.headers.contains("host"));
    let Ok(form) = body_form(head) else { return };
    let Ok(messages) = check_body(form, body) else { return };
    let mut end = 0;
    for message in &messages {
        assert!(end <= message.start, "messages overlap: {messages:?}");
        end = message.end;
        let payload = &body[message.clone()];
        let is_text = str::from_utf8(payload);
        match form.of_messages() {
            Form::Json => {
                assert!(
                    is_text.ok().and_then(json::value).is_some_and(|(found, _)| found.as_bytes() == payload)
                )
            }
            Form::Text => assert!(is_text.is_ok()),
            Form::Binary => {}
        }
    }
    assert!(!messages.is_empty());
    if !matches!(form, BodyForm::Lines) {
        assert_eq!(messages.len(), 1);
    }
}
