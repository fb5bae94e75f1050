//! One ping to every subscriber, and its pong (RFC 6455 §5.5.2): after a time without traffic this tells who is still there.

use std::sync::atomic::Ordering;

use crate::worker::{Worker, list};

/// Pings of one worker that wait for their pongs at the same time.
const MOST_UNANSWERED: u64 = 64;

/// How far a worker is with its pings.
#[derive(Debug, Default)]
pub(super) struct Pinging {
    /// Subscribers passed so far.
    next: usize,
    sent: u64,
    answered: u64,
    /// When the first ping was sent: what pongs bring back is no earlier.
    began_ns: u64,
    /// When the last pong came, or the first ping was sent.
    progress_ns: u64,
}

impl Worker<'_> {
    pub(super) fn start_pinging(&mut self, now: u64) {
        self.scratch.pongs.clear();
        self.pinging = Pinging { began_ns: now, progress_ns: now, ..Pinging::default() };
    }

    /// Takes the pongs of this turn and sends more pings. Done when all are answered, or none was for as long as a connection
    /// may take to be opened.
    pub(super) fn ping(&mut self, now: u64) {
        let Self { pinging, scratch, endpoints, subscribers, groups, to_send, receiver, shared, .. } = self;
        // The last ones are slow: who does not read does not answer.
        let reading = *subscribers - groups.slow as usize;
        for sent_ns in scratch.pongs.drain(..).filter(|sent_ns| (pinging.began_ns..=now).contains(sent_ns)) {
            pinging.answered += 1;
            pinging.progress_ns = now;
            receiver.measure.ping.record(now - sent_ns);
        }
        while pinging.next < reading && pinging.sent - pinging.answered < MOST_UNANSWERED {
            let endpoint = &mut endpoints[pinging.next];
            if endpoint.ping(now) {
                pinging.sent += 1;
                list(to_send, pinging.next, endpoint);
            }
            pinging.next += 1;
        }
        let patience_ns = shared.scenario.connect_timeout.as_nanos() as u64;
        let is_answered = pinging.next == reading && pinging.answered == pinging.sent;
        let is_over = is_answered || now - pinging.progress_ns > patience_ns;
        let board = &shared.control.workers[self.number];
        board.pings.store(pinging.sent, Ordering::Relaxed);
        board.pongs.store(pinging.answered, Ordering::Relaxed);
        board.pinged.store(is_over, Ordering::Release);
    }
}
