//! The configuration of a run, as its seed would have it, and as a reload may change it.

use std::{fmt::Write, path::Path};

use super::draw::Draw;

/// What differs between runs, and within one.
#[derive(Clone, Debug)]
pub(super) struct Knobs {
    balance: &'static str,
    pub(super) pool_max: u64,
    idle: u64,
    attempts: u64,
    share: u64,
    is_sticky: bool,
    /// Whether the first version has two endpoints.
    has_second: bool,
    eject_after: u64,
    requests: u64,
    pub(super) connections: u64,
}

impl Knobs {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        Self {
            balance: draw.pick(&["p2c", "round_robin", "least_conn", "hash:client_ip"]),
            pool_max: draw.pick(&[64, 64, 64, 1, 2]),
            idle: draw.pick(&[64, 64, 0, 1]),
            attempts: draw.pick(&[1, 1, 0, 2]),
            share: draw.pick(&[0, 5, 50, 100]),
            is_sticky: draw.chance(30),
            has_second: draw.chance(80),
            eject_after: draw.pick(&[3, 5, 0]),
            requests: draw.pick(&[0, 0, 3]),
            connections: draw.pick(&[100, 100, 100, 2]),
        }
    }

    /// As a reload leaves them.
    pub(super) fn turn(&mut self, draw: &mut Draw) {
        let other = Self::draw(draw);
        // Where requests may wait in vain is known from the start.
        let (pool_max, connections) = (self.pool_max, self.connections);
        *self = Self { pool_max, connections, ..other };
    }

    pub(super) fn is_tight(&self) -> bool {
        self.pool_max < 10
    }

    /// The file.
    pub(super) fn text(&self, folder: &Path) -> String {
        let mut text = String::new();
        let at = |name: &str| format!("\"unix:{}/{name}\"", folder.display());
        let second = if self.has_second { format!(", {}", at("o1")) } else { String::new() };
        let stable = 100 - self.share;
        let _ = write!(
            text,
            "listen = {front}\n\
             timeouts = {{ header = \"2s\", body = \"2s\", idle = \"4s\", response = \"3s\", \
             request = \"{request}ms\", connect = \"1s\", grace = \"0s\", drain = \"5s\", \
             tunnel = \"3s\" }}\n\
             limits.connections = {connections}\n\
             limits.requests_per_connection = {requests}\n\
             access_log.format = \"json\"\nruntime.cores = 1\nruntime.driver = \"epoll\"\n\
             [route.shop]\nmatch.path = \"/shop/*\"\nto = \"shop\"\n\
             [route.cart]\nmatch.path = \"/cart/*\"\nto = \"cart\"\n\
             [upstream.shop]\nbalance = \"{balance}\"\n\
             versions = {{ v1 = [{first}{second}], v2 = [{third}] }}\n\
             split = {{ v1 = {stable}, v2 = {share} }}\n\
             [upstream.cart]\nversions = {{ v1 = [{fourth}] }}\n",
            front = at("front"),
            request = super::REQUEST_MILLIS,
            connections = self.connections,
            requests = self.requests,
            balance = self.balance,
            first = at("o0"),
            third = at("o2"),
            share = self.share,
            fourth = at("o3"),
        );
        for upstream in ["shop", "cart"] {
            let _ = write!(
                text,
                "[upstream.{upstream}.pool]\nmax = {}\nidle_per_core = {}\nidle = \"2s\"\n\
                 queue = \"700ms\"\n\
                 [upstream.{upstream}.retry]\nattempts = {}\n\
                 [upstream.{upstream}.eject]\nafter = {}\nfor = \"2s\"\n\
                 [upstream.{upstream}.health]\n",
                self.pool_max, self.idle, self.attempts, self.eject_after,
            );
        }
        if self.is_sticky {
            text.push_str("[upstream.shop.sticky]\nkey = \"client_ip\"\n");
        }
        text
    }
}
