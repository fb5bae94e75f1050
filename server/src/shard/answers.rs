//! What clients are told: of what their topics' homes said, and in answer to HTTP requests.

use super::{Context, Shard};
use crate::http::{self, Answer, Refusal};
use crate::ids::Slot;
use crate::mesh::{About, HomeAnswer, HttpReply, ReplyTo};
use crate::net::connection::{Flag, Phase};
use crate::net::outbound::After;
use corecast_protocol::CloseCode;
use corecast_uring::Ring;

/// The server has no room for it. It may reconnect.
const OVERLOADED: CloseCode = CloseCode(4013);

impl Shard {
    /// An answer from another shard.
    pub(super) fn on_answer<R: Ring>(&mut self, cx: &mut Context<'_, R>, reply: ReplyTo, answer: HomeAnswer) {
        let ReplyTo { slot, generation, about } = reply;
        let Some(connection) = self.table.current(slot, generation) else { return };
        if !matches!(connection.phase, Phase::Http | Phase::Open) {
            return;
        }
        let is_awaited = connection.is(Flag::Awaiting) && matches!(about, About::Http(_));
        if matches!(about, About::Json(_)) {
            connection.outbound_mut().owed -= 1;
        }
        if is_awaited {
            connection.clear(Flag::Awaiting);
        }
        self.on_home_answer(cx, slot, about, answer);
        if is_awaited && self.table[slot].phase == Phase::Http {
            self.resume(cx, slot);
        }
    }

    /// Tells a connection what the home said.
    pub(super) fn on_home_answer<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        about: About,
        answer: HomeAnswer,
    ) {
        if matches!(answer, HomeAnswer::TopicsFull) {
            self.metrics.counters.publishes_refused += 1;
        }
        match about {
            About::Raw => {
                if let HomeAnswer::TopicsFull = answer {
                    self.close_websocket(cx, slot, OVERLOADED, "max_topics are known; try again later");
                }
            }
            About::Json(id) => self.answer_json(cx, slot, id, &answer),
            About::Http(reply) => {
                let answer = self.http_answer(&reply, answer);
                self.answer(cx, slot, &answer.with_cors(reply.cors.as_ref()), reply.is_head);
            }
        }
    }

    fn http_answer(&self, reply: &HttpReply, answer: HomeAnswer) -> Answer {
        let name = reply.topic.as_ref().map_or("", |topic| topic.as_str());
        match (answer, reply.count) {
            (HomeAnswer::Published(at), None) => http::published(name, at),
            (HomeAnswer::Published(at), Some(count)) => http::published_many(name, at, count),
            (HomeAnswer::TopicsFull, _) => Answer::refusal(&Refusal::topics_full(self.settings.max_topics)),
            (HomeAnswer::Info(Some(info)), _) => http::topic_info(name, info),
            (HomeAnswer::Info(None), _) => Answer::refusal(&Refusal::new(
                404,
                "bad_topic",
                format!("no topic {name} is known; it comes to be with its first subscriber or message"),
            )),
            (HomeAnswer::Connections(page), _) => Answer::text(200, "application/json", page),
        }
    }

    /// Queues an answer. After the last one the connection is closed in order.
    pub(super) fn answer<R: Ring>(
        &mut self,
        cx: &mut Context<'_, R>,
        slot: Slot,
        answer: &Answer,
        is_head: bool,
    ) {
        self.metrics.counters.http_requests += 1;
        if answer.status >= 400 {
            self.metrics.counters.http_errors += 1;
        }
        let connection = &mut self.table[slot];
        let is_last = connection.is(Flag::LastRequest);
        let outbound = connection.outbound_mut();
        answer.write(is_last, is_head, outbound.reply());
        if is_last {
            outbound.after = After::Linger;
            connection.phase = Phase::Lingering;
            connection.deadline = self.clock.deadline(self.settings.close);
        } else {
            connection.deadline = self.clock.deadline(self.settings.http_idle);
            self.pause_if_over_bound(cx, slot);
        }
        self.mark(slot);
    }

    /// A peer that does not take its answers gets no more requests read.
    pub(super) fn pause_if_over_bound<R: Ring>(&mut self, cx: &mut Context<'_, R>, slot: Slot) {
        let connection = &self.table[slot];
        let is_over_bound = connection.outbound.as_ref().is_some_and(|outbound| outbound.is_over_bound());
        if is_over_bound && !connection.is(Flag::Paused) {
            self.metrics.counters.replies_bound_hit += 1;
            self.pause(cx, slot);
        }
    }
}
