//! Listening sockets: bound for every core before anything is published, kept while wanted.

pub(crate) mod inherited;

use std::{io, net::SocketAddr, os::fd::OwnedFd, path::Path, sync::Arc};

use gnomon_config::model::{Bind, Listener};
use gnomon_sys::socket;

use super::api::{Kind, Refused};
use crate::snapshot::ListenerView;

/// A bound address of a listener.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// Stays the same for as long as the address is bound.
    pub(crate) id: u64,
    pub(crate) config: Listener,
    pub(crate) bind: Bind,
    /// At least one for each core; beyond, the first core has the first again, and so on.
    pub(crate) sockets: Vec<Arc<OwnedFd>>,
    pub(crate) local: Option<SocketAddr>,
}

impl Bound {
    pub(crate) fn view(&self) -> ListenerView {
        ListenerView {
            id: self.id,
            config: self.config.clone(),
            sockets: self.sockets.iter().map(Arc::downgrade).collect(),
            local: self.local,
            tls: None,
        }
    }

    /// The address as bound.
    pub(crate) fn address(&self) -> String {
        match (&self.bind, self.local) {
            (_, Some(local)) => local.to_string(),
            (Bind::Tcp(address), None) => address.to_string(),
            (Bind::Unix(path), None) => format!("unix:{}", path.display()),
        }
    }

    /// The sockets that are no duplicates of each other: what another process needs.
    pub(crate) fn distinct(&self) -> impl Iterator<Item = &Arc<OwnedFd>> {
        let mut seen = std::collections::HashSet::new();
        self.sockets.iter().filter(move |socket| {
            socket::examine(socket).is_none_or(|found| seen.insert(found.inode))
        })
    }

    fn serves(&self, listener: &Listener, bind: &Bind) -> bool {
        // Port 0 is another port for each listener.
        let any_port = matches!(bind, Bind::Tcp(address) if address.port() == 0);
        self.bind == *bind && (!any_port || self.config.name == listener.name)
    }
}

/// All sockets that are no duplicates of each other: each with its listener's name, and its place
/// among that listener's.
pub(crate) fn places(all: &[Bound]) -> impl Iterator<Item = (&str, usize, &Arc<OwnedFd>)> {
    let mut next = std::collections::HashMap::new();
    let sockets = all.iter().flat_map(|bound| bound.distinct().map(|it| (&*bound.config.name, it)));
    sockets.map(move |(name, socket)| {
        let place = next.entry(name).or_insert(0);
        *place += 1;
        (name, *place - 1, socket)
    })
}

/// Binds what `wanted` has and `have` has not, for so many cores. What `have` has is kept. After
/// a refusal everything is as before.
pub(crate) fn bind_all(
    wanted: &[Listener],
    have: &[Bound],
    cores: usize,
    last_id: &mut u64,
) -> Result<Vec<Bound>, Refused> {
    let mut all: Vec<Bound> = Vec::new();
    let pairs = wanted.iter().flat_map(|listener| listener.bind.iter().map(move |b| (listener, b)));
    for (listener, bind) in pairs {
        let kept = have.iter().find(|bound| {
            bound.serves(listener, bind) && !all.iter().any(|taken| taken.id == bound.id)
        });
        if let Some(kept) = kept {
            all.push(Bound { config: listener.clone(), ..kept.clone() });
            continue;
        }
        let bound = match bind {
            Bind::Tcp(address) => tcp(*address, listener.backlog, cores, have),
            Bind::Unix(path) => unix(path, listener.backlog, cores),
        };
        match bound {
            Ok((sockets, local)) => {
                *last_id += 1;
                let (config, bind) = (listener.clone(), bind.clone());
                all.push(Bound { id: *last_id, config, bind, sockets, local });
            }
            Err(error) => {
                let fresh = all.iter().filter(|new| !have.iter().any(|old| old.id == new.id));
                unlink(fresh);
                return Err(refusal(listener, bind, &error));
            }
        }
    }
    for bound in &all {
        let old = have.iter().find(|old| old.id == bound.id);
        if old.is_some_and(|old| old.config.backlog != bound.config.backlog) {
            set_backlog(bound);
        }
    }
    Ok(all)
}

