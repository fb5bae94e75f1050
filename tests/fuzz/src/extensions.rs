//! `Sec-WebSocket-Extensions` read byte by byte, as RFC 6455 §9.1 writes its grammar.

use crate::heads::is_token;

/// An extension's name, and its parameters with their values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) name: String,
    pub(crate) parameters: Vec<(String, Option<String>)>,
}

/// `1#extension`, with empty elements allowed (RFC 2616 §2.1).
pub(crate) fn read(value: &[u8]) -> Option<Vec<Extension>> {
    let mut reader = Reader { rest: value };
    let mut extensions = Vec::new();
    loop {
        reader.skip_space();
        if !matches!(reader.rest, [] | [b',', ..]) {
            extensions.push(reader.extension()?);
        }
        if reader.rest.is_empty() {
            return (!extensions.is_empty()).then_some(extensions);
        }
        reader.take(b',').then_some(())?;
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn extension(&mut self) -> Option<Extension> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.take(b';') {
            let name = self.token()?;
            let value = if self.take(b'=') { Some(self.value()?) } else { None };
            parameters.push((name, value));
        }
        Some(Extension { name, parameters })
    }

    fn value(&mut self) -> Option<String> {
        self.skip_space();
        if !self.rest.starts_with(b"\"") {
            return self.token();
        }
        self.rest = &self.rest[1..];
        let mut unescaped = Vec::new();
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => break,
                b'\\' => {
                    let (&escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    unescaped.push(escaped);
                }
                _ => unescaped.push(byte),
            }
        }
        self.skip_space();
        is_token(&unescaped).then(|| String::from_utf8(unescaped).expect("a token is ASCII"))
    }

    fn token(&mut self) -> Option<String> {
        self.skip_space();
        let length = self.rest.iter().position(|&byte| !is_token(&[byte])).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.skip_space();
        is_token(token).then(|| String::from_utf8(token.to_vec()).expect("a token is ASCII"))
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

// permessage-deflate --------------------------------------------------------------------------------------------

/// What a server agrees to: its window, where the offer named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement(Option<u8>);

impl Agreement {
    pub(crate) fn window_bits(self) -> u8 {
        self.0.unwrap_or(15)
    }

    pub(crate) fn answer(self) -> String {
        let window = self.0.map(|bits| format!("; server_max_window_bits={bits}"));
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover".to_owned()
            + &window.unwrap_or_default()
    }
}

/// The first offer that is valid (RFC 7692 §7.1) and whose window we have: 15, or 9 for those who may have a small one.
pub(crate) fn agreement(offers: &[Extension], may_be_small: bool) -> Option<Agreement> {
    offers.iter().filter(|offer| offer.is_deflate()).find_map(|offer| {
        offer.has_valid_parameters(true).then_some(())?;
        match offer.window("server_max_window_bits") {
            None => Some(Agreement(None)),
            Some(15) => Some(Agreement(Some(15))),
            Some(9..15) if may_be_small => Some(Agreement(Some(9))),
            Some(_) => None,
        }
    })
}

/// Whether this answers the only offer our client makes: no context takeover of the server, the client's window unlimited.
pub(crate) fn is_answer(value: &[u8]) -> bool {
    let Some(answers) = read(value) else { return false };
    let [answer] = &answers[..] else { return false };
    answer.is_deflate()
        && answer.has_valid_parameters(false)
        && answer.has("server_no_context_takeover")
        && !answer.has("client_max_window_bits")
}

impl Extension {
    fn is_deflate(&self) -> bool {
        self.name.eq_ignore_ascii_case("permessage-deflate")
    }

    fn has_valid_parameters(&self, is_offer: bool) -> bool {
        self.parameters.iter().enumerate().all(|(index, (name, value))| {
            let name = name.to_ascii_lowercase();
            let is_first = self.parameters[..index].iter().all(|other| !other.0.eq_ignore_ascii_case(&name));
            is_first
                && match &*name {
                    "server_no_context_takeover" | "client_no_context_takeover" => value.is_none(),
                    "client_max_window_bits" if is_offer && value.is_none() => true,
                    "server_max_window_bits" | "client_max_window_bits" => self.window(&name).is_some(),
                    _ => false,
                }
        })
    }

    fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|other| other.0.eq_ignore_ascii_case(name))
    }

    fn window(&self, name: &str) -> Option<u8> {
        let (_, value) = self.parameters.iter().find(|other| other.0.eq_ignore_ascii_case(name))?;
        let written: Vec<String> = (8..=15).map(|bits| bits.to_string()).collect();
        let index = written.iter().position(|bits| value.as_ref() == Some(bits))?;
        Some(8 + index as u8)
    }
}
