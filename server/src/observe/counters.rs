//! The one list of counters and gauges: field, kind, name on the metrics page, help text.
//!
//! A shard owns one [`Counters`] and bumps plain fields (`counters.upgrades += 1`). Adding a metric is one row here; its
//! place in the published snapshot and on the metrics page follows from the row.

/// Whether a value only grows or goes up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts events since the start; never falls.
    Counter,
    /// A level that rises and falls.
    Gauge,
}

/// One metric of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Counter or gauge.
    pub kind: Kind,
    /// The name on the metrics page, with its unit.
    pub name: &'static str,
    /// What is counted, and in which unit.
    pub help: &'static str,
}

/// Turns the table into the struct, the list of [`Metric`]s and the fixed order in which values are published.
macro_rules! counters {
    ($($field:ident $kind:ident $name:literal $help:literal)+) => {
        /// One shard's counters and gauges, in plain memory: the shard is the only one that touches them.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Counters {
            $(#[doc = $help] pub $field: u64,)+
            /// Connections failed for breaking the protocol, by the rule they broke.
            pub protocol_errors: Labelled,
            /// WebSocket connections that ended, by the code of the Close frame that began it.
            pub closes: Labelled,
        }

        impl Counters {
            /// The metrics without labels, in the order of [`Self::values`].
            pub const METRICS: &[Metric] =
                &[$(Metric { kind: Kind::$kind, name: $name, help: $help },)+];

            /// All at zero. `rules` names the protocol rules that a peer can break.
            pub fn new(rules: &'static [&'static str]) -> Self {
                Self {
                    $($field: 0,)+
                    protocol_errors: Labelled::new(rules),
                    closes: Labelled::new(CLOSE_CODES),
                }
            }

            /// Every value in a fixed order: [`Self::METRICS`], then the labelled ones.
            pub fn values(&self) -> impl Iterator<Item = u64> + '_ {
                [$(self.$field),+].into_iter().chain(self.labelled().into_iter().flat_map(Labelled::values))
            }

            /// The same values in the same order, to be changed.
            pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut u64> {
                [$(&mut self.$field),+]
                    .into_iter()
                    .chain(self.protocol_errors.values.iter_mut())
                    .chain(self.closes.values.iter_mut())
            }
        }
    };
}

counters! {
    // connections
    connections_accepted Counter "corecast_connections_accepted_total" "Connections taken from the listeners."
    connections_open Gauge "corecast_connections_open" "Connections open now, HTTP and WebSocket."
    connections_rejected_full Counter "corecast_connections_rejected_full_total" "Connections answered 503 because max_connections were open."
    connections_closed_by_peer Counter "corecast_connections_closed_by_peer_total" "Connections that the peer ended in order."
    connections_closed_by_us Counter "corecast_connections_closed_by_us_total" "Connections that the server ended in order."
    connections_reset Counter "corecast_connections_reset_total" "Connections that ended with a reset or another socket error."
    connections_timed_out Counter "corecast_connections_timed_out_total" "Connections closed because a timeout passed: handshake, idle, pong or close."
    accept_paused Counter "corecast_accept_paused_total" "Times that a listener looked for a free slot and found none; it looks again every 250 ms."
    accept_errors Counter "corecast_accept_errors_total" "Failed accepts; the connection was lost before it was ours."

    // handshakes and HTTP
    upgrades Counter "corecast_upgrades_total" "WebSocket handshakes completed."
    handshakes_failed Counter "corecast_handshakes_failed_total" "WebSocket handshakes refused."
    http_requests Counter "corecast_http_requests_total" "HTTP requests answered, upgrades not among them."
    http_errors Counter "corecast_http_errors_total" "HTTP requests answered with a status of 400 or above."

    websockets_open Gauge "corecast_websockets_open" "WebSockets open now."

    // hub
    subscribers Gauge "corecast_subscribers" "Subscriptions held now."
    topics Gauge "corecast_topics" "Topics known now."
    topics_refused_full Counter "corecast_topics_refused_full_total" "Topics refused because max_topics were known."
    messages_published Counter "corecast_messages_published_total" "Messages accepted from publishers."
    published_bytes Counter "corecast_published_bytes_total" "Payload bytes of the messages accepted from publishers."
    publishes_held_back Counter "corecast_publishes_held_back_total" "Publishes that waited because the topic's log had no room this turn."
    messages_relayed Counter "corecast_messages_relayed_total" "Messages that came from their topic's home on another shard."
    messages_parked Counter "corecast_messages_parked_total" "Batches of numbered messages that waited beside their topic's log because it had no room."
    parked_bytes Gauge "corecast_parked_bytes" "Bytes of those that wait now."
    json_errors Counter "corecast_json_errors_total" "Requests of the JSON dialect answered with an error."
    publishes_refused Counter "corecast_publishes_refused_total" "Publishes refused: not allowed, bad topic, too large or overloaded."
    log_bytes_used Gauge "corecast_log_bytes_used" "Bytes of the message log in use."
    log_pool_exhausted Counter "corecast_log_pool_exhausted_total" "Times that a log chunk was wanted and log_bytes were in use."

    // deliver
    deliveries Counter "corecast_deliveries_total" "Messages handed whole to the kernel, counted once for each subscriber."
    delivered_bytes Counter "corecast_delivered_bytes_total" "Encoded bytes of those messages."
    sends Counter "corecast_sends_total" "Sends handed to the kernel: one may carry several messages to a connection, or answers and control frames."
    sends_short Counter "corecast_sends_short_total" "Sends of which the socket took a part."
    sends_refused Counter "corecast_sends_refused_total" "Sends of which the socket took nothing."
    lagging Gauge "corecast_lagging" "Subscribers that wait for their socket to take more."
    lapped Counter "corecast_lapped_total" "Times that a subscriber's next message left the log before it was sent."
    messages_too_long_in_json Counter "corecast_messages_too_long_in_json_total" "Messages that JSON subscribers were told they missed, because no log can hold them in JSON."
    messages_skipped Counter "corecast_messages_skipped_total" "Messages that lapped subscribers were not sent under skip-silent."
    lag_tail_exhausted Counter "corecast_lag_tail_exhausted_total" "Lapped subscribers reset because lag_tail_bytes were in use."

    // inbound
    inbound_bytes_used Gauge "corecast_inbound_bytes_used" "Bytes of incomplete frames and bodies kept now."
    inbound_exhausted Counter "corecast_inbound_exhausted_total" "Connections closed because inbound_bytes were in use."
    receive_buffers_exhausted Counter "corecast_receive_buffers_exhausted_total" "Receives that ended because all receive buffers were lent."
    replies_bound_hit Counter "corecast_replies_bound_hit_total" "Times that a connection's reading paused until its replies were sent."
    pings_sent Counter "corecast_pings_sent_total" "Pings sent to silent peers."
    pongs_received Counter "corecast_pongs_received_total" "Pongs received."
    upgrades_deflate Counter "corecast_upgrades_deflate_total" "Of the upgrades, those that agreed on compression (permessage-deflate)."
    messages_deflated Counter "corecast_messages_deflated_total" "Compressed forms of messages that were made; each serves all subscribers that get it."
    deflate_input_bytes Counter "corecast_deflate_input_bytes_total" "Bytes of messages that were compressed."
    deflate_output_bytes Counter "corecast_deflate_output_bytes_total" "What they became."
    messages_inflated Counter "corecast_messages_inflated_total" "Messages that clients sent compressed."

    // ring and turn
    completions_stale Counter "corecast_completions_stale_total" "Completions for a connection that was already gone; dropped."
    cq_overflows Counter "corecast_cq_overflows_total" "Times that the completion queue was too small; see completion_entries."
    turns Counter "corecast_turns_total" "Turns of the shard's loop."
}

