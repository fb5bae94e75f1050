//! What must hold: of bounds at all times, of everything else once the world has come to rest.

use super::client::{Client, Dialect, State};
use super::http::Info;
use super::plan::MESSAGE_MAX;
use super::raw::{Raw, Role};
use super::truth::Life;
use super::world::World;
use corecast::config::LagPolicy;
use corecast::net::outbound::OWED_MAX;
use std::collections::BTreeSet;

impl World {
    pub(crate) fn check_bounds(&self, index: usize) {
        let (shard, plan) = (&self.seats[index].shard, &self.plan);
        let levels = shard.levels();
        let is_bounded = levels.parked_bytes <= plan.parked_bytes_max()
            && levels.log_bytes <= plan.log_bytes()
            && levels.tail_bytes <= plan.lag_tail_bytes
            && levels.inbound_bytes <= plan.inbound_bytes
            && levels.owed_max <= OWED_MAX
            && levels.stalled < self.seats.len();
        assert!(is_bounded, "shard {index}: {levels:?} of {plan:?}");
        for load in shard.mesh().loads() {
            // A link that is half empty takes a message of any size, and the answer to its publisher.
            let largest = MESSAGE_MAX + 2 * corecast::mesh::MESSAGE_BYTES;
            let most = plan.capacity.bytes.max(plan.capacity.bytes / 2 + largest);
            let fits = load.messages <= plan.capacity.messages && load.bytes <= most;
            // And an idle one both, whatever it takes otherwise.
            assert!(fits || load.messages <= 2, "shard {index}: {load:?} of {plan:?}");
        }
    }

    pub(crate) fn check_topics(&self) {
        let topics: usize = self.seats.iter().map(|seat| seat.shard.levels().homes).sum();
        assert!(topics <= self.plan.max_topics as usize, "{topics} topics of {:?}", self.plan);
    }

    /// Nothing waits, and every request has its answer.
    pub(crate) fn check_rest(&self) {
        for seat in &self.seats {
            let levels = seat.shard.levels();
            let waits = (levels.waiting, levels.stalled, levels.parked_bytes, levels.tail_bytes);
            assert_eq!(waits, (0, 0, 0, 0), "{}", self.levels());
            assert!(seat.shard.mesh().is_idle(), "{}", self.levels());
        }
        for client in self.clients.iter().filter(|client| client.state == State::Alive) {
            let is_answered = match &client.speaks {
                Dialect::Raw(raw) => raw.socket.is_open,
                Dialect::Json(json) => json.socket.is_open && json.is_answered(),
                Dialect::Http(http) => http.is_answered(),
            };
            assert!(is_answered, "something is not answered: {client:?}");
        }
    }

    /// `infos`: what the server says of each topic.
    pub(crate) fn check(&mut self, infos: &[Option<Info>]) {
        if self.plan.lag_policy != LagPolicy::SkipSilent {
            self.place_raw_streams(infos);
        }
        for life in self.truth.lives.keys() {
            let newest = self.truth.newest(*life);
            let info = infos[life.0].filter(|info| info.epoch == life.1);
            assert!(info.is_none_or(|info| newest <= info.offset), "{newest} of {life:x?}, but {info:?}");
        }
        let mut untold = 0;
        for client in &self.clients {
            match &client.speaks {
                Dialect::Raw(raw) => untold += self.check_raw(client, raw, infos[raw.topic]),
                Dialect::Json(_) => self.check_json(client, infos),
                Dialect::Http(_) => {}
            }
            self.check_order(client);
        }
        self.check_skips(untold);
        for (topic, info) in infos.iter().enumerate() {
            self.check_published(topic, *info);
            self.check_subscribers(topic, *info);
        }
    }

