//! HTTP requests on a connection: parsed, answered, or turned into a WebSocket.

use super::closing::Hex;
use super::{Context, Shard};
use crate::http::{
    self, Answer, BodyForm, CONTINUE, ConnectionInfo, PendingPublish, Refusal, Requester, Rest, Role, Route,
    body_form,
};
use crate::ids::{Form, Slot};
use crate::net::connection::{Flag, Phase};
use crate::observe::{Snapshot, prometheus};
use corecast_protocol::handshake::server::{accept_upgrade, is_upgrade};
use corecast_protocol::http1::{
    BodyLength, ChunkedDecoder, Parsed, RequestHead, Version, body_length, parse_request,
};
use corecast_protocol::{MessageKind, topic::TopicName};
use corecast_uring::Ring;
use std::fmt::Display;
use tracing::{debug, info};

/// Connections that the admin listener lists at most: one page, made within a turn.
const CONNECTIONS_SHOWN: usize = 1000;

impl Shard {
    /// Handles one request, or a piece of one, at the start of `bytes`; gives how many bytes that took. None: there is not
    /// a whole head yet.
    pub(super) fn on_http_input<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        bytes: &[u8],
    ) -> usize {
        if self.table[slot].inbound.as_ref().is_some_and(|inbound| inbound.publish.is_some()) {
            return self.on_body(cx, slot, bytes);
        }
        match parse_request(bytes, &self.limits) {
            Ok(Parsed::Incomplete) => 0,
            Ok(Parsed::Complete { head, length }) => self.on_request(cx, slot, &head, length, bytes),
            Err(error) => {
                self.log_refused(cx, slot, bytes, &error);
                self.refuse(cx, slot, &Refusal::new(error.status(), "bad_request", error.to_string()), false);
                bytes.len()
            }
        }
    }

    fn on_request<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        head: &RequestHead<'_>,
        length: usize,
        bytes: &[u8],
    ) -> usize {
        self.table[slot].deadline = self.clock.deadline(self.settings.http_idle);
        // Over the limit a connection gets one answer: it must not hold on to a place that is kept for answering others.
        let is_last = head.headers.has_token("connection", "close")
            || head.version == Version::Http10
            || self.table[slot].is(Flag::OverLimit)
            || self.drain.is_some();
        if is_last {
            self.table[slot].set(Flag::LastRequest);
        }
        let cors = self.access.cors(head);
        match self.serve(cx, slot, head, &bytes[length..], cors.as_ref()) {
            Ok(body) => length + body,
            Err(refusal) => {
                if is_upgrade(head) {
                    self.log_refused(cx, slot, bytes, &refusal.message);
                } else {
                    debug!(peer = %self.table[slot].peer, status = refusal.status, "{}", refusal.message);
                }
                self.refuse(cx, slot, &refusal, head.method == "HEAD");
                bytes.len()
            }
        }
    }

    /// A client whose request can't be understood, or whose handshake fails, often shows its user nothing; and often it is
    /// not the client but something in between that is set up wrongly. So the operator is told.
    fn log_refused<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        seen: &[u8],
        message: &(impl Display + ?Sized),
    ) {
        if let Some(suppressed) = self.protocol_error_log.allow(cx.now) {
            let peer = self.table[slot].peer;
            info!(%peer, connection = slot.0, bytes = %Hex::start_of(seen), suppressed, "{message}");
        }
    }

    /// Does what a request asks for; gives how much of `rest` was its body.
    fn serve<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        head: &RequestHead<'_>,
        rest: &[u8],
    ) -> Result<usize, Refusal> {
        let body = body_length(head)
            .map_err(|error| Refusal::new(error.status(), "bad_request", error.to_string()))?;
        let has_body = !matches!(body, BodyLength::None | BodyLength::Known(0));
        let route = if self.table[slot].is(Flag::Admin) {
            self.access.may_administer(head, self.requester(slot))?;
            http::route_admin(head)?
        } else {
            self.route_client(slot, head, is_upgrade(head))?
        };
        let answer = match route {
            Route::Raw { .. } | Route::Json if has_body => {
                return Err(Refusal::new(400, "bad_request", "a WebSocket handshake has no body"));
            }
            Route::Raw { topic, role } => {
                self.upgrade(cx, slot, head, &topic, role)?;
                return Ok(0);
            }
            Route::Json => {
                return Err(Refusal::new(
                    404,
                    "bad_request",
                    "the JSON dialect is not served yet; use /topics/{topic}",
                ));
            }
            Route::Page => http::page(head),
            Route::PageJs => http::page_js(head),
            Route::ClientJs => http::client_js(head),
            Route::Preflight { allow } => http::preflight(allow, None),
            Route::Publish { topic } => return self.begin_publish(cx, slot, head, topic, &body, rest),
            Route::TopicInfo { topic } => match self.hub.info(&topic) {
                Some(info) => http::topic_info(topic.as_str(), info),
                None => Answer::refusal(&Refusal::new(
                    404,
                    "bad_topic",
                    format!("no topic {topic} is known; it comes to be with its first subscriber or message"),
                )),
            },
            Route::Health | Route::Ready => {
                http::health(self.websockets, self.settings.max_connections, self.drain.is_some())
            }
            Route::Metrics => Answer::text(200, prometheus::CONTENT_TYPE, self.metrics_page(cx)),
            Route::Connections { .. } => self.connections_page(),
        };
        // A body nobody asked for is not read: the connection ends with the answer instead.
        if has_body {
            self.table[slot].set(Flag::LastRequest);
        }
        self.answer(cx, slot, &answer, head.method == "HEAD");
        Ok(if self.table[slot].is(Flag::LastRequest) { rest.len() } else { 0 })
    }

    fn route_client(
        &mut self,
        slot: Slot,
        head: &RequestHead<'_>,
        is_upgrade: bool,
    ) -> Result<Route, Refusal> {
        let route = http::route(head, is_upgrade)?;
        if route == Route::Health {
            return Ok(route);
        }
        if self.drain.is_some() {
            return Err(Refusal::new(503, "overloaded", "the server is shutting down; connect to another"));
        }
        if self.table[slot].is(Flag::OverLimit) {
            self.metrics.counters.connections_rejected_full += 1;
            return Err(Refusal::new(
                503,
                "overloaded",
                format!(
                    "all {} connections are in use; try again later, or raise max_connections",
                    self.settings.max_connections
                ),
            ));
        }
        self.access.may_connect(head)?;
        Ok(route)
    }

    fn metrics_page<R: Ring>(&mut self, cx: &mut Context<'_, R>) -> String {
        self.publish_metrics(cx.ring);
        prometheus::render(&Snapshot::of(&self.all_metrics))
    }

    fn connections_page(&self) -> Answer {
        let shown: Vec<ConnectionInfo<'_>> = self
            .table
            .iter()
            .take(CONNECTIONS_SHOWN)
            .map(|(slot, connection)| ConnectionInfo {
                id: slot.0,
                peer: connection.peer.to_string(),
                state: connection.phase.name(),
                topic: connection.topic.map(|topic| self.hub.name(topic)),
                subscribed: self.hub.topic_of(slot).is_some(),
                lagging: self.hub.is_lagging(slot),
                paused: connection.is(Flag::Paused),
                inbound_bytes: connection.inbound_bytes(),
            })
            .collect();
        http::connections(0, 1, self.table.occupied(), &shown)
    }

    /// Answers a request that is not done. Nothing after it is read: its body, if any, was not looked at.
    pub(super) fn refuse<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        refusal: &Refusal,
        is_head: bool,
    ) {
        self.table[slot].set(Flag::LastRequest);
        self.answer(cx, slot, &Answer::refusal(refusal), is_head);
    }

    fn requester(&self, slot: Slot) -> Requester {
        let connection = &self.table[slot];
        Requester {
            is_loopback_peer: connection.peer.is_loopback(),
            is_loopback_listener: connection.is(Flag::LoopbackListener),
        }
    }

    // Upgrading -------------------------------------------------------------------------------------------------

    fn upgrade<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        head: &RequestHead<'_>,
        topic: &TopicName,
        role: Role,
    ) -> Result<(), Refusal> {
        let accepted = accept_upgrade(head, &[]).map_err(|error| {
            self.metrics.counters.handshakes_failed += 1;
            Refusal {
                header: error.response_header(),
                ..Refusal::new(error.status(), "bad_request", error.to_string())
            }
        })?;
        let may_publish = match self.access.may_publish(head, self.requester(slot)) {
            _ if role == Role::Subscriber => false,
            Ok(()) => true,
            Err(refusal) if role == Role::Publisher => return Err(refusal),
            Err(_) => false,
        };
        let id = self.open_topic(cx, topic)?;
        let connection = &mut self.table[slot];
        connection.phase = Phase::Open;
        connection.topic = Some(id);
        connection.deadline = self.clock.deadline(self.settings.ping);
        if may_publish {
            connection.set(Flag::MayPublish);
        }
        if role == Role::Publisher {
            connection.set(Flag::PublisherOnly);
            self.hub.attach_publisher(id);
        } else {
            if role == Role::Subscriber {
                connection.set(Flag::SubscriberOnly);
            }
            self.hub.subscribe(slot, id);
            // It lags until its 101, and whatever answers are before that, are out.
            self.hub.hold(slot);
        }
        accepted.write_response(connection.outbound_mut().reply());
        self.mark(slot);
        self.websockets += 1;
        self.metrics.counters.upgrades += 1;
        Ok(())
    }

    // Publishing ------------------------------------------------------------------------------------------------

    /// Checks a publish from its head and takes as much of its body as there is.
    fn begin_publish<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        head: &RequestHead<'_>,
        topic: TopicName,
        body: &BodyLength,
        rest: &[u8],
    ) -> Result<usize, Refusal> {
        self.access.may_publish(head, self.requester(slot)).inspect_err(|_| {
            self.metrics.counters.publishes_refused += 1;
        })?;
        let form = body_form(head)?;
        if form == BodyForm::Lines {
            return Err(Refusal::new(
                415,
                "bad_request",
                "lines of JSON are not supported yet; send one request for each message",
            ));
        }
        let limit = self.settings.max_message_bytes;
        let missing = match *body {
            BodyLength::Known(length) if length > limit as u64 => {
                return Err(Refusal::too_large(length, limit));
            }
            BodyLength::Known(length) if length <= rest.len() as u64 => {
                let length = length as usize;
                self.finish_publish(cx, slot, topic, form, &rest[..length]);
                return Ok(length);
            }
            BodyLength::None => {
                self.finish_publish(cx, slot, topic, form, &[]);
                return Ok(0);
            }
            BodyLength::Known(length) => Rest::Bytes(length as usize),
            BodyLength::Chunked => Rest::Chunks(ChunkedDecoder::new()),
        };
        // RFC 9110 §10.1.1: not for HTTP/1.0, and not once the body is coming.
        if rest.is_empty()
            && head.version == Version::Http11
            && head.headers.has_token("expect", "100-continue")
        {
            self.table[slot].outbound_mut().reply().extend_from_slice(CONTINUE);
            self.mark(slot);
        }
        let pending = PendingPublish { topic, form, cors: None, body: Vec::new(), rest: missing };
        self.table[slot].inbound_mut().publish = Some(Box::new(pending));
        Ok(if rest.is_empty() { 0 } else { self.on_body(cx, slot, rest) })
    }

    /// Takes more of a publish's body; gives how many bytes belonged to it.
    fn on_body<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, bytes: &[u8]) -> usize {
        let limit = self.settings.max_message_bytes;
        let connection = &mut self.table[slot];
        connection.deadline = self.clock.deadline(self.settings.http_idle);
        let mut pending = connection.inbound_mut().publish.take().expect("a body belongs to a publish");
        let taken = match &mut pending.rest {
            Rest::Nothing => 0,
            Rest::Bytes(missing) => {
                let taken = bytes.len().min(*missing);
                pending.body.extend_from_slice(&bytes[..taken]);
                *missing -= taken;
                if *missing == 0 {
                    pending.rest = Rest::Nothing;
                }
                taken
            }
            Rest::Chunks(decoder) => match decoder.decode(bytes, &mut pending.body, limit) {
                Ok((taken, is_done)) => {
                    if is_done {
                        pending.rest = Rest::Nothing;
                    }
                    taken
                }
                Err(error) => {
                    let code = if error.status() == 413 { "too_large" } else { "bad_request" };
                    self.refuse(cx, slot, &Refusal::new(error.status(), code, error.to_string()), false);
                    return bytes.len();
                }
            },
        };
        if matches!(pending.rest, Rest::Nothing) {
            let PendingPublish { topic, form, body, .. } = *pending;
            self.finish_publish(cx, slot, topic, form, &body);
        } else {
            self.table[slot].inbound_mut().publish = Some(pending);
        }
        taken
    }

    /// Publishes a body that is whole.
    fn finish_publish<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        topic: TopicName,
        form: BodyForm,
        body: &[u8],
    ) {
        let kind = if form.of_messages() == Form::Binary { MessageKind::Binary } else { MessageKind::Text };
        if let Err(refusal) = self.publish_body(cx, slot, topic, kind, body) {
            self.metrics.counters.publishes_refused += 1;
            self.answer(cx, slot, &Answer::refusal(&refusal), false);
        }
    }
}
