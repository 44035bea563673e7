//! Whether this host can run a configuration: ports, names, cores, folders. Changes nothing.

use std::{
    collections::BTreeSet,
    io,
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
};

use gnomon_config::{
    Config, Severity,
    model::{AccessFormat, Bind, Cores, Driver, Endpoint, Sink},
};
use gnomon_sys::{affinity, limits, socket};
use rustix::fs::Access;

use crate::control::{api::Status, ctl};

/// What this host would not do.
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) help: String,
}

/// All that this host has against `config`.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let running: Option<Status> = ctl::read(&config.admin.socket, "/v1/status").ok();
    let mut host = Host { findings: Vec::new(), running };
    host.ports(config);
    host.names(config);
    host.cores(config);
    host.folders(config);
    host.findings
}

struct Host {
    findings: Vec<Finding>,
    /// The proxy that answers on the configured socket: what it holds is ours.
    running: Option<Status>,
}

impl Host {
    fn error(&mut self, message: String, help: impl Into<String>) {
        self.findings.push(Finding { severity: Severity::Error, message, help: help.into() });
    }

    fn warn(&mut self, message: String, help: impl Into<String>) {
        self.findings.push(Finding { severity: Severity::Warning, message, help: help.into() });
    }

    fn ports(&mut self, config: &Config) {
        for listener in &config.listeners {
            let what = format!("listener `{}`", listener.name);
            for bind in &listener.bind {
                match bind {
                    Bind::Tcp(address) => self.port(&what, *address),
                    Bind::Unix(path) => {
                        self.folder(&what, folder_of(path), Missing::Error);
                    }
                }
            }
        }
        if let Some(address) = config.admin.listen.filter(|_| self.running.is_none()) {
            self.port("`admin.listen`", address);
        }
    }

    fn port(&mut self, what: &str, address: SocketAddr) {
        if address.port() == 0 {
            return;
        }
        let Err(error) = socket::probe_tcp(address) else { return };
        let kind = error.kind();
        if kind == io::ErrorKind::AddrInUse && self.holds_port(address) {
            return;
        }
        let port = address.port();
        let (why, help) = if kind == io::ErrorKind::AddrInUse {
            let help = format!("find it with: ss -ltnp 'sport = :{port}'");
            ("is in use by another process".to_owned(), help)
        } else if kind == io::ErrorKind::PermissionDenied && port < 1024 {
            let help = "check as the proxy's user, or give it CAP_NET_BIND_SERVICE".to_owned();
            ("may not be bound: ports below 1024 are privileged".to_owned(), help)
        } else if kind == io::ErrorKind::AddrNotAvailable {
            let help = "see the addresses there are with: ip address".to_owned();
            ("is not an address of this machine".to_owned(), help)
        } else {
            (format!("cannot be bound: {error}"), "see whether the address is right".to_owned())
        };
        self.error(format!("{what}: {address} {why}"), help);
    }

    /// Whether the proxy that runs already listens there.
    fn holds_port(&self, wanted: SocketAddr) -> bool {
        let listeners = self.running.iter().flat_map(|status| &status.listeners);
        let mut addresses = listeners.filter_map(|it| it.address.parse::<SocketAddr>().ok());
        addresses.any(|held| held.port() == wanted.port())
    }

    fn names(&mut self, config: &Config) {
        let versions = config.upstreams.iter().flat_map(|upstream| &upstream.versions);
        let names: BTreeSet<(&str, u16)> = versions
            .flat_map(|version| &version.endpoints)
            .filter_map(|endpoint| match endpoint {
                Endpoint::Name(name, port) => Some((&**name, *port)),
                Endpoint::Tcp(_) | Endpoint::Unix(_) => None,
            })
            .collect();
        for (name, port) in names {
            let why = match (name, port).to_socket_addrs().map(|mut found| found.next()) {
                Ok(Some(_)) => continue,
                Ok(None) => "it has no address".to_owned(),
                Err(error) => error.to_string(),
            };
            self.error(
                format!("`{name}:{port}` cannot be resolved: {why}"),
                "look at the name's spelling and at /etc/resolv.conf; --offline leaves names alone",
            );
        }
    }

    fn cores(&mut self, config: &Config) {
        let allowed = affinity::allowed_cores();
        match &config.runtime.cores {
            Cores::List(list) => {
                for core in list.iter().filter(|core| !allowed.contains(core)) {
                    self.error(
                        format!("`runtime.cores`: core {core} is not allowed to this process"),
                        format!("allowed are: {allowed:?}"),
                    );
                }
            }
            Cores::Count(count) if *count > allowed.len() => self.warn(
                format!("`runtime.cores`: {count} workers would share {} cores", allowed.len()),
                "say \"auto\": more workers than cores only wait for each other",
            ),
            Cores::Count(_) | Cores::Auto | Cores::Physical => {}
        }
        match (config.runtime.driver, limits::uring_refusal()) {
            (Driver::IoUring, Some(why)) => self.error(
                format!("`runtime.driver`: io_uring is not available: {why}"),
                "allow it, or say \"auto\" to fall back to epoll",
            ),
            (Driver::IoUring | Driver::Auto | Driver::Epoll, _) => {}
        }
    }

    fn folders(&mut self, config: &Config) {
        if self.running.is_none() {
            // It makes the folder itself, if it may.
            self.folder("`admin.socket`", folder_of(&config.admin.socket), Missing::Made);
        }
        self.sink("`log.to`", &config.log.to);
        if config.access_log.format != AccessFormat::Off {
            self.sink("`access_log.to`", &config.access_log.to);
        }
        // Nothing is kept there yet, but what will be should not come as a surprise.
        if let Some(why) = unwritable(&config.state.dir, Missing::Made) {
            let shown = config.state.dir.display();
            self.warn(
                format!("`state.dir`: {shown} {why}"),
                "set it to a folder of the proxy's user",
            );
        }
    }

    fn sink(&mut self, what: &str, sink: &Sink) {
        let Sink::File(path) = sink else { return };
        if path.exists() {
            if rustix::fs::access(path, Access::WRITE_OK).is_err() {
                let message = format!("{what}: {} may not be written", path.display());
                self.error(message, "give the file to the proxy's user");
            }
            return;
        }
        self.folder(what, folder_of(path), Missing::Error);
    }

    fn folder(&mut self, what: &str, folder: &Path, missing: Missing) {
        if let Some(why) = unwritable(folder, missing) {
            self.error(
                format!("{what}: {} {why}", folder.display()),
                "set it to a folder of the proxy's user, and check as that user",
            );
        }
    }
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new("."))
}

/// What a folder that is not there means.
#[derive(Clone, Copy)]
enum Missing {
    /// It would have to be there.
    Error,
    /// It will be made, in the nearest folder that is there.
    Made,
}

/// Why nothing can be put into `folder`.
fn unwritable(folder: &Path, missing: Missing) -> Option<&'static str> {
    if folder.is_dir() {
        let may = rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
        return (!may).then_some("may not be written");
    }
    if folder.exists() {
        return Some("is no folder");
    }
    match missing {
        Missing::Error => Some("does not exist"),
        Missing::Made => {
            let there = folder.ancestors().skip(1).find(|ancestor| ancestor.exists());
            there.and_then(|there| unwritable(there, Missing::Error)).map(|_| "cannot be made")
        }
    }
}
