//! What is known about servers: where they listen by default, how one subscribes and publishes.

use clap::ValueEnum;
use corecast_protocol::MessageKind;
use serde::{Deserialize, Serialize};

use crate::json_dialect;

/// A family of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Preset {
    /// corecast's raw dialect: one topic per path, roles in the query
    Corecast,
    /// corecast's JSON dialect: text, several topics on one connection, every publish acknowledged
    CorecastJson,
    /// uWebSockets, its broadcast example: every message goes to all other connections, as it is. Port 9001
    Uws,
    /// Bun, the publish-subscribe guide's server: every message goes to all connections, with a name in front. Text, port 3000
    Bun,
    /// npm ws, the broadcast example: every message goes to all connections, as it is. Port 8080
    Ws,
    /// Nchan in nginx: subscribers on /sub/{topic}, publishers POST to /pub/{topic}
    Nchan,
    /// Any server where every message that a client sends goes to all connected ones
    Broadcast,
    /// Nothing is assumed: subscribers and publishers use the URL as it is given
    Plain,
}

/// How messages reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Via {
    /// Over WebSocket connections of their own.
    Ws,
    /// One POST request per message, pipelined over a kept connection.
    Http,
}

impl Preset {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Corecast => "corecast",
            Self::CorecastJson => "corecast-json",
            Self::Uws => "uws",
            Self::Bun => "bun",
            Self::Ws => "ws",
            Self::Nchan => "nchan",
            Self::Broadcast => "broadcast",
            Self::Plain => "plain",
        }
    }

    /// Where subscribers connect when no URL is given.
    pub const fn authority(self) -> &'static str {
        match self {
            Self::Corecast | Self::CorecastJson | Self::Uws | Self::Broadcast | Self::Plain => {
                "127.0.0.1:9001"
            }
            Self::Bun => "127.0.0.1:3000",
            Self::Ws | Self::Nchan => "127.0.0.1:8080",
        }
    }

    pub const fn default_via(self) -> Via {
        match self {
            Self::Nchan => Via::Http,
            _ => Via::Ws,
        }
    }

    /// Path of the subscribers.
    pub const fn subscribe_path(self) -> &'static str {
        match self {
            Self::Corecast => "/topics/{topic}",
            Self::CorecastJson => "/ws",
            Self::Uws | Self::Bun | Self::Ws | Self::Broadcast | Self::Plain => "/",
            Self::Nchan => "/sub/{topic}",
        }
    }

    /// Path for publishers when it is not the subscribers'.
    pub const fn publish_path(self, via: Via) -> Option<&'static str> {
        match (self, via) {
            (Self::CorecastJson, Via::Http) => Some("/topics/{topic}"),
            (Self::Nchan, _) => Some("/pub/{topic}"),
            _ => None,
        }
    }

    /// Query that makes a connection receive only.
    pub const fn subscriber_query(self) -> Option<&'static str> {
        match self {
            Self::Corecast => Some("role=subscriber"),
            _ => None,
        }
    }

    /// Query that makes a connection send only, on a path that names the topic or on one that does not.
    pub const fn publisher_query(self, names_topic: bool) -> Option<&'static str> {
        match (self, names_topic) {
            (Self::Corecast, _) | (Self::CorecastJson, true) => Some("role=publisher"),
            _ => None,
        }
    }

    /// The kind of messages that it can carry at all, if not both.
    pub const fn only_kind(self) -> Option<MessageKind> {
        match self {
            Self::CorecastJson | Self::Bun => Some(MessageKind::Text),
            _ => None,
        }
    }

    pub const fn subprotocol(self) -> Option<&'static str> {
        self.if_json(json_dialect::SUBPROTOCOL)
    }

    pub const fn subscribe_message(self) -> Option<&'static str> {
        self.if_json(json_dialect::SUBSCRIBE)
    }

    pub const fn subscribed_match(self) -> Option<&'static str> {
        self.if_json(json_dialect::SUBSCRIBED)
    }

    /// Around messages that are published over WebSocket on a path that does not name the topic.
    pub const fn publish_template(self, is_shared: bool) -> Option<&'static str> {
        self.if_json(if is_shared { json_dialect::PUBLISH_SHARED } else { json_dialect::PUBLISH })
    }

    /// How every message of a topic begins, where that is known.
    pub const fn message_prefix(self) -> Option<&'static str> {
        self.if_json(json_dialect::MESSAGE)
    }

    /// Texts in messages that the server sends on its own account.
    pub const fn ignored(self) -> &'static [&'static str] {
        match self {
            Self::Bun => &["has entered the chat", "has left the chat"],
            _ => &[],
        }
    }

    /// Port of the metrics page at `/metrics`, as such servers have it by default.
    pub const fn metrics_port(self) -> Option<u16> {
        match self {
            Self::Corecast | Self::CorecastJson => Some(9002),
            _ => None,
        }
    }

    const fn if_json(self, text: &'static str) -> Option<&'static str> {
        match self {
            Self::CorecastJson => Some(text),
            _ => None,
        }
    }
}
