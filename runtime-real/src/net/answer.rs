//! HTTP answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// An answer whose whole body is at hand.
pub(super) type Answer = Response<Full<Bytes>>;

/// An answer with a body.
pub(super) fn body(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(bytes.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// A refusal: `{code, message, hint}`.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str, hint: &str) -> Answer {
    body(status, "application/json", refusal_text(code, message, hint))
}

/// The refusal of a method that a path does not know.
pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let message = format!("this path takes {allowed} only");
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", &message, "");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// The body of a refusal.
pub(super) fn refusal_text(code: &str, message: &str, hint: &str) -> String {
    let mut text = serde_json::json!({ "code": code, "message": message, "hint": hint }).to_string();
    text.push('\n');
    text
}
