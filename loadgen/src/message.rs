//! The bytes of a published message: stamp, filler, and what a publish template puts around them.

use corecast_protocol::Opcode;

use crate::scenario::Scenario;
use crate::stamp::{Encoding, Stamp};

/// One publisher's message, built once; only the stamp is written anew.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    stamp_at: usize,
    encoding: Encoding,
    opcode: Opcode,
}

impl Message {
    pub(crate) fn new(scenario: &Scenario, publisher: u32) -> Self {
        let encoding = scenario.encoding();
        let mut random = fastrand::Rng::with_seed(scenario.seed ^ u64::from(publisher));
        let mut payload = vec![b'.'; scenario.message_bytes as usize];
        for byte in &mut payload[encoding.stamp_bytes()..] {
            *byte = match encoding {
                Encoding::Binary => random.u8(..),
                Encoding::Text => random.alphanumeric() as u8,
            };
        }
        let topic = scenario.topic_name(scenario.topic_of(publisher));
        let template = scenario.publish_template.as_ref().map(|template| template.replace("{topic}", &topic));
        let (before, after) =
            template.as_deref().and_then(|template| template.split_once("{payload}")).unwrap_or_default();
        let stamp_at = before.len();
        let bytes = [before.as_bytes(), &payload, after.as_bytes()].concat();
        Self { bytes, stamp_at, encoding, opcode: scenario.kind.opcode() }
    }

    pub(crate) fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// The message with this stamp.
    pub(crate) fn stamped(&mut self, stamp: &Stamp) -> &[u8] {
        stamp.write(self.encoding, &mut self.bytes[self.stamp_at..]);
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Finder;
    use clap::Parser;

    const STAMP: Stamp =
        Stamp { run: 7, publisher: 1, sequence: 2, measured: false, intended_ns: 3, sent_ns: 4 };

    fn message(arguments: &[&str]) -> Message {
        let arguments = std::iter::once(&"run").chain(arguments);
        let options = crate::options::RunOptions::try_parse_from(arguments).expect("valid options");
        Message::new(&Scenario::from_options(&options).expect("a valid scenario"), 1)
    }

    #[test]
    fn binary_message_has_the_size_asked_for_and_begins_with_its_stamp() {
        let mut message = message(&["--size", "100", "--seed", "1"]);
        let bytes = message.stamped(&STAMP);
        assert_eq!(bytes.len(), 100);
        assert_eq!(bytes[..3], [0xC0, 0xCA, 0x57]);
        assert_eq!(Finder::new(Encoding::Binary).find(bytes), Some(STAMP));
        assert_eq!(message.opcode(), Opcode::Binary);
    }

    #[test]
    fn template_wraps_the_payload() {
        let template = r#"{"op":"publish","topic":"{topic}","data":"{payload}"}"#;
        let mut message = message(&["--text", "--size", "70", "--publish-template", template]);
        let text = String::from_utf8(message.stamped(&STAMP).to_vec()).expect("text is UTF-8");
        assert!(text.starts_with(r#"{"op":"publish","topic":"load-0","data":"amkmhf"#), "{text}");
        assert!(text.ends_with(r#""}"#), "{text}");
        assert_eq!(text.len(), 70 + 43);
        assert_eq!(Finder::new(Encoding::Text).find(text.as_bytes()), Some(STAMP));
    }

    #[test]
    fn filler_follows_from_the_seed() {
        let bytes = |seed| message(&["--size", "200", "--seed", seed]).stamped(&STAMP).to_vec();
        assert_eq!(bytes("1"), bytes("1"));
        assert_ne!(bytes("1"), bytes("2"));
    }
}
