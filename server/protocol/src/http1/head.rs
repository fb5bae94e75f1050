//! A head that has been parsed: the first line, and the header lines.

/// The two versions that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Http10,
    Http11,
}

/// A request's head (RFC 9112 §3, §5), borrowed from the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// As sent: methods are case-sensitive (RFC 9110 §9.1).
    pub method: &'a str,
    /// As sent, not decoded.
    pub target: &'a str,
    pub version: Version,
    pub headers: Headers<'a>,
}

/// A response's head (RFC 9112 §4, §5), borrowed from the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    pub version: Version,
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase; often empty, and of no meaning (RFC 9112 §4).
    pub reason: &'a str,
    pub headers: Headers<'a>,
}

/// One header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// As sent; compare it without regard to case (RFC 9110 §5.1).
    pub name: &'a str,
    /// Without surrounding white space. Not always UTF-8 (RFC 9110 §5.5).
    pub value: &'a [u8],
}

/// The header lines in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a>(pub Vec<Header<'a>>);

impl<'a> Headers<'a> {
    /// The values of all lines of this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// The first value of this name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.values(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The elements of a comma-separated list, over all lines of this name, trimmed, empty ones left out
    /// (RFC 9110 §5.6.1). A comma in a quoted string ends an element, too.
    pub fn elements(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }

    /// Such a list's elements without those that are not UTF-8: they are no tokens.
    pub fn tokens(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.elements(name).filter_map(|element| std::str::from_utf8(element).ok())
    }

    /// Whether such a list has this element, without regard to case (`Connection: keep-alive, Upgrade`).
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.elements(name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }
}

impl<'a> RequestHead<'a> {
    /// The values of all lines of this name, which is compared without regard to case.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.values(name)
    }

    /// The target up to its query.
    pub fn path(&self) -> &'a str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }

    /// What follows the target's first question mark.
    pub fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

impl<'a> ResponseHead<'a> {
    /// The values of all lines of this name, which is compared without regard to case.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.values(name)
    }
}
