//! Where subscribers and publishers go: what was given, filled in by the preset.

use crate::options::RunOptions;
use crate::preset::{Preset, Via};

/// The URL without the role query, which the target gets later: HTTP publishing derives from it.
pub(super) fn subscribe_url(options: &RunOptions, preset: Preset) -> String {
    match &options.url {
        None => format!("ws://{}{}", preset.authority(), preset.subscribe_path()),
        Some(url) => {
            let bare = url.trim_end_matches('/');
            // Scheme and authority alone: the preset knows the path.
            if bare.matches('/').count() == 2 && !bare.contains('?') {
                format!("{bare}{}", preset.subscribe_path())
            } else {
                url.clone()
            }
        }
    }
}

pub(super) fn publish_url(options: &RunOptions, preset: Preset, via: Via, subscribe_url: &str) -> String {
    if let Some(url) = &options.publish_url {
        return url.clone();
    }
    let rest = subscribe_url.split_once("://").map_or(subscribe_url, |(_, rest)| rest);
    let scheme = match via {
        Via::Ws => subscribe_url.split_once("://").map_or("ws", |(scheme, _)| scheme),
        Via::Http => "http",
    };
    match (preset.publish_path(via), rest.split_once('/')) {
        (Some(path), Some((authority, _))) => format!("{scheme}://{authority}{path}"),
        _ => format!("{scheme}://{rest}"),
    }
}

/// Adds a query, unless the URL has this key already.
pub(super) fn with_query(url: &str, query: Option<&str>) -> String {
    let Some(query) = query else { return url.to_owned() };
    let key = query.split_once('=').map_or(query, |(key, _)| key);
    match url.split_once('?') {
        None => format!("{url}?{query}"),
        Some((_, given)) if given.split('&').any(|pair| pair.split('=').next() == Some(key)) => {
            url.to_owned()
        }
        Some(_) => format!("{url}&{query}"),
    }
}
