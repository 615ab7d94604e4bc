// SPDX-License-Identifier: Apache-2.0

//! What the path of a request asks a service to do (see ../../../doc.go).
use std::{collections::HashMap, time::Duration};

/// A wait and a request; either may be missing.
pub struct Call {
    pub delay: Duration,
    pub url: Option<String>,
    /// Bytes of its body.
    pub size: usize,
}

/// What to do for a request; the calls of a step are made at the same time.
pub struct Task {
    pub steps: Vec<Vec<Call>>,
    /// Bytes of the response's body.
    pub out: usize,
}

/// Reads "go=127.0.0.1:4000 node=127.0.0.1:4001".
pub fn peers(env: &str) -> HashMap<String, String> {
    env.split_whitespace()
        .filter_map(|peer| peer.split_once('='))
        .map(|(name, address)| (name.to_string(), address.to_string()))
        .collect()
}

pub fn parse(path: &str, peers: &HashMap<String, String>) -> Option<Task> {
    let part: Vec<&str> = path.split('/').collect(); // "", scenario, id, node, sizes, plan
    let [_, scenario, id, node, sizes, plan] = part[..] else {
        return None;
    };
    let (size, out) = sizes.split_once('-')?;
    let size = size.parse().ok()?;
    let mut child = 0;
    let mut call = |text: &str| {
        let (name, delay) = text.split_once('*').unwrap_or((text, "0"));
        let url = peers.get(name).map(|address| {
            child += 1;
            format!("http://{address}/{scenario}/{id}/{node}.{}/{sizes}/{plan}", child - 1)
        });
        Call { delay: Duration::from_millis(delay.parse().unwrap_or(0)), url, size }
    };
    let mine = plan.split('~').find_map(|entry| entry.strip_prefix(node)?.strip_prefix('='));
    let steps = match mine {
        Some(text) => text.split(',').map(|step| step.split('+').map(&mut call).collect()).collect(),
        None => Vec::new(),
    };
    Some(Task { steps, out: out.parse().ok()? })
}
