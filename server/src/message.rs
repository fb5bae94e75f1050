//! What is published: one message, or several at once.

use crate::ids::Form;
use std::ops::Range;
use std::sync::Arc;

/// Messages of one publish, borrowed from wherever they arrived.
#[derive(Copy, Clone, Debug)]
pub struct Messages<'a> {
    pub form: Form,
    block: &'a [u8],
    /// Where each message is in `block`; all of it is one message if absent.
    lines: Option<&'a [Range<usize>]>,
}

impl<'a> Messages<'a> {
    pub fn one(form: Form, payload: &'a [u8]) -> Self {
        Self { form, block: payload, lines: None }
    }

    /// Several messages of one body. There must be at least one.
    pub fn lines(form: Form, body: &'a [u8], lines: &'a [Range<usize>]) -> Self {
        assert!(!lines.is_empty(), "a publish has a message");
        Self { form, block: body, lines: Some(lines) }
    }

    pub fn count(&self) -> usize {
        self.lines.map_or(1, <[_]>::len)
    }

    /// Payload bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.lines.map_or(self.block.len(), |lines| lines.iter().map(ExactSizeIterator::len).sum())
    }

    /// What they take up once they are in memory of their own: the block with all that is between its lines, too.
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
        SharedMessages { form: self.form, block: self.block.into(), lines: self.lines.map(Into::into) }
    }
}

/// The same in memory of its own, which any number of shards may hold.
#[derive(Clone, Debug)]
pub struct SharedMessages {
    form: Form,
    block: Arc<[u8]>,
    lines: Option<Arc<[Range<usize>]>>,
}

impl SharedMessages {
    pub fn as_ref(&self) -> Messages<'_> {
        Messages { form: self.form, block: &self.block, lines: self.lines.as_deref() }
    }

    /// What they take up.
    pub fn held_bytes(&self) -> usize {
        self.as_ref().held_bytes()
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
