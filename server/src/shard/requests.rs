//! HTTP requests on a connection: parsed, answered, or turned into a WebSocket.

use super::closing::Hex;
use super::publish::TopicsFull;
use super::{Context, Shard};
use crate::dialect::json::SUBPROTOCOL;
use crate::http::{
    self, Answer, BodyForm, CONTINUE, ConnectionInfo, CorsOrigin, PendingPublish, Refusal, Requester, Rest,
    Role, Route, body_form, check_body,
};
use crate::ids::{ShardId, Slot};
use crate::mesh::{About, HomeAnswer, HttpReply, ReplyTo, Request};
use crate::message::Messages;
use crate::net::connection::Flag;
use crate::observe::{Snapshot, prometheus};
use crate::topics::Wants;
use corecast_protocol::handshake::server::{Accepted, accept_upgrade, is_upgrade};
use corecast_protocol::http1::{
    BodyLength, ChunkedDecoder, Parsed, RequestHead, Version, body_length, parse_request,
};
use corecast_protocol::topic::TopicName;
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
                self.refuse(
                    cx,
                    slot,
                    &Refusal::new(error.status(), "bad_request", error.to_string()),
                    None,
                    false,
                );
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
            || self.is_stopping();
        if is_last {
            self.table[slot].set(Flag::LastRequest);
        }
        let is_admin = self.table[slot].is(Flag::Admin);
        let cors = if is_admin { None } else { self.access.cors(head) };
        match self.serve(cx, slot, head, &bytes[length..], cors.as_ref()) {
            Ok(body) => length + body,
            Err(refusal) => {
                if is_upgrade(head) {
                    self.log_refused(cx, slot, bytes, &refusal.message);
                } else {
                    debug!(peer = %self.table[slot].peer, status = refusal.status, "{}", refusal.message);
                }
                self.refuse(cx, slot, &refusal, cors.as_ref(), head.method == "HEAD");
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
        cors: Option<&CorsOrigin>,
    ) -> Result<usize, Refusal> {
        let body = body_length(head)
            .map_err(|error| Refusal::new(error.status(), "bad_request", error.to_string()))?;
        let has_body = !matches!(body, BodyLength::None | BodyLength::Known(0));
        let is_head = head.method == "HEAD";
        let route = if self.table[slot].is(Flag::Admin) {
            self.access.may_administer(head, self.requester(slot))?;
            http::route_admin(head)?
        } else {
            self.route_client(slot, head, is_upgrade(head))?
        };
        let answer = match route {
            Route::Raw { .. } | Route::Json | Route::Echo if has_body => {
                return Err(Refusal::new(400, "bad_request", "a WebSocket handshake has no body"));
            }
            Route::Raw { topic, role } => {
                self.upgrade_raw(cx, slot, head, &topic, role)?;
                return Ok(0);
            }
            Route::Json => {
                self.upgrade_json(slot, head)?;
                return Ok(0);
            }
            Route::Echo => {
                self.upgrade_echo(slot, head)?;
                return Ok(0);
            }
            Route::Page => http::page(head),
            Route::PageJs => http::page_js(head),
            Route::ClientJs => http::client_js(head),
            Route::Preflight { allow } => http::preflight(allow, cors),
            Route::Publish { topic } => return self.begin_publish(cx, slot, head, topic, &body, rest),
            Route::TopicInfo { topic } => {
                let shard = self.mesh.home_of(&topic);
                let reply = HttpReply { topic: Some(topic), count: None, is_head, cors: cors.cloned() };
                return Ok(self.ask_shard(cx, slot, shard, reply, has_body, rest));
            }
            Route::Connections { shard } if shard >= self.mesh.shards() => {
                return Err(Refusal::no_such_shard(shard, self.mesh.shards()));
            }
            Route::Connections { shard } => {
                let reply = HttpReply { topic: None, count: None, is_head, cors: None };
                return Ok(self.ask_shard(cx, slot, ShardId(shard), reply, has_body, rest));
            }
            Route::Health | Route::Ready => {
                let maximum = self.settings.max_connections_in_all;
                http::health(self.mesh.websockets(), maximum, self.is_stopping())
            }
            Route::Metrics => Answer::text(200, prometheus::CONTENT_TYPE, self.metrics_page(cx)),
        };
        Ok(self.answer_at_once(cx, slot, &answer.with_cors(cors), is_head, has_body, rest))
    }

    /// Answers; gives how much of `rest` is not to be looked at. A body nobody asked for is not read: the connection ends with
    /// the answer instead.
    fn answer_at_once<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        answer: &Answer,
        is_head: bool,
        has_body: bool,
        rest: &[u8],
    ) -> usize {
        if has_body {
            self.table[slot].set(Flag::LastRequest);
        }
        self.answer(cx, slot, answer, is_head);
        if self.table[slot].is(Flag::LastRequest) { rest.len() } else { 0 }
    }

    /// Has a topic's home, or the shard whose connections are wanted, say what it knows. Like `answer_at_once`.
    fn ask_shard<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        shard: ShardId,
        reply: HttpReply,
        has_body: bool,
        rest: &[u8],
    ) -> usize {
        if has_body {
            self.table[slot].set(Flag::LastRequest);
        }
        let topic = reply.topic.clone();
        let about = About::Http(Box::new(reply));
        if shard == self.mesh.me {
            let answer = match &topic {
                Some(topic) => HomeAnswer::Info(self.topic_info(topic)),
                None => HomeAnswer::Connections(self.connections_page()),
            };
            self.on_home_answer(cx, slot, about, answer);
        } else {
            let reply = ReplyTo { slot, generation: self.table[slot].generation, about };
            let request = match topic {
                Some(topic) => Request::Info { topic, reply },
                None => Request::Connections { reply },
            };
            self.request(cx, slot, shard, request);
        }
        if self.table[slot].is(Flag::LastRequest) { rest.len() } else { 0 }
    }

    fn route_client(
        &mut self,
        slot: Slot,
        head: &RequestHead<'_>,
        is_upgrade: bool,
    ) -> Result<Route, Refusal> {
        let route = http::route(head, is_upgrade, self.echo_path.as_deref())?;
        if route == Route::Health {
            return Ok(route);
        }
        if self.is_stopping() {
            return Err(Refusal::draining());
        }
        if self.table[slot].is(Flag::OverLimit) {
            self.metrics.counters.connections_rejected_full += 1;
            return Err(Refusal::new(
                503,
                "overloaded",
                format!(
                    "all {} connections of this core are in use; try again later, or raise max_connections",
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

    pub(super) fn connections_page(&self) -> String {
        let shown: Vec<ConnectionInfo<'_>> = self
            .table
            .iter()
            .take(CONNECTIONS_SHOWN)
            .map(|(slot, connection)| ConnectionInfo {
                id: slot.0,
                peer: connection.peer.to_string(),
                state: connection.phase.name(),
                topic: connection.topic.map(|topic| self.topics[topic].name.as_str()),
                subscriptions: self.hub.subscriptions_of(slot),
                lagging: self.hub.is_lagging(slot),
                paused: connection.is(Flag::Paused),
                inbound_bytes: connection.inbound_bytes(),
            })
            .collect();
        http::connections(self.mesh.me.0, self.mesh.shards(), self.table.occupied(), &shown)
    }

    /// Answers a request that is not done, a handshake too (RFC 6455 §4.2.1, §7.2.2). Nothing after it is read: its body, if
    /// any, was not looked at.
    pub(super) fn refuse<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        refusal: &Refusal,
        cors: Option<&CorsOrigin>,
        is_head: bool,
    ) {
        self.table[slot].set(Flag::LastRequest);
        self.answer(cx, slot, &Answer::refusal(refusal).with_cors(cors), is_head);
    }

    fn requester(&self, slot: Slot) -> Requester {
        let connection = &self.table[slot];
        Requester {
            is_loopback_peer: connection.peer.is_loopback(),
            is_loopback_listener: connection.is(Flag::LoopbackListener),
        }
    }

    // Upgrading -------------------------------------------------------------------------------------------------

    /// Checks a handshake and agrees on what the client offers. The connection is told of it.
    pub(super) fn accept_upgrade(
        &mut self,
        slot: Slot,
        head: &RequestHead<'_>,
        subprotocols: &[&'static str],
    ) -> Result<Accepted, Refusal> {
        let accepted = accept_upgrade(head, subprotocols).map_err(|error| Refusal {
            header: error.response_header(),
            ..Refusal::new(error.status(), "bad_request", error.to_string())
        });
        let checked = accepted.and_then(|accepted| http::check_subprotocol(&accepted).map(|()| accepted));
        let mut accepted = checked.inspect_err(|_| self.metrics.counters.handshakes_failed += 1)?;
        if let Some(small_windows) = self.settings.deflate {
            accepted = accepted.agree_deflate(head, small_windows);
        }
        if let Some(deflate) = accepted.deflate() {
            self.table[slot].agree_deflate(deflate);
        }
        Ok(accepted)
    }

    fn upgrade_raw<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        head: &RequestHead<'_>,
        topic: &TopicName,
        role: Role,
    ) -> Result<(), Refusal> {
        let accepted = self.accept_upgrade(slot, head, &[])?;
        let may_publish = match self.access.may_publish(head, self.requester(slot)) {
            _ if role == Role::Subscriber => false,
            Ok(()) => true,
            Err(refusal) if role == Role::Publisher => return Err(refusal),
            Err(_) => false,
        };
        let id =
            self.record(cx, topic).map_err(|TopicsFull| Refusal::topics_full(self.settings.max_topics))?;
        let mut response = Vec::new();
        accepted.write_response(&mut response);
        let connection = &mut self.table[slot];
        if may_publish {
            connection.set(Flag::MayPublish);
        }
        if role == Role::Publisher {
            connection.set(Flag::PublisherOnly);
            connection.topic = Some(id);
            self.topics[id].publishers += 1;
            self.open_websocket(slot, response);
        } else {
            if role == Role::Subscriber {
                connection.set(Flag::SubscriberOnly);
            }
            // The 101 says that messages come from here on.
            self.subscribe(cx, slot, id, Wants::Raw { response });
        }
        Ok(())
    }

    fn upgrade_json(&mut self, slot: Slot, head: &RequestHead<'_>) -> Result<(), Refusal> {
        let accepted = self.accept_upgrade(slot, head, &[SUBPROTOCOL])?;
        let mut response = Vec::new();
        accepted.write_response(&mut response);
        let may_publish = self.access.may_publish(head, self.requester(slot)).is_ok();
        let connection = &mut self.table[slot];
        connection.set(Flag::Json);
        if may_publish {
            connection.set(Flag::MayPublish);
        }
        self.open_websocket(slot, response);
        Ok(())
    }

    /// A subscription that waited for the topic's home can't be made.
    pub(super) fn refuse_subscription<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, wants: Wants) {
        match wants {
            Wants::Raw { .. } => {
                self.metrics.counters.handshakes_failed += 1;
                self.refuse(cx, slot, &Refusal::topics_full(self.settings.max_topics), None, false);
            }
            Wants::Json { id } => self.refuse_full(cx, slot, id),
        }
    }

    /// The server began to stop while a subscription waited for the topic's home.
    pub(super) fn refuse_drained<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        self.refuse(cx, slot, &Refusal::draining(), None, false);
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
        let cors = self.access.cors(head);
        let begun = |rest| PendingPublish { topic, form, cors, body: Vec::new(), rest };
        let limit = self.settings.max_message_bytes;
        let missing = match *body {
            BodyLength::Known(length) if length > limit as u64 => {
                return Err(Refusal::too_large(length, limit));
            }
            BodyLength::Known(length) if length <= rest.len() as u64 => {
                let length = length as usize;
                self.finish_publish(cx, slot, begun(Rest::Nothing), &rest[..length]);
                return Ok(length);
            }
            BodyLength::None => {
                self.finish_publish(cx, slot, begun(Rest::Nothing), &[]);
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
        self.table[slot].inbound_mut().publish = Some(Box::new(begun(missing)));
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
                    let refusal = Refusal::new(error.status(), code, error.to_string());
                    self.refuse(cx, slot, &refusal, pending.cors.as_ref(), false);
                    return bytes.len();
                }
            },
        };
        if matches!(pending.rest, Rest::Nothing) {
            let body = std::mem::take(&mut pending.body);
            self.finish_publish(cx, slot, *pending, &body);
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
        publish: PendingPublish,
        body: &[u8],
    ) {
        let PendingPublish { topic, form, cors, .. } = publish;
        if self.drain.is_some() {
            // Those who would get it have been sent away.
            self.refuse(cx, slot, &Refusal::draining(), cors.as_ref(), false);
            return;
        }
        match check_body(form, body) {
            Ok(lines) => {
                let is_lines = form == BodyForm::Lines;
                let messages = if is_lines {
                    Messages::lines(form.of_messages(), body, &lines)
                } else {
                    Messages::one(form.of_messages(), &body[lines[0].clone()])
                };
                let count = is_lines.then_some(lines.len());
                let reply = HttpReply { topic: Some(topic), count, is_head: false, cors };
                self.publish_body(cx, slot, messages, reply);
            }
            Err(refusal) => {
                self.metrics.counters.publishes_refused += 1;
                self.answer(cx, slot, &Answer::refusal(&refusal).with_cors(cors.as_ref()), false);
            }
        }
    }
}
