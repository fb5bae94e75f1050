//! permessage-deflate in Sec-WebSocket-Extensions: offered, answered, agreed on (RFC 6455 §9.1, RFC 7692 §5, §7.1).
//!
//! Both sides agree to no context takeover in either direction, or to no compression: see [`crate::deflate`].

use super::grammar::{Parameter, extensions};
use crate::deflate::{MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use crate::http1::Headers;

pub(super) const HEADER: &str = "Sec-WebSocket-Extensions";
const NAME: &str = "permessage-deflate";
/// What our client offers. Without `client_max_window_bits` the server cannot limit its window (RFC 7692 §7.1.2.2).
pub(super) const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Whether offers are accepted that want a smaller window of the server than 32 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmallWindows {
    /// One compressed form of a message serves everybody.
    Decline,
    /// They share a second one, with the smallest window.
    Accept,
}

/// What a server agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflate {
    /// Named in the answer if the offer named it (RFC 7692 §7.1.2.1).
    server_max_window_bits: Option<u8>,
}

impl Deflate {
    /// The server's window as a power of two: what it compresses with reaches no further back.
    pub fn window_bits(self) -> u8 {
        self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS)
    }

    /// Answers the first offer that can be accepted (RFC 7692 §5.1: they are in order of preference).
    pub(super) fn agree(headers: &Headers<'_>, small_windows: SmallWindows) -> Option<Self> {
        extensions(headers, HEADER)
            .filter(|(name, _)| name.eq_ignore_ascii_case(NAME.as_bytes()))
            .find_map(|(_, parameters)| Self::accept(&Parameters::of_offer(parameters)?, small_windows))
    }

    fn accept(offer: &Parameters, small_windows: SmallWindows) -> Option<Self> {
        // RFC 7692 §7.1.2.1: the answer has the same value or a smaller one.
        let server_max_window_bits = match (offer.server_max_window_bits, small_windows) {
            (None, _) => None,
            (Some(MAX_WINDOW_BITS), _) => Some(MAX_WINDOW_BITS),
            (Some(MIN_WINDOW_BITS..), SmallWindows::Accept) => Some(MIN_WINDOW_BITS),
            (Some(_), _) => return None,
        };
        Some(Self { server_max_window_bits })
    }

    /// The header's value in the 101 response. Not taking over its context is what an offer may ask of the server, and
    /// what the server may ask of any client (RFC 7692 §7.1.1).
    pub(super) fn answer(self) -> String {
        match self.server_max_window_bits {
            Some(bits) => format!("{OFFER}; server_max_window_bits={bits}"),
            None => OFFER.to_owned(),
        }
    }
}

/// Whether the server's answer is one to our offer, and if not, why.
pub(super) fn check_answer(headers: &Headers<'_>) -> Result<(), &'static str> {
    let mut agreed = extensions(headers, HEADER);
    let (name, parameters) = agreed.next().ok_or("it names no extension")?;
    if !name.eq_ignore_ascii_case(NAME.as_bytes()) {
        return Err("it was not offered");
    }
    if agreed.next().is_some() {
        return Err("it is not the only one, and only one was offered");
    }
    // RFC 7692 §7.1: unknown, repeated, invalid parameters.
    let answer =
        Parameters::of_answer(parameters).ok_or("a parameter is unknown, repeated or has a wrong value")?;
    if answer.client_max_window_bits {
        return Err("client_max_window_bits was not offered");
    }
    if !answer.server_no_context_takeover {
        return Err("server_no_context_takeover is missing, and only that was offered");
    }
    Ok(())
}

/// The parameters of one element of the list, each at most once.
#[derive(Debug, Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: bool,
}

impl Parameters {
    fn of_offer<'a>(parameters: impl Iterator<Item = Option<Parameter<'a>>>) -> Option<Self> {
        Self::parse(parameters, true)
    }

    fn of_answer<'a>(parameters: impl Iterator<Item = Option<Parameter<'a>>>) -> Option<Self> {
        Self::parse(parameters, false)
    }

    /// `None` for what must be declined (RFC 7692 §7.1): a parameter that is not defined, or not for this use; one with
    /// an invalid value; one that is there twice.
    fn parse<'a>(parameters: impl Iterator<Item = Option<Parameter<'a>>>, is_offer: bool) -> Option<Self> {
        let mut parsed = Self::default();
        for parameter in parameters {
            let Parameter { name, value } = parameter?;
            let was_there = match (name.to_ascii_lowercase().as_slice(), value.as_deref()) {
                (b"server_no_context_takeover", None) => {
                    std::mem::replace(&mut parsed.server_no_context_takeover, true)
                }
                (b"client_no_context_takeover", None) => {
                    std::mem::replace(&mut parsed.client_no_context_takeover, true)
                }
                (b"server_max_window_bits", Some(bits)) => {
                    parsed.server_max_window_bits.replace(window_bits(bits)?).is_some()
                }
                // RFC 7692 §7.1.2.2: in an offer the value is only a hint, and may be missing.
                (b"client_max_window_bits", Some(bits)) => {
                    window_bits(bits)?;
                    std::mem::replace(&mut parsed.client_max_window_bits, true)
                }
                (b"client_max_window_bits", None) if is_offer => {
                    std::mem::replace(&mut parsed.client_max_window_bits, true)
                }
                _ => return None,
            };
            if was_there {
                return None;
            }
        }
        Some(parsed)
    }
}

