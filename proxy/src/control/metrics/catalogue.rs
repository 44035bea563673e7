//! What is exposed: names, types, labels and meanings, each written once.

/// A family of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name as queries use it, `_total` and `_info` included.
    pub name: &'static str,
    /// What sort of number it is.
    pub kind: Kind,
    /// Its labels, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// What it counts, in one line.
    pub help: &'static str,
}

/// What sort of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Durations by upper bound, with their sum and count.
    Histogram,
    /// Always 1; what it says is in its labels.
    Info,
}

impl Kind {
    /// As the table of docs/OPERATING.md calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

macro_rules! families {
    ($($id:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)+) => {
        $(
            pub(super) const $id: Family = Family {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// Every family there is.
        pub const ALL: &[Family] = &[$($id),+];
    };
}

families! {
    BUILD = "gnomon_build_info", Info, ["version"],
        "Which gnomon this is.";
    CPU = "process_cpu_seconds_total", Counter, [],
        "Time that all threads of the process have worked.";
    RESIDENT = "process_resident_memory_bytes", Gauge, [],
        "Memory that the process has in RAM.";
    VIRTUAL = "process_virtual_memory_bytes", Gauge, [],
        "Address space of the process.";
    OPEN_FILES = "process_open_fds", Gauge, [],
        "File descriptors that are open.";
    MAX_FILES = "process_max_fds", Gauge, [],
        "File descriptors that may be open.";
    START = "process_start_time_seconds", Gauge, [],
        "When the process was started, since 1970.";
    RELOAD_OK = "gnomon_config_last_reload_success", Gauge, [],
        "Whether the configuration was taken over when it was last read: 1, or 0.";
    RELOAD_TIME = "gnomon_config_last_reload_timestamp_seconds", Gauge, [],
        "When the configuration was last read, since 1970.";
    RELOADS = "gnomon_config_reloads_total", Counter, ["result"],
        "Reloads, by whether they were taken over (ok) or refused.";
    FLAGS_SOURCE_OK = "gnomon_flags_source_ok", Gauge, [],
        "Whether what the source of flags says is in force: 1, or 0.";
    FLAGS_SOURCE_TIME = "gnomon_flags_source_last_success_timestamp_seconds", Gauge, [],
        "When the source of flags was last read and right, since 1970.";
    FLAG_ENABLED = "gnomon_flag_enabled", Gauge, ["flag"],
        "Whether a flag is on: 1, or 0.";
    FLAG_OVERRIDDEN = "gnomon_flag_overridden", Gauge, ["flag"],
        "Whether a flag is other than in its file: 1, or 0.";
    FLAGS_STALE = "gnomon_flags_stale", Gauge, ["reason"],
        "Flags that nobody has asked for (unused), that give all the same (same), or that should be gone (expired).";
    CERTIFICATE_EXPIRY = "gnomon_certificate_expiry_timestamp_seconds", Gauge,
        ["listener", "certificate"],
        "Until when a certificate is in force, since 1970; by the first of its names.";
    SATURATION = "gnomon_saturation_ratio", Gauge, ["component"],
        "How full the fullest of its kind is, 0 to 1, over the last second.";
    VERSION_SATURATION = "gnomon_version_saturation_ratio", Gauge,
        ["upstream", "version", "arm", "component"],
        "How full what leads to a version is, 0 to 1, over the last second.";
    SPLIT = "gnomon_split_ratio", Gauge, ["upstream", "version", "arm"],
        "Share of the upstream's traffic that a version is to get now, 0 to 1.";
    CORE_BUSY = "gnomon_core_busy_seconds_total", Counter, ["core"],
        "Time that a core's thread has worked.";
    CORE_WAIT = "gnomon_core_wait_seconds_total", Counter, ["core"],
        "Time that it has not: nothing to do, or another thread had the CPU.";
    CORE_STALLS = "gnomon_core_stalls_total", Counter, ["core"],
        "Turns of a core's housekeeping that came more than 10 ms late.";
    CORE_STUCK = "gnomon_core_stuck", Gauge, ["core"],
        "Whether a core's heartbeat has stood still for 5 s: 1, or 0.";
    CORE_QUEUE = "gnomon_core_accept_queue", Gauge, ["core"],
        "Connections that the kernel has made and the core has not accepted yet.";
    CORE_BUFFERS = "gnomon_core_buffers", Gauge, ["core"],
        "Buffers in use.";
    CONNECTIONS = "gnomon_connections", Gauge, ["core"],
        "Client connections open now.";
    CONNECTIONS_TOTAL = "gnomon_connections_accepted_total", Counter, ["core"],
        "Client connections accepted.";
    CORE_REQUESTS = "gnomon_core_requests_total", Counter, ["core"],
        "Requests whose head was read, also those that no origin was asked.";
    PREFACES = "gnomon_proxy_protocol_refused_total", Counter, ["core", "reason"],
        "Connections closed for want of a PROXY protocol header: untrusted, malformed, timeout or gone.";
    REJECTS = "gnomon_rejected_total", Counter, ["core"],
        "Requests refused as malformed or too large.";
    UNROUTED = "gnomon_unrouted_total", Counter, ["core"],
        "Requests that no route matched.";
    QUEUED = "gnomon_queued_total", Counter, ["core"],
        "Requests that waited for an origin connection.";
    ACCEPT_FAILURES = "gnomon_accept_failures_total", Counter, ["core"],
        "Times that accepting failed for want of descriptors or memory.";
    ACCEPT_PAUSES = "gnomon_accept_pauses_total", Counter, ["core"],
        "Times that accepting paused because limits.connections was reached.";
    HANDSHAKES = "gnomon_tls_handshakes_total", Counter, ["core", "resumed"],
        "TLS handshakes with clients that came to a session, and whether they resumed one.";
    HANDSHAKES_UNDER_WAY = "gnomon_tls_handshakes_in_flight", Gauge, ["core"],
        "TLS handshakes with clients under way now.";
    HANDSHAKES_REFUSED = "gnomon_tls_handshakes_refused_total", Counter, ["core"],
        "Connections closed because limits.handshakes was reached.";
    HANDSHAKES_FAILED = "gnomon_tls_handshakes_failed_total", Counter, ["core", "reason"],
        "TLS handshakes with clients that came to nothing.";
    ORIGIN_HANDSHAKES_FAILED = "gnomon_tls_origin_handshakes_failed_total", Counter, ["core"],
        "TLS handshakes with origins that came to nothing.";
    REFUSED = "gnomon_refused_total", Counter, ["core", "reason"],
        "Connections and requests that a limit of ours turned away or ended.";
    RATES_FORGOTTEN = "gnomon_rates_forgotten_total", Counter, ["core"],
        "Clients whose rate began anew too early, for want of a place in the table.";
    OVERLOAD = "gnomon_overload_level", Gauge, [],
        "How hard the process is pressed: 0 calm, 1 tight, 2 closed, 3 shedding.";
    OVERLOAD_MEMORY = "gnomon_overload_memory_bytes", Gauge, [],
        "Memory that the process may take before it sheds load.";
    JWT_CHECKS = "gnomon_jwt_checks_total", Counter, ["core", "result"],
        "Tokens that were not known yet, by what checking came to: ok, bad, expired, or refused for want of time.";
    PANICS = "gnomon_panics_total", Counter, ["core"],
        "Connections ended by a panic of ours.";
    LOG_LINES = "gnomon_access_log_lines_total", Counter, [],
        "Lines of the access log that were written.";
    LOG_DROPS = "gnomon_access_log_dropped_total", Counter, ["core"],
        "Lines of the access log that were dropped because a ring was full.";
    LOG_FAILURES = "gnomon_access_log_failures_total", Counter, [],
        "Times that the access log's file or stream refused.";
    SPANS = "gnomon_trace_spans_total", Counter, ["result"],
        "Spans of sampled traces: sent to the collector, rejected by it, dropped because too many waited, failed.";
    VIEWERS = "gnomon_viewers", Gauge, [],
        "Who looks at exchanges as they end, by gnomon tap.";
    VIEWER_LINES = "gnomon_viewer_lines_total", Counter, ["result"],
        "Exchanges shown to those who look, and dropped because one read too slowly or a ring was full.";
    REQUESTS = "gnomon_requests_total", Counter, ["upstream", "version", "arm", "code"],
        "Requests, by class of the status; none where the client left before there was one.";
    ASSIGNED = "gnomon_assigned_total", Counter, ["upstream", "version", "arm", "by"],
        "Requests, by what brought them: split, pin of a route, or fallback from another version.";
    DISPLACED = "gnomon_displaced_total", Counter, ["upstream", "version", "arm"],
        "Requests meant for a version that had to go elsewhere.";
    IN_FLIGHT = "gnomon_requests_in_flight", Gauge, ["upstream", "version", "arm"],
        "Requests under way now.";
    ERRORS = "gnomon_upstream_errors_total", Counter, ["upstream", "version", "arm", "reason"],
        "Exchanges without a whole reply of the origin.";
    CLIENT_GONE = "gnomon_client_gone_total", Counter, ["upstream", "version", "arm"],
        "Exchanges that the client gave up.";
    RETRIES = "gnomon_retries_total", Counter, ["upstream", "version", "arm", "reason"],
        "Repeats on another connection.";
    EJECTIONS = "gnomon_ejections_total", Counter, ["upstream", "version", "arm", "reason"],
        "Times that an endpoint was taken out: its requests failed, or its checks.";
    REQUEST_BYTES = "gnomon_request_bytes_total", Counter, ["upstream", "version", "arm"],
        "Bytes of bodies from clients to origins.";
    RESPONSE_BYTES = "gnomon_response_bytes_total", Counter, ["upstream", "version", "arm"],
        "Bytes of bodies from origins to clients.";
    UPSTREAM_CONNECTIONS = "gnomon_upstream_connections", Gauge,
        ["upstream", "version", "arm", "state"],
        "Connections to origins, by whether they are in use.";
    WAITING = "gnomon_upstream_waiting", Gauge, ["upstream", "version", "arm"],
        "Requests that wait for an origin connection now.";
    DURATION = "gnomon_request_duration_seconds", Histogram,
        ["upstream", "version", "arm", "outcome"],
        "From a request's head to its reply's last byte; error is a status of 500 and above.";
    ROUTE_REQUESTS = "gnomon_route_requests_total", Counter,
        ["route", "upstream", "version", "arm", "code"],
        "Requests of a route, by class of the status.";
    ROUTE_ERRORS = "gnomon_route_errors_total", Counter,
        ["route", "upstream", "version", "arm", "reason"],
        "Exchanges of a route without a whole reply of the origin.";
    FIRST_BYTE = "gnomon_response_first_byte_seconds", Histogram,
        ["route", "upstream", "version", "arm"],
        "From a request's head to its reply's head.";
    ROUTE_DURATION = "gnomon_route_duration_seconds", Histogram,
        ["route", "upstream", "version", "arm", "outcome"],
        "From a request's head to its reply's last byte, by route.";
    FLAG_EXPOSURES = "gnomon_flag_exposures_total", Counter, ["flag", "variant", "via"],
        "Times that a variant made a difference for a request (router), or was told to an application (ofrep).";
    FLAG_REQUESTS = "gnomon_flag_requests_total", Counter, ["flag", "variant", "outcome"],
        "Requests that a variant made a difference for: ok, error (5xx, or no whole reply), or ended by the client.";
    FLAG_DURATION = "gnomon_flag_request_duration_seconds", Histogram, ["flag", "variant"],
        "From such a request's head to its reply's last byte.";
    ROLLOUT_STEP = "gnomon_rollout_step", Gauge, ["rollout"],
        "Steps that a rollout has entered: 0 before the first.";
    ROLLOUT_PHASE = "gnomon_rollout_phase", Gauge, ["rollout", "phase"],
        "What a rollout is doing: 1 for its phase, 0 for the others.";
    ROLLOUT_WEIGHT = "gnomon_rollout_weight_ratio", Gauge, ["rollout"],
        "Share of the users that the canary gets now, 0 to 1.";
    ROLLOUT_REQUESTS = "gnomon_rollout_evidence_requests", Gauge, ["rollout", "arm"],
        "Requests of this step that are evidence.";
    ROLLOUT_EVIDENCE = "gnomon_rollout_gate", Gauge, ["rollout", "signal"],
        "Evidence that the canary is worse than allowed, n to 1: 100 rolls back by default.";
    ROLLOUT_TRANSITIONS = "gnomon_rollout_transitions_total", Counter, ["rollout", "to", "by"],
        "Transitions since the start, by what the rollout did then and who brought it about.";
    ENDPOINT_UP = "gnomon_endpoint_up", Gauge, ["upstream", "version", "arm", "endpoint"],
        "Whether health checks and ejection let an endpoint be used: 1, or 0.";
    ENDPOINT_IN_FLIGHT = "gnomon_endpoint_in_flight", Gauge,
        ["upstream", "version", "arm", "endpoint"],
        "Requests under way at an endpoint.";
    SHADOW_ELIGIBLE = "gnomon_shadow_eligible_total", Counter, ["shadow"],
        "Requests that a shadow could have had.";
    SHADOW_REQUESTS = "gnomon_shadow_requests_total", Counter, ["shadow", "result"],
        "Copies: sent, of these failed or unpaired; and what was dropped instead, by reason.";
    SHADOW_COMPARED = "gnomon_shadow_compared_total", Counter, ["shadow", "verdict"],
        "Pairs of replies that were compared: the same, or different.";
    SHADOW_NOISY = "gnomon_shadow_noisy_total", Counter, ["shadow"],
        "Requests whose two answers of the primary differ from each other.";
    OFREP_ANSWERS = "gnomon_ofrep_answers_total", Counter, ["code"],
        "Answers to applications that asked for flags, by status.";
    OFREP_FROZEN = "gnomon_ofrep_frozen_total", Counter, ["result"],
        "Requests of applications that told what the router had decided: believed, or refused.";
    OFREP_STREAMS = "gnomon_ofrep_streams", Gauge, [],
        "Streams open now on which applications are told of changes.";
    ADMIN_REFUSED = "gnomon_admin_refused_total", Counter, ["reason"],
        "Requests that the admin API refused, and handshakes with it that failed, by reason.";
    AUDIT_LOST = "gnomon_audit_lost_total", Counter, [],
        "Lines of the audit log that could not be written.";
    DROPPED = "gnomon_metrics_dropped_series_total", Counter, [],
        "Series left out of answers because metrics.max_series was reached.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_used_once() {
        let mut seen = BTreeSet::new();
        for Family { name, kind, labels, help } in ALL {
            // In OpenMetrics a counter's family goes without its suffix, and must differ all the same.
            let stem = name.trim_end_matches("_total").trim_end_matches("_info");
            assert!(seen.insert(stem), "{stem} twice");
            assert!(name.starts_with("gnomon_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), *kind == Kind::Info, "{name}");
            assert_eq!(labels.len(), labels.iter().collect::<BTreeSet<_>>().len(), "{name}");
            assert!(!labels.contains(&"le"), "{name}");
            // So that it needs no escaping in either format.
            assert!(!help.contains(['\\', '"', '\n']) && help.ends_with('.'), "{name}: {help}");
        }
    }

    #[test]
    fn whoever_names_a_version_says_which_part_it_plays() {
        for Family { name, labels, .. } in ALL {
            let of_version = labels.contains(&"version") && labels.contains(&"upstream");
            // A rollout compares two versions, and tells them apart by their parts alone.
            let has_arm = labels.contains(&"arm") && !labels.contains(&"rollout");
            assert_eq!(of_version, has_arm, "{name}");
        }
    }
}
