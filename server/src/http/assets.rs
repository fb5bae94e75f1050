//! The built-in page, its script, and the reference client: files of this binary.

use super::Answer;
use corecast_protocol::http1::RequestHead;
use std::hash::{DefaultHasher, Hasher};
use std::sync::OnceLock;

/// The page runs its own script and talks to this server, nothing else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'";

static PAGE: Asset = Asset::new("text/html; charset=utf-8", include_str!("../../web/index.html"));
static PAGE_JS: Asset = Asset::new("text/javascript; charset=utf-8", include_str!("../../web/page.js"));
static CLIENT_JS: Asset = Asset::new("text/javascript; charset=utf-8", include_str!("../../web/client.js"));

/// The built-in page.
pub fn page(head: &RequestHead<'_>) -> Answer {
    PAGE.answer(head).header("Content-Security-Policy", PAGE_POLICY)
}

/// The page's script.
pub fn page_js(head: &RequestHead<'_>) -> Answer {
    PAGE_JS.answer(head)
}

/// The reference client, a JavaScript module.
pub fn client_js(head: &RequestHead<'_>) -> Answer {
    CLIENT_JS.answer(head)
}

struct Asset {
    content_type: &'static str,
    text: &'static str,
    tag: OnceLock<String>,
}

impl Asset {
    const fn new(content_type: &'static str, text: &'static str) -> Self {
        Self { content_type, text, tag: OnceLock::new() }
    }

    /// The file, or that it is still the one the client has. It asks every time: another version of the server may run.
    fn answer(&self, head: &RequestHead<'_>) -> Answer {
        let tag = self.tag.get_or_init(|| tag(self.text));
        let answer = if has_current(head, tag) {
            Answer::empty(304)
        } else {
            Answer::text(200, self.content_type, self.text)
        };
        answer
            .header("Cache-Control", "no-cache")
            .header("ETag", tag)
            .header("X-Content-Type-Options", "nosniff")
    }
}

/// An entity tag (RFC 9110 §8.8.3), made of the content.
fn tag(content: &str) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(content.as_bytes());
    format!("\"{:016x}\"", hasher.finish())
}

/// RFC 9110 §13.1.2: tags are compared without regard to whether they are weak.
fn has_current(head: &RequestHead<'_>, tag: &str) -> bool {
    head.headers
        .tokens("if-none-match")
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
