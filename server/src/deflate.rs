//! permessage-deflate on a shard (RFC 7692): what clients send is inflated, and what is published is compressed once for
//! each variant that somebody follows it in, at its topic's home, whatever the number of subscribers.
//!
//! Neither compressor nor decompressor exists before it is first needed, and no connection has one of its own: no message
//! refers to an earlier one.

use crate::dialect::write_message;
use crate::ids::{Compression, Encoding, Offset, Variants};
use crate::message::{Deflated, Messages};
use corecast_protocol::deflate::{Deflater, Inflater, MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use corecast_protocol::{MessageKind, ProtocolError};
use std::ops::RangeInclusive;

/// What a long message needed is given back beyond this.
const SCRATCH_KEPT: usize = 64 << 10;

/// User memory of a shard's compressor and decompressor once both were needed, for `corecast budget`: what zlib-rs was seen
/// to allocate, and the room that it inflates into.
pub const CODEC_BYTES: usize = (371 + 46 + 16) << 10;

#[derive(Debug)]
pub struct Codec {
    /// Messages of other lengths go plain: too short to be worth it, or longer than a log takes.
    lengths: RangeInclusive<usize>,
    level: u8,
    inflater: Option<Inflater>,
    deflater: Option<Deflater>,
    small_window: Option<Deflater>,
    /// A message as JSON.
    json: Vec<u8>,
}

/// What was compressed, for the metrics.
#[derive(Copy, Clone, Default, Eq, PartialEq, Debug)]
pub struct Deflation {
    pub messages: u64,
    /// Of those messages.
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Codec {
    /// `level` is 1 to 9.
    pub fn new(lengths: RangeInclusive<usize>, level: u8) -> Self {
        Self { lengths, level, inflater: None, deflater: None, small_window: None, json: Vec::new() }
    }

    /// The message that a client sent compressed. At most `limit` bytes come out.
    pub fn inflate(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, ProtocolError> {
        self.inflater.get_or_insert_default().inflate(kind, payload, limit)
    }

    /// Appends the compressed message, if it is worth it. Otherwise it goes plain.
    pub fn deflate(&mut self, compression: Compression, message: &[u8], out: &mut Vec<u8>) -> bool {
        let (deflater, window_bits) = match compression {
            Compression::Plain => return false,
            Compression::Deflate => (&mut self.deflater, MAX_WINDOW_BITS),
            Compression::SmallWindow => (&mut self.small_window, MIN_WINDOW_BITS),
        };
        self.lengths.contains(&message.len())
            && deflater.get_or_insert_with(|| Deflater::new(self.level, window_bits)).deflate(message, out)
    }

    /// Adds the `wanted` compressed forms of messages whose first has the offset `first`, to `forms`, which is empty.
    pub fn deflate_all(
        &mut self,
        wanted: Variants,
        topic: &str,
        first: Offset,
        messages: Messages<'_>,
        forms: &mut Deflated,
    ) -> Deflation {
        let mut done = Deflation::default();
        if wanted.is_empty() {
            return done;
        }
        let mut json = std::mem::take(&mut self.json);
        for (index, payload) in messages.iter().enumerate() {
            json.clear();
            for variant in wanted.iter() {
                let message = match variant.encoding {
                    Encoding::Raw => payload,
                    Encoding::Json => {
                        if json.is_empty() {
                            let offset = Offset(first.0 + index as u64);
                            write_message(&mut json, topic, offset, messages.form, payload);
                        }
                        &json
                    }
                };
                let added = forms.add(index, variant, |out| self.deflate(variant.compression, message, out));
                if added > 0 {
                    done.messages += 1;
                    done.bytes_in += message.len() as u64;
                    done.bytes_out += added as u64;
                }
            }
        }
        json.clear();
        json.shrink_to(SCRATCH_KEPT);
        self.json = json;
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Form, Variant};

    const RAW: Variant = Variant { encoding: Encoding::Raw, compression: Compression::Deflate };
    const JSON: Variant = Variant { encoding: Encoding::Json, compression: Compression::Deflate };
    const SMALL: Variant = Variant { encoding: Encoding::Raw, compression: Compression::SmallWindow };

    fn wanted(variants: &[Variant]) -> Variants {
        let mut wanted = Variants::default();
        variants.iter().for_each(|&variant| wanted.add(variant));
        wanted
    }

    fn inflate(payload: Option<&[u8]>) -> String {
        let mut codec = Codec::new(0..=1 << 20, 6);
        let text = codec.inflate(MessageKind::Text, payload.expect("there is such a form"), 1 << 20).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn each_message_has_the_forms_that_are_wanted() {
        let mut codec = Codec::new(20..=1 << 20, 6);
        let text = "again ".repeat(10);
        let body = format!("{text}\nshort\n{text}{text}");
        let lines = [0..60, 61..66, 67..187];
        let messages = Messages::lines(Form::Text, body.as_bytes(), &lines);
        let mut forms = Deflated::default();
        let done = codec.deflate_all(wanted(&[RAW, JSON]), "a", Offset(7), messages, &mut forms);
        assert_eq!(inflate(forms.get(0, RAW)), text);
        assert_eq!(forms.get(1, RAW), None, "below the threshold");
        assert_eq!(inflate(forms.get(2, RAW)), text.repeat(2));
        for (index, offset) in [(0, 7), (1, 8), (2, 9)] {
            let start =
                format!(r#"{{"op":"message","topic":"a","offset":{offset},"encoding":"text","data":""#);
            match forms.get(index, JSON) {
                None => assert_eq!(index, 1, "too short to shrink"),
                form => assert!(inflate(form).starts_with(&start)),
            }
        }
        assert_eq!((forms.get(0, SMALL), forms.get(3, RAW)), (None, None));
        assert!(done.messages >= 4 && done.bytes_in > done.bytes_out, "{done:?}");
        forms.clear();
        assert!(forms.is_empty());
        assert_eq!(forms.get(0, RAW), None);
    }

    #[test]
    fn nothing_is_made_that_nobody_wants() {
        let mut codec = Codec::new(0..=1 << 20, 1);
        let mut forms = Deflated::default();
        let messages = Messages::one(Form::Binary, &[0; 1_000]);
        let done = codec.deflate_all(Variants::default(), "a", Offset(1), messages, &mut forms);
        assert_eq!(done, Deflation::default());
        assert!(codec.deflater.is_none() && codec.small_window.is_none() && forms.is_empty());
        codec.deflate_all(wanted(&[SMALL]), "a", Offset(1), messages, &mut forms);
        assert!(codec.deflater.is_none() && codec.small_window.is_some());
        assert!(forms.get(0, SMALL).is_some_and(|form| form.len() < 50));
    }

    #[test]
    fn messages_are_compressed_from_the_shortest_length_to_the_longest() {
        let mut codec = Codec::new(100..=200, 1);
        let mut out = Vec::new();
        assert!(!codec.deflate(Compression::Deflate, &[0; 99], &mut out));
        assert!(codec.deflate(Compression::Deflate, &[0; 100], &mut out));
        assert!(codec.deflate(Compression::Deflate, &[0; 200], &mut out));
        assert!(!codec.deflate(Compression::Deflate, &[0; 201], &mut out));
        assert!(!codec.deflate(Compression::Plain, &[0; 100], &mut out));
    }
}