/// RFC 7692 §7.1.2.1: a decimal integer from 8 to 15 without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    match value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Header;

    fn lines<'a>(values: &[&'a str]) -> Headers<'a> {
        Headers(values.iter().map(|value| Header { name: HEADER, value: value.as_bytes() }).collect())
    }

    fn agree(offer: &str, small_windows: SmallWindows) -> Option<String> {
        Deflate::agree(&lines(&[offer]), small_windows).map(Deflate::answer)
    }

    const PLAIN_ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn offers_are_answered_without_context_takeover() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits", // Chromium, Firefox
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=\"15\"",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "PerMessage-Deflate; Client_No_Context_Takeover",
            "x-webkit-deflate-frame, permessage-deflate",
            "permessage-deflate; unknown, permessage-deflate",
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        ] {
            assert_eq!(agree(offer, SmallWindows::Decline).as_deref(), Some(PLAIN_ANSWER), "{offer}");
        }
        let two_lines = lines(&["foo", "permessage-deflate"]);
        assert!(Deflate::agree(&two_lines, SmallWindows::Decline).is_some());
    }

    /// RFC 7692 §7.1: what must be declined.
    #[test]
    fn offers_that_nobody_may_accept_are_declined() {
        for parameters in [
            "unknown",
            "unknown=1",
            "server_no_context_takeover=1",
            "client_no_context_takeover=\"1\"",
            "client_no_context_takeover=\"\"",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "client_max_window_bits; client_max_window_bits",
            "client_max_window_bits; client_max_window_bits=10",
            "server_max_window_bits=15; server_max_window_bits=15",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=015",
            "server_max_window_bits=+15",
            "server_max_window_bits=1 5",
            "server_max_window_bits=f",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=08",
            "client_max_window_bits=150",
        ] {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(agree(&offer, SmallWindows::Accept), None, "{offer}");
        }
        assert_eq!(agree("x-webkit-deflate-frame", SmallWindows::Accept), None);
        assert_eq!(Deflate::agree(&lines(&[]), SmallWindows::Accept), None);
    }

    /// RFC 7692 §7.1.2.1: accepted with the same or a smaller value.
    #[test]
    fn the_servers_window_is_as_asked_or_the_offer_is_declined() {
        for (bits, decline, accept) in [
            ("15", Some(15), Some(15)),
            ("\"15\"", Some(15), Some(15)),
            ("14", None, Some(9)),
            ("9", None, Some(9)),
            ("8", None, None),
        ] {
            let offer = format!("permessage-deflate; server_max_window_bits={bits}");
            let answer = |bits| format!("{PLAIN_ANSWER}; server_max_window_bits={bits}");
            assert_eq!(agree(&offer, SmallWindows::Decline), decline.map(answer), "{bits}");
            assert_eq!(agree(&offer, SmallWindows::Accept), accept.map(answer), "{bits}");
        }
        let small =
            Deflate::agree(&lines(&["permessage-deflate; server_max_window_bits=12"]), SmallWindows::Accept);
        assert_eq!(small.map(Deflate::window_bits), Some(9));
        let plain = Deflate::agree(&lines(&["permessage-deflate"]), SmallWindows::Accept);
        assert_eq!(plain.map(Deflate::window_bits), Some(15));
    }

    #[test]
    fn answers_are_ones_to_our_offer() {
        for answer in [
            PLAIN_ANSWER,
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=8",
        ] {
            assert_eq!(check_answer(&lines(&[answer])), Ok(()), "{answer}");
        }
        for answer in [
            "",
            "foo",
            "permessage-deflate",
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=15",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; unknown",
            "permessage-deflate; server_no_context_takeover, permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover, foo",
        ] {
            assert!(check_answer(&lines(&[answer])).is_err(), "{answer}");
        }
    }
}
