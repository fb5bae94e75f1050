//! What is known about servers: where they listen by default, how one subscribes and publishes.

use clap::ValueEnum;

/// A family of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// corecast's raw dialect: one topic per path, roles in the query.
    Corecast,
    /// Every message a client sends goes to all connected ones: the usual example of uWebSockets, Bun and ws.
    Broadcast,
    /// Nchan in nginx: subscribers on /sub/{topic}, publishers POST to /pub/{topic}.
    Nchan,
    /// Nothing is assumed: subscribers and publishers use the URL as it is given.
    Plain,
}

/// How messages reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
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
            Self::Broadcast => "broadcast",
            Self::Nchan => "nchan",
            Self::Plain => "plain",
        }
    }

    /// Where subscribers connect when no URL is given.
    pub const fn authority(self) -> &'static str {
        match self {
            Self::Corecast | Self::Broadcast | Self::Plain => "127.0.0.1:9001",
            Self::Nchan => "127.0.0.1:8080",
        }
    }

    pub const fn default_via(self) -> Via {
        match self {
            Self::Corecast | Self::Broadcast | Self::Plain => Via::Ws,
            Self::Nchan => Via::Http,
        }
    }

    /// Path on which subscribers are told apart by topic.
    pub const fn subscribe_path(self) -> &'static str {
        match self {
            Self::Corecast => "/topics/{topic}",
            Self::Broadcast | Self::Plain => "/",
            Self::Nchan => "/sub/{topic}",
        }
    }

    /// Path for publishers when it is not the subscribers'.
    pub const fn publish_path(self) -> Option<&'static str> {
        match self {
            Self::Corecast | Self::Broadcast | Self::Plain => None,
            Self::Nchan => Some("/pub/{topic}"),
        }
    }

    /// Query that makes a connection receive only.
    pub const fn subscriber_query(self) -> Option<&'static str> {
        match self {
            Self::Corecast => Some("role=subscriber"),
            Self::Broadcast | Self::Nchan | Self::Plain => None,
        }
    }

    /// Query that makes a connection send only.
    pub const fn publisher_query(self) -> Option<&'static str> {
        match self {
            Self::Corecast => Some("role=publisher"),
            Self::Broadcast | Self::Nchan | Self::Plain => None,
        }
    }
}
