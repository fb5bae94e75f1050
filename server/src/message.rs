//! What is published: one message, or several at once.

use crate::ids::{Form, Variant};
use std::ops::Range;
use std::sync::Arc;

/// Messages of one publish, borrowed from wherever they arrived.
#[derive(Copy, Clone, Debug)]
pub struct Messages<'a> {
    pub form: Form,
    block: &'a [u8],
    /// Where each message is in `block`; all of it is one message if absent.
    lines: Option<&'a [Range<usize>]>,
    deflated: Option<&'a Deflated>,
}

impl<'a> Messages<'a> {
    pub fn one(form: Form, payload: &'a [u8]) -> Self {
        Self { form, block: payload, lines: None, deflated: None }
    }

    /// Several messages of one body. There must be at least one.
    pub fn lines(form: Form, body: &'a [u8], lines: &'a [Range<usize>]) -> Self {
        assert!(!lines.is_empty(), "a publish has a message");
        Self { form, block: body, lines: Some(lines), deflated: None }
    }

    /// The same with compressed forms, which were made of them.
    #[must_use]
    pub fn with_deflated(self, forms: &'a Deflated) -> Self {
        Self { deflated: Some(forms).filter(|forms| !forms.is_empty()), ..self }
    }

    /// A message's compressed form, if there is one.
    pub fn deflated(&self, index: usize, variant: Variant) -> Option<&'a [u8]> {
        self.deflated?.get(index, variant)
    }

    pub fn count(&self) -> usize {
        self.lines.map_or(1, <[_]>::len)
    }

    /// Payload bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.lines.map_or(self.block.len(), |lines| lines.iter().map(ExactSizeIterator::len).sum())
    }

    /// What they take up once they are in memory of their own: the block with all that is between its lines, too. Compressed
    /// forms do not count: there are four at most, each shorter than the payload or its JSON.
    pub fn held_bytes(&self) -> usize {
        self.block.len() + self.lines.map_or(0, size_of_val)
    }

    pub fn get(&self, index: usize) -> &'a [u8] {
        match self.lines {
            Some(lines) => &self.block[lines[index].clone()],
            None => self.block,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let messages = *self;
        (0..messages.count()).map(move |index| messages.get(index))
    }

    pub fn to_shared(&self) -> SharedMessages {
        SharedMessages {
            form: self.form,
            block: self.block.into(),
            lines: self.lines.map(Into::into),
            deflated: self.deflated.map(|forms| Arc::new(forms.clone())),
        }
    }
}

/// The same in memory of its own, which any number of shards may hold.
#[derive(Clone, Debug)]
pub struct SharedMessages {
    form: Form,
    block: Arc<[u8]>,
    lines: Option<Arc<[Range<usize>]>>,
    deflated: Option<Arc<Deflated>>,
}

impl SharedMessages {
    pub fn as_ref(&self) -> Messages<'_> {
        Messages {
            form: self.form,
            block: &self.block,
            lines: self.lines.as_deref(),
            deflated: self.deflated.as_deref(),
        }
    }

    /// The same with the compressed forms that `messages`, which are these, have.
    #[must_use]
    pub fn with_deflated_of(&self, messages: Messages<'_>) -> Self {
        Self { deflated: messages.deflated.map(|forms| Arc::new(forms.clone())), ..self.clone() }
    }

    /// What they take up.
    pub fn held_bytes(&self) -> usize {
        self.as_ref().held_bytes()
    }
}

/// What is kept of compressed forms for the next publish: their bytes, and of how many messages.
const BYTES_KEPT: usize = 64 << 10;
const MESSAGES_KEPT: usize = 16;

/// Compressed forms of the messages of one publish: payloads of frames with RSV1 set. A form that is not there goes plain.
#[derive(Clone, Debug, Default)]
pub struct Deflated {
    block: Vec<u8>,
    /// By message and variant; empty for none.
    ranges: Vec<[Range<u32>; Variant::COUNT]>,
}

impl Deflated {
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    pub fn get(&self, index: usize, variant: Variant) -> Option<&[u8]> {
        let range = self.ranges.get(index)?[variant.index()].clone();
        (!range.is_empty()).then(|| &self.block[range.start as usize..range.end as usize])
    }

    /// Adds a form of the message at `index` if `write` appends one; gives its length.
    pub fn add(&mut self, index: usize, variant: Variant, write: impl FnOnce(&mut Vec<u8>) -> bool) -> usize {
        let start = self.block.len();
        if !write(&mut self.block) {
            return 0;
        }
        let end = self.block.len();
        // Several forms of a gigabyte: the others go plain.
        let (Ok(first), Ok(last)) = (u32::try_from(start), u32::try_from(end)) else {
            self.block.truncate(start);
            return 0;
        };
        if self.ranges.len() <= index {
            self.ranges.resize(index + 1, [const { 0..0 }; Variant::COUNT]);
        }
        self.ranges[index][variant.index()] = first..last;
        end - start
    }

    /// Empties it, and gives back what a long message needed.
    pub fn clear(&mut self) {
        self.block.clear();
        self.block.shrink_to(BYTES_KEPT);
        self.ranges.clear();
        self.ranges.shrink_to(MESSAGES_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is between the lines is kept with them, and must not be kept for nothing.
    #[test]
    fn held_messages_count_with_everything_that_is_kept_of_their_body() {
        let lines = [0..1, 1000..1002];
        let messages = Messages::lines(Form::Json, &[b' '; 5000], &lines);
        assert_eq!((messages.count(), messages.bytes()), (2, 3));
        assert_eq!(messages.held_bytes(), 5000 + 2 * 16);
        assert_eq!(messages.to_shared().held_bytes(), 5000 + 2 * 16);
        assert_eq!(Messages::one(Form::Text, b"abc").held_bytes(), 3);
    }
}
