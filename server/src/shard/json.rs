//! The JSON dialect: what its clients ask for, and what they are told.

use super::publish::TopicsFull;
use super::websocket::PUBLISHING_FORBIDDEN;
use super::{Context, Shard};
use crate::dialect::json::{Command, Failure, Reply, Request, RequestId, parse, write_reply};
use crate::http::Refusal;
use crate::hub::Missed;
use crate::ids::{Form, Published, Slot, TopicId};
use crate::mesh::{About, HomeAnswer};
use crate::message::Messages;
use crate::net::connection::Flag;
use crate::topics::{Interest, Wants};
use corecast_protocol::{MessageKind, topic::TopicName};
use corecast_uring::Ring;

impl Shard {
    /// One message of a client: one request.
    pub(super) fn on_json_message<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        kind: MessageKind,
        payload: &[u8],
    ) {
        if kind == MessageKind::Binary {
            let message = "requests are JSON in text messages; this one was binary";
            self.refuse_json(cx, slot, None, "bad_request", message);
            return;
        }
        // RFC 6455 §8.1.
        let text = std::str::from_utf8(payload).expect("the protocol hands out text that is UTF-8");
        let Request { id, command } = match parse(text) {
            Ok(request) => request,
            Err(Failure { id, code, message }) => {
                self.refuse_json(cx, slot, id, code, &message);
                return;
            }
        };
        match command {
            Command::Subscribe { topic } => self.subscribe_json(cx, slot, &topic, id),
            Command::Unsubscribe { topic } => self.unsubscribe_json(cx, slot, &topic, id),
            Command::Publish { topic, data } => self.publish_json(cx, slot, &topic, data, id),
            Command::Ping => self.reply_json(cx, slot, &Reply::Pong, id.as_ref()),
        }
    }

    fn subscribe_json<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        name: &TopicName,
        id: Option<RequestId>,
    ) {
        let limit = self.settings.max_subscriptions;
        if self.hub.subscriptions_of(slot) >= limit {
            let message = format!(
                "this connection has {limit} subscriptions, which is the limit; open another, or raise max_subscriptions"
            );
            self.refuse_json(cx, slot, id, "too_many", &message);
            return;
        }
        match self.record(cx, name) {
            Ok(topic) if self.hub.find(slot, topic).is_some() => {
                let message = format!("this connection is subscribed to {name} already");
                self.refuse_json(cx, slot, id, "bad_request", &message);
            }
            Ok(topic) => self.subscribe(cx, slot, topic, Wants::Json { id }),
            Err(TopicsFull) => self.refuse_full(cx, slot, id),
        }
    }

    /// The subscription is made: the first message that comes is the one after what is said here.
    pub(super) fn subscribed<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        topic: TopicId,
        id: Option<RequestId>,
    ) {
        let record = &self.topics[topic];
        let Interest::On { epoch } = record.interest else {
            panic!("subscribed to a topic that does not come")
        };
        let name = record.name.clone();
        let at = Published { offset: self.hub.last(topic), epoch };
        self.reply_json(cx, slot, &Reply::Subscribed { topic: name.as_str(), at }, id.as_ref());
    }

    fn unsubscribe_json<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        name: &TopicName,
        id: Option<RequestId>,
    ) {
        let member = self.topics.find(name).and_then(|topic| self.hub.find(slot, topic));
        let Some(member) = member else {
            let message = format!("this connection is not subscribed to {name}");
            self.refuse_json(cx, slot, id, "not_subscribed", &message);
            return;
        };
        let tail = self.hub.rest_of_frame(member).to_vec();
        let topic = self.hub.topic_of(member);
        self.hub.unsubscribe(member);
        self.left(cx, topic);
        self.keep_tail(cx, slot, tail);
        if self.table[slot].is_websocket() {
            self.reply_json(cx, slot, &Reply::Unsubscribed { topic: name.as_str() }, id.as_ref());
        }
    }

    fn publish_json<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        name: &TopicName,
        data: &str,
        id: Option<RequestId>,
    ) {
        if !self.table[slot].is(Flag::MayPublish) {
            self.metrics.counters.publishes_refused += 1;
            self.refuse_json(cx, slot, id, "forbidden", PUBLISHING_FORBIDDEN);
            return;
        }
        match self.home_at(cx, name) {
            Ok(at) => {
                let messages = Messages::one(Form::Json, data.as_bytes());
                self.publish(cx, slot, at, name, messages, About::Json(id));
            }
            Err(TopicsFull) => self.on_home_answer(cx, slot, About::Json(id), HomeAnswer::TopicsFull),
        }
    }

    /// What the home said to a publish.
    pub(super) fn answer_json<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        id: Option<RequestId>,
        answer: &HomeAnswer,
    ) {
        match answer {
            HomeAnswer::Published(at) => {
                self.reply_json(cx, slot, &Reply::Published { offset: at.offset }, id.as_ref());
            }
            HomeAnswer::TopicsFull => self.refuse_full(cx, slot, id),
            HomeAnswer::Info(_) | HomeAnswer::Connections(_) => panic!("nobody asks for this in JSON"),
        }
    }

    pub(super) fn refuse_full<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        id: Option<RequestId>,
    ) {
        let Refusal { code, message, .. } = Refusal::topics_full(self.settings.max_topics);
        self.refuse_json(cx, slot, id, code, &message);
    }

    /// A lapped subscriber goes on with the newest message, and is told before it which ones it will not get.
    pub(super) fn tell_missed<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot, missed: Missed) {
        let name = self.topics[missed.topic].name.clone();
        let reply = Reply::Missed { topic: name.as_str(), from: missed.from, to: missed.to };
        self.reply_json(cx, slot, &reply, None);
    }

    pub(super) fn refuse_json<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        id: Option<RequestId>,
        code: &str,
        message: &str,
    ) {
        self.metrics.counters.json_errors += 1;
        self.reply_json(cx, slot, &Reply::Error { code, message }, id.as_ref());
    }

    fn reply_json<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        reply: &Reply<'_>,
        id: Option<&RequestId>,
    ) {
        write_reply(reply, id, self.table[slot].outbound_mut().reply());
        self.mark(slot);
        self.pause_if_over_bound(cx, slot);
    }
}