    /// Raw subscribers are told no offsets. But their messages follow each other, so with the place of one, those of all are
    /// known; and who is still there has the newest.
    fn place_raw_streams(&mut self, infos: &[Option<Info>]) {
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for client in &self.clients {
                let Dialect::Raw(raw) = &client.speaks else { continue };
                let known = raw.stream.iter().enumerate().find_map(|(index, &id)| {
                    let (life, offset) = self.truth.place_of(id)?;
                    Some((life, offset.checked_sub(index as u64).expect("the first is 1")))
                });
                let at_the_end = || {
                    let info = infos[raw.topic].filter(|_| client.is_open())?;
                    let first = (info.offset + 1)
                        .checked_sub(raw.stream.len() as u64)
                        .expect("not more than there are");
                    Some(((raw.topic, info.epoch), first))
                };
                let Some((life, first)) = known.or_else(at_the_end) else { continue };
                for (&id, offset) in raw.stream.iter().zip(first..) {
                    has_changed |= self.truth.place_of(id).is_none();
                    self.truth.place(id, life, offset);
                }
            }
        }
    }

    /// Gives how many messages it was not told to have missed.
    fn check_raw(&self, client: &Client, raw: &Raw, info: Option<Info>) -> u64 {
        let Some(opened_at) = raw.opened_at.filter(|_| raw.role != Role::Publisher) else { return 0 };
        let places: Vec<(Life, u64)> = raw.stream.iter().filter_map(|&id| self.truth.place_of(id)).collect();
        assert!(places.iter().all(|place| place.0 == places[0].0), "two epochs: {client:?}");
        assert!(places.is_sorted_by(|a, b| a.1 < b.1), "out of order: {client:?}");
        let is_silent = self.plan.lag_policy == LagPolicy::SkipSilent;
        let is_here = client.is_open();
        let info = info.filter(|_| is_here);
        if is_here {
            assert!(info.is_some(), "a topic with a subscriber is known: {client:?}");
        }
        if is_silent {
            let Some(info) = info else { return 0 };
            let placed = raw
                .stream
                .iter()
                .enumerate()
                .find_map(|(index, &id)| Some((index, self.truth.place_of(id)?.1)));
            return placed
                .map_or(0, |(index, offset)| info.offset + 1 - offset - (raw.stream.len() - index) as u64);
        }
        if let Some(info) = info {
            let last = places.last().map_or(info.offset, |place| place.1);
            assert_eq!(last, info.offset, "without the newest: {client:?}");
        }
        // What was sent after its 101 is not before its first message, and it has a first message if there is any.
        for (id, message) in self.truth.messages.iter().enumerate() {
            if message.topic != raw.topic || message.step <= opened_at {
                continue;
            }
            let place = self.truth.place_of(id);
            match (places.first(), place) {
                (Some(&(life, first)), Some((other, offset))) if life == other => {
                    assert!(offset >= first, "#{id} at {offset} was sent after its 101: {client:?}");
                }
                (None, _) if is_here => {
                    assert!(
                        !message.is_confirmed && place.is_none(),
                        "#{id} was sent after its 101: {client:?}"
                    );
                }
                _ => {}
            }
        }
        0
    }

    fn check_json(&self, client: &Client, infos: &[Option<Info>]) {
        let Dialect::Json(json) = &client.speaks else { return };
        for session in json.active.values().chain(&json.ended) {
            for (id, message) in self.truth.messages.iter().enumerate() {
                let Some((life, offset)) = self.truth.place_of(id) else { continue };
                if life == session.life && message.step > session.since {
                    assert!(offset > session.start, "#{id} at {offset} was sent later: {session:?}");
                }
            }
        }
        if !client.is_open() {
            return;
        }
        for session in json.active.values() {
            let info = infos[session.life.0].expect("a topic with a subscriber is known");
            let place = (session.life.1, session.last);
            assert_eq!(place, (info.epoch, info.offset), "without the newest: {session:x?} of {client:?}");
        }
    }

    /// What one client sent to a topic is numbered in the order in which it was sent.
    fn check_order(&self, client: &Client) {
        let sent = match &client.speaks {
            Dialect::Raw(raw) => &raw.sent,
            Dialect::Json(json) => &json.sent,
            Dialect::Http(http) => &http.sent,
        };
        let mut before: Vec<Option<(Life, u64)>> = vec![None; self.plan.topics];
        for &id in sent {
            let Some((life, offset)) = self.truth.place_of(id) else { continue };
            if let Some((other, earlier)) = before[life.0]
                && other == life
            {
                assert!(earlier < offset, "#{id} at {offset} after one at {earlier}: {client:?}");
            }
            before[life.0] = Some((life, offset));
        }
    }

    /// What raw subscribers were not sent and not told of is counted.
    fn check_skips(&self, untold: u64) {
        let told: u64 = self
            .clients
            .iter()
            .map(|client| if let Dialect::Json(json) = &client.speaks { json.missed } else { 0 })
            .sum();
        let counters = self.seats.iter().map(|seat| &seat.shard.metrics().counters);
        let counted: u64 = counters.map(|counters| counters.messages_skipped).sum();
        assert!(untold + told <= counted, "{untold} silently, {told} told, but {counted} are counted");
    }

    /// As many messages are numbered as were published: each of those that were confirmed or are sure to have arrived, once,
    /// and of the others at most each once.
    fn check_published(&self, topic: usize, info: Option<Info>) {
        let lives: Vec<Life> = self.truth.lives.keys().copied().filter(|life| life.0 == topic).collect();
        if self.plan.forgets_early() || self.plan.may_be_full_of_topics() {
            return;
        }
        assert!(lives.len() <= 1, "a topic that is remembered has one epoch: {lives:x?}");
        let (mut sure, mut possible) = (BTreeSet::new(), BTreeSet::new());
        for (id, message) in
            self.truth.messages.iter().enumerate().filter(|(_, message)| message.topic == topic)
        {
            possible.insert(id);
            let client = &self.clients[message.client];
            if message.is_confirmed || self.truth.place_of(id).is_some() || client.is_open() {
                sure.insert(id);
            }
        }
        let numbered = info.map_or(0, |info| info.offset) as usize;
        assert!(
            (sure.len()..=possible.len()).contains(&numbered),
            "{numbered} are numbered of topic {topic}; {} are sure, {} possible",
            sure.len(),
            possible.len()
        );
        if let Some(places) = lives.first().and_then(|life| self.truth.lives.get(life))
            && places.len() == numbered
        {
            let known: BTreeSet<usize> = places.values().copied().collect();
            assert!(sure.is_subset(&known), "lost: {:?}", sure.difference(&known));
        }
        for (id, message) in self.truth.messages.iter().enumerate() {
            if let (Some(told), Some(place)) = (message.offset, self.truth.place_of(id)) {
                assert_eq!(told, place.1, "#{id}");
            }
            let is_new = |offset| {
                lives
                    .first()
                    .is_none_or(|life| self.truth.lives[life].get(&offset).is_none_or(|&other| other == id))
            };
            if message.topic == topic {
                assert!(message.offset.is_none_or(is_new), "#{id} was told the offset of another");
            }
        }
    }

    fn check_subscribers(&self, topic: usize, info: Option<Info>) {
        let open = self.clients.iter().filter(|client| client.is_open());
        let subscribed = open.filter(|client| match &client.speaks {
            Dialect::Raw(raw) => raw.topic == topic && raw.role != Role::Publisher,
            Dialect::Json(json) => json.active.contains_key(&topic),
            Dialect::Http(_) => false,
        });
        let count = subscribed.count() as u64;
        assert_eq!(info.map_or(0, |info| info.subscribers), count, "of topic {topic}: {}", self.levels());
    }

    /// Who was there and read was told.
    pub(crate) fn check_drained(&self) {
        for client in &self.clients {
            let is_websocket = !matches!(client.speaks, Dialect::Http(_));
            let is_told = !matches!(client.state, State::Alive);
            assert!(is_told || client.has_stalled || !is_websocket, "not told: {client:?}");
        }
        for seat in &self.seats {
            assert!(seat.shard.is_clean(), "everything is given back: {}", self.levels());
        }
    }
}
