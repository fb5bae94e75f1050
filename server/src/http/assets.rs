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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::with_head;

    static EXAMPLE: Asset = Asset::new("text/javascript; charset=utf-8", "let a;");
    const TAG: &str = "\"TAG\"";

    /// The answer to a request with this header line, its tag replaced by a name.
    fn answer(header: &str) -> String {
        let tag = tag(EXAMPLE.text);
        let request = format!("GET /a.js HTTP/1.1\r\nAccept: */*{}", header.replace(TAG, &tag));
        let mut out = Vec::new();
        with_head(&request, |head| EXAMPLE.answer(head).write(false, false, &mut out));
        String::from_utf8(out).unwrap().replace(&tag, TAG)
    }

    #[test]
    fn a_file_has_its_type_and_a_tag_and_is_asked_for_anew() {
        assert_eq!(
            answer(""),
            "HTTP/1.1 200 OK\r\n\
            Content-Type: text/javascript; charset=utf-8\r\n\
            Content-Length: 6\r\n\
            Cache-Control: no-cache\r\n\
            ETag: \"TAG\"\r\n\
            X-Content-Type-Options: nosniff\r\n\r\n\
            let a;"
        );
    }

    #[test]
    fn who_has_the_file_is_told_so() {
        for known in ["\"TAG\"", "W/\"TAG\"", "\"x\", \"TAG\"", "*"] {
            assert_eq!(
                answer(&format!("\r\nIf-None-Match: {known}")),
                "HTTP/1.1 304 Not Modified\r\n\
                Cache-Control: no-cache\r\n\
                ETag: \"TAG\"\r\n\
                X-Content-Type-Options: nosniff\r\n\r\n",
                "{known}"
            );
        }
        for other in ["\"x\"", "TAG", "\"tag\"", ""] {
            assert!(
                answer(&format!("\r\nIf-None-Match: {other}")).starts_with("HTTP/1.1 200 OK\r\n"),
                "{other}"
            );
        }
    }

    #[test]
    fn tags_are_of_the_content() {
        assert_eq!(tag("let a;"), tag("let a;"));
        assert_ne!(tag("let a;"), tag("let b;"));
        assert_eq!(tag("").len(), 18);
    }

    #[test]
    fn the_page_runs_nothing_but_its_own_script() {
        let mut out = Vec::new();
        with_head("GET / HTTP/1.1", |head| page(head).write(false, true, &mut out));
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{text}");
        assert!(
            text.ends_with(
                "\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'\r\n\r\n"
            ),
            "{text}"
        );
        // What the policy would not let it run.
        assert!(!PAGE.text.contains("javascript:") && !PAGE.text.contains(" onclick="));
        assert!(PAGE.text.contains("src=\"/page.js\""));
    }

    #[test]
    fn scripts_are_the_files_of_their_names() {
        for (answer, file) in [
            (with_head("GET /page.js HTTP/1.1", page_js), include_str!("../../web/page.js")),
            (with_head("GET /client.js HTTP/1.1", client_js), include_str!("../../web/client.js")),
        ] {
            let mut out = Vec::new();
            answer.write(false, false, &mut out);
            assert!(out.ends_with(file.as_bytes()));
        }
    }
}
