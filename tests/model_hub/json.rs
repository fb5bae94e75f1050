//! The JSON dialect's messages, written naively: what the hub sends must not be checked with the code that wrote it.

use corecast::ids::Form;

pub(crate) fn message(topic: &str, offset: u64, form: Form, payload: &[u8]) -> Vec<u8> {
    let data = match form {
        Form::Json => format!(r#""data":{}"#, str::from_utf8(payload).unwrap()),
        Form::Text => format!(r#""encoding":"text","data":"{}""#, escaped(str::from_utf8(payload).unwrap())),
        Form::Binary => format!(r#""encoding":"base64","data":"{}""#, base64(payload)),
    };
    format!(r#"{{"op":"message","topic":"{topic}","offset":{offset},{data}}}"#).into_bytes()
}

pub(crate) fn missed(topic: &str, offset: u64) -> Vec<u8> {
    format!(r#"{{"op":"missed","topic":"{topic}","from":{offset},"to":{offset}}}"#).into_bytes()
}

/// RFC 8259 §7, with the short forms where there are any.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\u{0}'..' ' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(*three.get(index).unwrap_or(&0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * index) & 63) as usize];
            out.push(if index <= three.len() { char::from(letter) } else { '=' });
        }
    }
    out
}
