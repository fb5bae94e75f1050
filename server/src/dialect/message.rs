//! Messages as JSON subscribers get them.

use super::json::{Reply, write_object};
use crate::ids::{Form, Offset};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The `message` object of the JSON dialect. `out` is empty before.
pub fn write_message(out: &mut Vec<u8>, topic: &str, offset: Offset, form: Form, payload: &[u8]) {
    // Topic names need no escaping in JSON: their letters are a few of ASCII.
    for part in [r#"{"op":"message","topic":""#, topic, r#"","offset":"#] {
        out.extend_from_slice(part.as_bytes());
    }
    write_offset(out, offset);
    match form {
        Form::Json => {
            out.extend_from_slice(br#","data":"#);
            out.extend_from_slice(payload);
        }
        Form::Text => {
            let text = str::from_utf8(payload).expect("text was checked before it was published");
            out.extend_from_slice(br#","encoding":"text","data":"#);
            serde_json::to_writer(&mut *out, text).expect("a string is written to memory");
        }
        Form::Binary => {
            out.extend_from_slice(br#","encoding":"base64","data":""#);
            write_base64(out, payload);
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// The `missed` object of the JSON dialect, for one message. `out` is empty before.
pub fn write_missed(out: &mut Vec<u8>, topic: &str, offset: Offset) {
    let reply = Reply::Missed { topic, from: offset, to: offset };
    write_object(&reply, None, out).expect("text is written to memory");
}

pub(super) fn write_offset(out: &mut Vec<u8>, offset: Offset) {
    out.extend_from_slice(itoa::Buffer::new().format(offset.0).as_bytes());
}

fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("base64 has four letters for three bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(form: Form, payload: &[u8]) -> String {
        let mut out = Vec::new();
        write_message(&mut out, "a.b~1", Offset(7), form, payload);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_values_stay_as_they_are_to_the_byte() {
        assert_eq!(
            message(Form::Json, br#" {"b": 1e400, "a":[ ]}"#),
            r#"{"op":"message","topic":"a.b~1","offset":7,"data": {"b": 1e400, "a":[ ]}}"#
        );
        assert_eq!(
            message(Form::Json, b"null"),
            r#"{"op":"message","topic":"a.b~1","offset":7,"data":null}"#
        );
    }

    #[test]
    fn text_is_a_string_and_says_so() {
        assert_eq!(
            message(Form::Text, "say \"no\"\\\n\u{1}\u{7f} Straße 🦀 \u{2028}".as_bytes()),
            "{\"op\":\"message\",\"topic\":\"a.b~1\",\"offset\":7,\"encoding\":\"text\",\
             \"data\":\"say \\\"no\\\"\\\\\\n\\u0001\u{7f} Straße 🦀 \u{2028}\"}"
        );
        assert_eq!(
            message(Form::Text, b""),
            r#"{"op":"message","topic":"a.b~1","offset":7,"encoding":"text","data":""}"#
        );
    }

    #[test]
    fn binary_is_base64_with_padding() {
        for (bytes, data) in [
            (&b""[..], ""),
            (b"\xfb", "+w=="),
            (b"\xfb\xff", "+/8="),
            (b"\xfb\xff\xfe", "+//+"),
            (b"\0\0\0\0", "AAAAAA=="),
        ] {
            assert_eq!(
                message(Form::Binary, bytes),
                format!(
                    r#"{{"op":"message","topic":"a.b~1","offset":7,"encoding":"base64","data":"{data}"}}"#
                )
            );
        }
    }

    #[test]
    fn a_message_left_out_is_named() {
        let mut out = Vec::new();
        write_missed(&mut out, "a", Offset(9_007_199_254_740_991));
        assert_eq!(out, br#"{"op":"missed","topic":"a","from":9007199254740991,"to":9007199254740991}"#);
    }
}
