//! What is answered to which request.

use std::net::SocketAddr;
use std::rc::Rc;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use kernel::machine::Role;
use kernel::wire::server::ServerMessage;
use kernel::wire::{Code, client};
use smol_hyper::rt::FuturesIo;

use super::answer::{self, Answer, refusal, wrong_method};
use super::exchange::exchange;
use super::json;
use super::link::NetLink;
use super::port::{Port, Rules, in_time};
use super::slot::Slot;
use super::socket::Accepted;
use super::stream::Stream;

/// How deep the frame of a refusal nests. What nests deeper is an answer.
const REFUSAL_DEPTH: usize = 4;

const MSGPACK: &str = "application/x-msgpack";
const JSON: &str = "application/json";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TOO_LARGE_HINT: &str = "send the operations in several batches";

/// Whose requests they are.
#[derive(Debug)]
pub(super) struct Caller {
    pub from: SocketAddr,
    /// It speaks TLS, and so is a node of the cluster.
    pub is_tls: bool,
    pub slot: Rc<Slot>,
}

pub(super) async fn answer(request: Request<Incoming>, port: &Port, caller: &Caller) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let is_get = method == Method::GET;
    match path.as_str() {
        "/ws" if is_get => upgrade(request, Role::Client, port, caller),
        "/peer" if is_get && port.rules.tls.is_some() && !caller.is_tls => plain_peer(port, caller),
        "/peer" if is_get => upgrade(request, Role::Peer, port, caller),
        "/sync" if method == Method::POST => sync(request, port).await,
        "/metrics" if is_get => metrics(request.headers(), &port.rules),
        "/health/live" if is_get => answer::body(StatusCode::OK, "text/plain", "live\n"),
        "/health/ready" if is_get => match port.rules.health.is_ready() {
            true => answer::body(StatusCode::OK, "text/plain", "ready\n"),
            false => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "not_ready",
                "the node is starting, joining its cluster or stopping",
                "try again in a moment; its log says what it does",
            ),
        },
        "/ws" | "/peer" | "/metrics" | "/health/live" | "/health/ready" => wrong_method("GET"),
        "/sync" => wrong_method("POST"),
        _ => refusal(
            StatusCode::NOT_FOUND,
            "no_such_path",
            "there is nothing here",
            "try GET /ws, POST /sync, GET /metrics, GET /health/live or GET /health/ready",
        ),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// The refusal of a node that speaks as clients do.
fn plain_peer(port: &Port, caller: &Caller) -> Answer {
    if let Some(unsaid) = port.plain_peers.borrow_mut().may() {
        tracing::warn!(from = %caller.from, unsaid, "refused a node that speaks without TLS: it has no --cluster-cert-file");
    }
    refusal(
        StatusCode::FORBIDDEN,
        "peer_tls_required",
        "this node links with nodes over mutual TLS only: it was started with --cluster-cert-file",
        "start the other node with --cluster-cert-file, --cluster-key-file and --cluster-ca-file too",
    )
}