/// Removes the socket files of listeners that are gone.
pub(crate) fn unlink<'a>(gone: impl IntoIterator<Item = &'a Bound>) {
    for bound in gone {
        if let Bind::Unix(path) = &bound.bind {
            // Somebody may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}

type Sockets = (Vec<Arc<OwnedFd>>, Option<SocketAddr>);

fn tcp(address: SocketAddr, backlog: u32, cores: usize, have: &[Bound]) -> io::Result<Sockets> {
    // A socket of ours on the same port, `127.0.0.1:80` beside `0.0.0.0:80`, would make the probe
    // fail, though both can be bound side by side.
    let ours = have.iter().filter_map(|bound| bound.local).any(|a| a.port() == address.port());
    if address.port() != 0 && !ours {
        socket::probe_tcp(address)?;
    }
    let first = socket::listen_tcp(address, backlog)?;
    let local = socket::local_address(&first)?;
    let mut sockets = vec![Arc::new(first)];
    for _ in 1..cores {
        sockets.push(Arc::new(socket::listen_tcp(local, backlog)?));
    }
    Ok((sockets, Some(local)))
}

fn unix(path: &Path, backlog: u32, cores: usize) -> io::Result<Sockets> {
    let first = socket::listen_unix(path, backlog)?;
    let mut sockets = Vec::new();
    for _ in 1..cores {
        sockets.push(Arc::new(first.try_clone()?));
    }
    sockets.push(Arc::new(first));
    Ok((sockets, None))
}

/// Linux takes a new backlog from a second `listen`.
fn set_backlog(bound: &Bound) {
    let backlog = i32::try_from(bound.config.backlog).unwrap_or(i32::MAX);
    for socket in &bound.sockets {
        if let Err(error) = rustix::net::listen(socket, backlog) {
            tracing::warn!(listener = %bound.config.name, %error, "the backlog stays as it was");
        }
    }
}

fn refusal(listener: &Listener, bind: &Bind, error: &io::Error) -> Refused {
    let (address, port) = match bind {
        Bind::Tcp(address) => (address.to_string(), Some(address.port())),
        Bind::Unix(path) => (format!("unix:{}", path.display()), None),
    };
    let name = &listener.name;
    let refused =
        |why: String| Refused::new(Kind::Machine, format!("listener `{name}`: {address} {why}"));
    match (error.kind(), port) {
        (io::ErrorKind::AddrInUse, Some(port)) => {
            refused("is in use by another process".to_owned())
                .help(format!("find it with: ss -ltnp 'sport = :{port}'"))
        }
        (io::ErrorKind::AddrInUse, None) => refused("is in use by another process".to_owned()),
        (io::ErrorKind::PermissionDenied, Some(1..=1023)) => {
            refused("may not be bound: ports below 1024 are privileged".to_owned())
                .help("give the unit AmbientCapabilities=CAP_NET_BIND_SERVICE")
        }
        (io::ErrorKind::AddrNotAvailable, _) => {
            refused("is not an address of this machine".to_owned())
                .help("see the addresses there are with: ip address")
        }
        _ => refused(format!("cannot be bound: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(name: &str, bind: Vec<Bind>) -> Listener {
        Listener {
            name: name.into(),
            bind,
            backlog: 16,
            trusted: Vec::new(),
            upgrade: Vec::new(),
            connect: false,
            tls: None,
            proxy_protocol: None,
        }
    }

    fn local(port: u16) -> Bind {
        Bind::Tcp(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn every_core_has_its_socket_on_one_port_chosen_by_the_kernel() {
        let bound = bind_all(&[listener("a", vec![local(0)])], &[], 3, &mut 0).unwrap();
        let port = bound[0].local.unwrap().port();
        assert_ne!(port, 0);
        for socket in &bound[0].sockets {
            assert_eq!(socket::local_address(socket).unwrap().port(), port);
        }
        assert_eq!(bound[0].sockets.len(), 3);
    }

    #[test]
    fn a_port_of_somebody_else_is_refused_by_name_and_nothing_stays_bound() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other.local_addr().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let wanted =
            [listener("good", vec![Bind::Tcp(free)]), listener("bad", vec![Bind::Tcp(taken)])];
        let refused = bind_all(&wanted, &[], 2, &mut 0).unwrap_err();
        assert!(refused.error.contains("listener `bad`"), "{refused}");
        assert!(refused.error.contains(&format!("{taken} is in use")), "{refused}");
        assert!(std::net::TcpListener::bind(free).is_ok());
    }

    #[test]
    fn an_address_still_wanted_keeps_its_sockets() {
        let mut last_id = 0;
        let before = bind_all(&[listener("a", vec![local(0)])], &[], 1, &mut last_id).unwrap();
        let mut wanted = listener("a", vec![local(0), local(0)]);
        wanted.backlog = 99;
        let after = bind_all(&[wanted], &before, 1, &mut last_id).unwrap();
        assert_eq!(after[0].id, before[0].id);
        assert!(Arc::ptr_eq(&after[0].sockets[0], &before[0].sockets[0]));
        assert_ne!(after[1].id, before[0].id);
    }
}
