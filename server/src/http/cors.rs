//! Pages of other sites: what their browsers must be told before they let them read an answer, or send more than a form
//! can (the Fetch standard, "CORS protocol").

use super::Answer;

/// The site of the page that asks, once it is known that it may: `https://app.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsOrigin(Box<str>);

impl CorsOrigin {
    pub(super) fn new(origin: &str) -> Self {
        Self(origin.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The answer to OPTIONS. Without an origin somebody wants to know the methods (RFC 9110 §9.3.7).
pub fn preflight(allow: &'static str, origin: Option<&CorsOrigin>) -> Answer {
    let answer = Answer::empty(204);
    match origin {
        None => answer.header("Allow", allow),
        // Access-Control-Allow-Private-Network is not among them: what a site on the internet may do inside of somebody's
        // network is not for this server to say.
        Some(_) => answer
            .with_cors(origin)
            .header("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
            .header("Access-Control-Allow-Headers", "Content-Type")
            .header("Access-Control-Max-Age", "600"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Refusal;

    fn written(answer: &Answer) -> String {
        let mut out = Vec::new();
        answer.write(false, true, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_browser_is_told_what_the_page_may_send() {
        let origin = CorsOrigin::new("https://app.example");
        let told = "HTTP/1.1 204 No Content\r\n\
            Access-Control-Allow-Methods: GET, HEAD, POST, OPTIONS\r\n\
            Access-Control-Allow-Headers: Content-Type\r\n\
            Access-Control-Max-Age: 600\r\n\
            Access-Control-Allow-Origin: https://app.example\r\n\
            Vary: Origin\r\n\r\n";
        let answer = preflight("GET, OPTIONS", Some(&origin));
        assert_eq!(written(&answer), told);
        // Two headers that allow an origin allow none.
        assert_eq!(written(&answer.with_cors(Some(&origin))), told);
    }

    #[test]
    fn without_an_origin_the_methods_are_told() {
        assert_eq!(
            written(&preflight("GET, OPTIONS", None)),
            "HTTP/1.1 204 No Content\r\nAllow: GET, OPTIONS\r\n\r\n"
        );
    }

    #[test]
    fn every_answer_can_be_shown_to_a_page() {
        let origin = CorsOrigin::new("https://app.example");
        let refusal = Answer::refusal(&Refusal::new(400, "bad_topic", "no"));
        for answer in [refusal, Answer::text(200, "text/plain", "x"), Answer::empty(304)] {
            let text = written(&answer.with_cors(Some(&origin)));
            assert!(
                text.ends_with(
                    "\r\nAccess-Control-Allow-Origin: https://app.example\r\nVary: Origin\r\n\r\n"
                ),
                "{text}"
            );
        }
        assert!(!written(&Answer::empty(204).with_cors(None)).contains("Origin"));
    }
}