/// Switches a request to a WebSocket, which becomes a link.
fn upgrade(mut request: Request<Incoming>, role: Role, port: &Port, caller: &Caller) -> Answer {
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let (true, true, Some(key)) = (
        has_token(headers, &CONNECTION, "upgrade"),
        has_token(headers, &UPGRADE, "websocket"),
        key,
    ) else {
        let mut answer = refusal(
            StatusCode::UPGRADE_REQUIRED,
            "websocket_required",
            "this path is a WebSocket",
            "connect with a WebSocket client, or use POST /sync",
        );
        answer
            .headers_mut()
            .insert(UPGRADE, HeaderValue::from_static("websocket"));
        return answer;
    };
    if header(headers, &SEC_WEBSOCKET_VERSION) != "13" {
        let message = "only version 13 of the WebSocket protocol is spoken here";
        let mut answer = refusal(StatusCode::UPGRADE_REQUIRED, "websocket_version", message, "");
        answer
            .headers_mut()
            .insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return answer;
    }
    // Any page that a developer looks at could otherwise read and write the node on their own machine.
    if port.rules.secret.is_none() && !is_local_origin(headers.get(ORIGIN)) {
        return refusal(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "a node without authentication takes web pages from this machine only",
            "start it with --cluster-secret-file and let the page present the secret",
        );
    }
    let text = role == Role::Client && asks_for_json(request.uri().query());
    let accept = derive_accept_key(key);
    let (patience, links, warnings) = (port.rules.patience, port.links.clone(), Rc::clone(&port.strange));
    let (frame_bytes, unauthenticated_bytes) = (port.rules.frame_bytes, port.rules.unauthenticated_frame_bytes);
    let (from, slot) = (caller.from, Rc::clone(&caller.slot));
    let upgraded = hyper::upgrade::on(&mut request);
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let Ok(accept) = HeaderValue::from_str(&accept) else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "websocket_key",
            "the WebSocket key is malformed",
            "",
        );
    };
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    let switch = async move {
        let Some(Ok(upgraded)) = in_time(patience, upgraded).await else {
            return;
        };
        let Ok(parts) = upgraded.downcast::<FuturesIo<Stream>>() else {
            tracing::error!("an upgraded connection is not the socket that it was");
            return;
        };
        let accepted = Accepted {
            stream: parts.io.into_inner(),
            read_ahead: parts.read_buf,
            from,
            warnings,
            role,
            text,
            frame_bytes,
            unauthenticated_bytes,
            slot,
        };
        let _ = links.send(NetLink::from(accepted.link().await)).await;
    };
    port.executor.spawn(switch).detach();
    answer
}

/// Whether a client wants JSON from the first frame on, before it has sent one.
fn asks_for_json(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|part| part == "format=json"))
}

/// Whether a request comes from no web page, or from one of this machine.
fn is_local_origin(origin: Option<&HeaderValue>) -> bool {
    let Some(origin) = origin else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let Some((_, authority)) = origin.split_once("://") else {
        return false;
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host == "localhost" || host == "127.0.0.1" || host == "[::1]"
}

/// One frame up, the answer down.
async fn sync(request: Request<Incoming>, port: &Port) -> Answer {
    let kind = header(request.headers(), &CONTENT_TYPE)
        .split(';')
        .next()
        .unwrap_or("")
        .trim();
    let is_json = kind.eq_ignore_ascii_case(JSON);
    if !is_json && !kind.eq_ignore_ascii_case(MSGPACK) {
        let message = format!("content type {kind:?} is not taken");
        let hint = "send application/x-msgpack or application/json";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", &message, hint);
    }
    let (credentials, stranger) = (
        bearer(request.headers()).map(client::auth),
        stranger(request.headers(), &port.rules),
    );
    let limit = match stranger {
        None => port.rules.frame_bytes,
        Some(_) => port.rules.unauthenticated_frame_bytes.min(port.rules.frame_bytes),
    };
    let most = request
        .body()
        .size_hint()
        .exact()
        .map_or(limit, |bytes| bytes.min(limit as u64) as usize);
    // All that it may come to is taken before any of it is read: two that are half read never wait for each other.
    let Some(_held) = in_time(port.rules.patience, port.bodies.take(most as u64)).await else {
        if !request.headers().contains_key(EXPECT) {
            discard(request.into_body(), &port.rules).await;
        }
        let message = "too many bodies are being read";
        return refusal(
            StatusCode::TOO_MANY_REQUESTS,
            Code::Overloaded.name(),
            message,
            Code::Overloaded.hint(),
        );
    };
    let body = match whole_body(request, limit, &port.rules).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => {
            let message = format!("a body may have {limit} bytes");
            return match stranger {
                None => refusal(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &message, TOO_LARGE_HINT),
                Some(code) => code_refusal(code, &format!("without the right token {message}")),
            };
        }
        Err(BodyError::Other(refused)) => return refused,
    };
    let frame = match is_json.then(|| json::to_msgpack(&body)) {
        None => body,
        Some(Ok(frame)) => frame,
        Some(Err(error)) => return refusal(StatusCode::BAD_REQUEST, "bad_json", &error.to_string(), ""),
    };
    let frames = credentials.into_iter().chain([frame]).collect();
    let (link, reply) = exchange(frames, port.rules.frame_bytes);
    if port.links.send(link.into()).await.is_err() {
        return no_answer();
    }
    let Ok(frame) = reply.recv().await else {
        return no_answer();
    };
    if let Some(refused) = refused(&frame) {
        return refused;
    }
    if !is_json {
        return answer::body(StatusCode::OK, MSGPACK, frame);
    }
    match json::from_msgpack(&frame) {
        Ok(text) => answer::body(StatusCode::OK, JSON, text),
        Err(error) => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "not_json",
            &format!("the answer {error}"),
            "ask with application/x-msgpack",
        ),
    }
}