/// Close codes with a label of their own: RFC 6455 §7.4.1 and the server's private ones. 1005 and 1006 stand for a Close
/// without a code and for an end without a Close.
pub const CLOSE_CODES: &[&str] = &[
    "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012", "1013",
    "1014", "4001", "4003", "4004", "4008", "4009", "4010", "4011", "4012", "4013",
];

/// The label of everything that is not in a fixed list, so that a peer cannot add labels.
pub const OTHER: &str = "other";

impl Counters {
    /// Counts a connection that was failed under `rule`.
    pub fn protocol_error(&mut self, rule: &str) {
        self.protocol_errors.add(rule);
    }

    /// Counts the end of a WebSocket connection with `code`.
    pub fn close(&mut self, code: u16) {
        let label = CLOSE_CODES.iter().find(|label| label.parse() == Ok(code));
        self.closes.add(label.unwrap_or(&OTHER));
    }

    fn labelled(&self) -> [&Labelled; 2] {
        [&self.protocol_errors, &self.closes]
    }
}

/// A counter for each label of a fixed list, and one for [`OTHER`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    labels: &'static [&'static str],
    /// One more than `labels`: the last is [`OTHER`].
    values: Box<[u64]>,
}

impl Labelled {
    fn new(labels: &'static [&'static str]) -> Self {
        Self { labels, values: vec![0; labels.len() + 1].into_boxed_slice() }
    }

    /// Counts one under `label`, or under [`OTHER`] if the list does not have it.
    pub fn add(&mut self, label: &str) {
        let index = self.labels.iter().position(|known| *known == label).unwrap_or(self.labels.len());
        self.values[index] += 1;
    }

    /// Each label with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.labels.iter().copied().chain([OTHER]).zip(self.values())
    }

    fn values(&self) -> impl Iterator<Item = u64> + '_ {
        self.values.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_carry_the_kinds_suffix() {
        let mut names: Vec<&str> = Counters::METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Counters::METRICS.len());
        for metric in Counters::METRICS {
            assert!(metric.name.starts_with("corecast_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn values_follow_the_order_of_the_list() {
        let mut counters = Counters::new(&["mask"]);
        counters.connections_accepted = 1;
        counters.turns = 2;
        counters.protocol_error("mask");
        counters.close(1000);
        let values: Vec<u64> = counters.values().collect();
        let plain = Counters::METRICS.len();
        assert_eq!(values.len(), plain + 2 + 24);
        assert_eq!(values[0], 1);
        assert_eq!(values[plain - 1], 2);
        assert_eq!(values[plain..plain + 3], [1, 0, 1]);

        let mut copy = Counters::new(&["mask"]);
        for (value, new) in copy.values_mut().zip(&values) {
            *value = *new;
        }
        assert_eq!(copy, counters);
    }

    #[test]
    fn labels_outside_the_list_are_counted_as_other() {
        let mut counters = Counters::new(&["mask", "opcode"]);
        counters.protocol_error("opcode");
        counters.protocol_error("never heard of it");
        let errors: Vec<_> = counters.protocol_errors.iter().collect();
        assert_eq!(errors, [("mask", 0), ("opcode", 1), ("other", 1)]);

        for code in [1002, 1002, 4008, 0, 2999, 65535] {
            counters.close(code);
        }
        let closes: Vec<_> = counters.closes.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(closes, [("1002", 2), ("4008", 1), ("other", 3)]);
    }
}
