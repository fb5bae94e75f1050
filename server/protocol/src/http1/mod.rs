//! HTTP/1.1 heads and bodies (RFC 9112), bounded while they arrive.

mod body;
mod error;
mod head;
mod parse;
pub(crate) mod uri;

pub use body::{BodyLength, ChunkedDecoder, body_length};
pub use error::HttpError;
pub use head::{Header, Headers, RequestHead, ResponseHead, Version};
pub use parse::{Parsed, parse_request, parse_response};
pub use uri::Target;
