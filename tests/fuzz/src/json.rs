//! RFC 8259 read byte by byte: an oracle for who reads JSON with a library.

/// A member of an object: its key as the text it means, if it means one, and its value as it stands there.
pub(crate) type Member<'a> = (Option<String>, &'a str);

/// The members of `text` if it is an object, and nothing around it but white space.
pub(crate) fn members(text: &str) -> Option<Vec<Member<'_>>> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    let mut members = Vec::new();
    reader.object(&mut |key, value| members.push((string(key), value)))?;
    reader.skip_space();
    (reader.at == text.len()).then_some(members)
}

/// The value in `text`, without white space around it, and how deep arrays and objects stand in each other in it.
pub(crate) fn value(text: &str) -> Option<(&str, usize)> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    let start = reader.at;
    let depth = reader.value()?;
    let end = reader.at;
    reader.skip_space();
    (reader.at == text.len()).then_some((&text[start..end], depth))
}

/// What a string says; `None` for any other value, and for one with half of a surrogate pair.
pub(crate) fn string(value: &str) -> Option<String> {
    let mut rest = value.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut units = Vec::new();
    while let Some(character) = rest.next() {
        let meant = match (character, character == '\\') {
            (_, false) => character,
            (_, true) => match rest.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    units.push(u16::from_str_radix(rest.as_str().get(..4)?, 16).ok()?);
                    rest = rest.as_str()[4..].chars();
                    continue;
                }
                itself => itself,
            },
        };
        units.extend_from_slice(meant.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).ok()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Gives how deep it nests.
    fn value(&mut self) -> Option<usize> {
        match self.peek()? {
            b'{' => self.object(&mut |_, _| ()),
            b'[' => self.array(),
            b'"' => self.string().map(|_| 0),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => None,
        }
    }

    fn object(&mut self, member: &mut dyn FnMut(&'a str, &'a str)) -> Option<usize> {
        self.take(b'{')?;
        let mut deepest = 0;
        self.skip_space();
        if self.take(b'}').is_some() {
            return Some(1);
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            self.skip_space();
            self.take(b':')?;
            self.skip_space();
            let start = self.at;
            deepest = deepest.max(self.value()?);
            member(key, &self.text[start..self.at]);
            self.skip_space();
            if self.take(b'}').is_some() {
                return Some(1 + deepest);
            }
            self.take(b',')?;
        }
    }

    fn array(&mut self) -> Option<usize> {
        self.take(b'[')?;
        let mut deepest = 0;
        self.skip_space();
        if self.take(b']').is_some() {
            return Some(1);
        }
        loop {
            self.skip_space();
            deepest = deepest.max(self.value()?);
            self.skip_space();
            if self.take(b']').is_some() {
                return Some(1 + deepest);
            }
            self.take(b',')?;
        }
    }

    /// With its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            match self.next()? {
                b'"' => return Some(&self.text[start..self.at]),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            self.next().filter(u8::is_ascii_hexdigit)?;
                        }
                    }
                    _ => return None,
                },
                0..b' ' => return None,
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Option<usize> {
        let _ = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            let _ = self.take(b'+').or_else(|| self.take(b'-'));
            self.digits()?;
        }
        Some(0)
    }

    /// One at least.
    fn digits(&mut self) -> Option<()> {
        self.next().filter(u8::is_ascii_digit)?;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Some(())
    }

    fn literal(&mut self, literal: &str) -> Option<usize> {
        literal.bytes().try_for_each(|byte| self.take(byte)).map(|()| 0)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }
}
