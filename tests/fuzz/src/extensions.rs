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