/// The token of `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = header(headers, &AUTHORIZATION).split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Why whoever asks is nobody that this node knows: there is no token, or a wrong one.
fn stranger(headers: &HeaderMap, rules: &Rules) -> Option<Code> {
    let secret = rules.secret.as_ref()?;
    match bearer(headers) {
        Some(token) if secret.is(token.as_bytes()) => None,
        Some(_) => Some(Code::AuthFailed),
        None => Some(Code::AuthRequired),
    }
}

/// What Prometheus scrapes. As much as anything else it is for those who know the secret.
fn metrics(headers: &HeaderMap, rules: &Rules) -> Answer {
    match stranger(headers, rules) {
        None => answer::body(StatusCode::OK, OPENMETRICS, rules.metrics.text()),
        Some(code) => code_refusal(code, "the metrics are for those who know the secret"),
    }
}

/// The answer to an exchange that the node refused as a whole: its code is an HTTP status too.
fn refused(frame: &[u8]) -> Option<Answer> {
    let (number, reason) = match ServerMessage::decode(frame, REFUSAL_DEPTH) {
        Ok(ServerMessage::Error { code, reason, .. }) => (code, reason),
        Ok(ServerMessage::AuthFail { reason }) => (Code::AuthFailed.number().into(), reason),
        _ => return None,
    };
    let code = Code::from_number(number).unwrap_or(Code::OutcomeUnknown);
    Some(code_refusal(code, reason))
}

/// A refusal with one of the node's codes, whose number is an HTTP status too.
fn code_refusal(code: Code, reason: &str) -> Answer {
    let status = StatusCode::from_u16(code.number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = refusal(status, code.name(), reason, code.hint());
    if status == StatusCode::UNAUTHORIZED {
        answer
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn no_answer() -> Answer {
    refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "no_answer",
        "the node closed the exchange without an answer: nobody knows whether it was done",
        "the node may be stopping; send the same operations again, they are done once",
    )
}

/// Why a body was not taken.
enum BodyError {
    TooLarge,
    Other(Answer),
}

/// The body, no longer than `limit`, and refused by its announced length before memory is taken for it.
async fn whole_body(request: Request<Incoming>, limit: usize, rules: &Rules) -> Result<Bytes, BodyError> {
    let waits = request.headers().contains_key(EXPECT);
    let mut body = request.into_body();
    let mut whole = BytesMut::new();
    let announced = body.size_hint().lower();
    let mut too_large = announced > limit as u64;
    while !too_large {
        match in_time(rules.patience, body.frame()).await {
            None => {
                let message = "the body did not arrive in time";
                let refused = refusal(StatusCode::REQUEST_TIMEOUT, "too_slow", message, "");
                return Err(BodyError::Other(refused));
            }
            Some(None) => return Ok(whole.freeze()),
            Some(Some(Err(error))) => {
                let refused = refusal(StatusCode::BAD_REQUEST, "bad_body", &error.to_string(), "");
                return Err(BodyError::Other(refused));
            }
            Some(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                too_large = whole.len() + data.len() > limit;
                if !too_large {
                    whole.extend_from_slice(&data);
                }
            }
        }
    }
    drop(whole);
    // Who waits for leave to send needs no more than the answer.
    if !waits {
        discard(body, rules).await;
    }
    Err(BodyError::TooLarge)
}

/// Lets a body that was refused go by, for a while: a client that still writes when the connection closes may never
/// read why.
async fn discard(mut body: Incoming, rules: &Rules) {
    let mut left = 2 * rules.frame_bytes;
    while let Some(Some(Ok(frame))) = in_time(rules.patience, body.frame()).await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(less) => left = less,
            None => return,
        }
    }
}
