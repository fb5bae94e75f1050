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
