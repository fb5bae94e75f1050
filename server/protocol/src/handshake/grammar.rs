//! The grammar of the handshake's header values: tokens, and the lists made of them (RFC 6455 §4.3, §9.1).

use std::borrow::Cow;

use crate::http1::Headers;

/// Whether all lines of this name together are a list of one token or more: `1#token`.
pub(super) fn is_token_list(headers: &Headers<'_>, name: &str) -> bool {
    is_list(headers, name, is_token)
}

/// Whether all lines of this name together are what RFC 6455 §9.1 calls an `extension-list`.
pub(super) fn is_extension_list(headers: &Headers<'_>, name: &str) -> bool {
    is_list(headers, name, is_extension)
}

/// RFC 9110 §5.6.2. RFC 6455 refers to RFC 2616 §2.2, whose tokens are the same.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN_BYTES[usize::from(byte)])
}

pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Looked up rather than compared with each: a browser's handshake has a hundred of them.
const TOKEN_BYTES: [bool; 256] = {
    let mut is_token = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        is_token[byte] = is_token_byte(byte as u8);
        byte += 1;
    }
    is_token
};

/// A parameter of an extension, its value unquoted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: Option<Cow<'a, [u8]>>,
}

/// The extensions of a header with their parameters, in their order; `None` is a parameter against the grammar.
pub(super) fn extensions<'h>(
    headers: &'h Headers<'_>,
    name: &'h str,
) -> impl Iterator<Item = (&'h [u8], impl Iterator<Item = Option<Parameter<'h>>>)> {
    // Commas in quoted strings need no care: what is quoted must be a token, which has none.
    headers.elements(name).map(|element| {
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        (parts.next().unwrap_or_default(), parts.map(parameter))
    })
}

/// `1#element` of RFC 2616 §2.1: null elements are allowed (`a,,b`), but do not count as the one that is
/// required.
fn is_list(headers: &Headers<'_>, name: &str, is_element: fn(&[u8]) -> bool) -> bool {
    let mut elements = headers.elements(name).peekable();
    elements.peek().is_some() && elements.all(is_element)
}

/// `extension-token *( ";" extension-param )`
fn is_extension(element: &[u8]) -> bool {
    let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    parts.next().is_some_and(is_token) && parts.all(|part| parameter(part).is_some())
}

/// `token [ "=" (token | quoted-string) ]`
fn parameter(part: &[u8]) -> Option<Parameter<'_>> {
    let Some(equals) = part.iter().position(|&byte| byte == b'=') else {
        return is_token(part).then_some(Parameter { name: part, value: None });
    };
    let (name, value) = (part[..equals].trim_ascii_end(), part[equals + 1..].trim_ascii_start());
    let value = match value.strip_prefix(b"\"") {
        Some(quoted) => Cow::Owned(unquoted(quoted.strip_suffix(b"\"")?)?),
        None => Cow::Borrowed(value),
    };
    // RFC 6455 §9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF".
    (is_token(name) && is_token(&value)).then_some(Parameter { name, value: Some(value) })
}

/// What stands between the quotes, unescaped. `None` if the second quote is itself escaped.
fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut unescaped = Vec::with_capacity(quoted.len());
    let mut rest = quoted.iter();
    while let Some(&byte) = rest.next() {
        unescaped.push(if byte == b'\\' { *rest.next()? } else { byte });
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Header;

    fn lines<'a>(values: &[&'a str]) -> Headers<'a> {
        Headers(values.iter().map(|value| Header { name: "X", value: value.as_bytes() }).collect())
    }

    #[test]
    fn tokens_are_visible_ascii_without_separators() {
        let token: Vec<u8> = (0..=255).filter(|&byte| is_token(&[byte])).collect();
        let separators_of_rfc_2616 = b"()<>@,;:\\\"/[]?={}";
        let expected: Vec<u8> = (0x21..=0x7E).filter(|byte| !separators_of_rfc_2616.contains(byte)).collect();
        assert_eq!(token, expected);
        assert!(!is_token(b""));
        assert!(is_token(b"corecast.json.v1"));
    }

    #[test]
    fn token_lists_have_at_least_one_token_and_nothing_else() {
        for values in [&["chat"][..], &["chat, superchat"], &[", chat,,\tx ,"], &["a", "b,c"], &["", "a"]] {
            assert!(is_token_list(&lines(values), "x"), "{values:?}");
        }
        for values in [
            &[][..],
            &[""],
            &[", ,"],
            &["", ""],
            &["two words"],
            &["chat", "two words"],
            &["a/b"],
            &["\"quoted\""],
            &["chat; q=1"],
            &["caf\u{e9}"],
        ] {
            assert!(!is_token_list(&lines(values), "x"), "{values:?}");
        }
    }

    /// The examples of RFC 6455 §9.1, and what browsers send.
    #[test]
    fn extension_lists_have_names_and_parameters() {
        for values in [
            &["deflate-stream"][..],
            &["mux; max-channels=4; flow-control, deflate-stream"],
            &["permessage-deflate; client_max_window_bits, x-webkit-deflate-frame"],
            &["foo", "bar; baz=2"],
            &["foo;bar=\"baz\""],
            &["foo ; bar\t= baz ,"],
            &["foo; bar=\"b\\a\\z\""],
        ] {
            assert!(is_extension_list(&lines(values), "x"), "{values:?}");
        }
        for values in [
            &[][..],
            &[""],
            &[","],
            &[";"],
            &["; foo"],
            &["foo;"],
            &["foo; ;bar"],
            &["foo bar"],
            &["foo; bar baz"],
            &["foo; =5"],
            &["foo; bar="],
            &["foo=bar"],
            &["foo; bar=1=2"],
            &["foo; bar=\""],
            &["foo; bar=\"\""],
            &["foo; bar=\"open"],
            &["foo; bar=\"open\\\""],
            &["foo; bar=\"two words\""],
            &["foo; bar=\"a,b\""],
            &["foo; bar=\"a\\,b\""],
            &["foo; bar=\"a\\\"b\""],
            &["foo(bar)"],
            &["foo", "bar; baz="],
        ] {
            assert!(!is_extension_list(&lines(values), "x"), "{values:?}");
        }
    }
}
