//! Sockets that were open before this process was: from the one before it, or from a supervisor.
//!
//! A socket is known by where it listens; what it is called says which core's it was. One that is
//! still wanted is never closed and bound anew, since whoever waits in its queue would be reset.

use std::{
    collections::HashSet,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use gnomon_config::model::{Bind, Listener};
use gnomon_sys::{
    address::Address,
    socket::{self, Found},
};

use super::Bound;
use crate::heritage::Tag;

/// Sockets that nobody has asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<Item>);

#[derive(Debug)]
struct Item {
    socket: OwnedFd,
    found: Found,
    tag: Option<Tag>,
}

impl Inherited {
    /// From the process before this one.
    pub(crate) fn from_process(sockets: Vec<(Tag, OwnedFd)>) -> Self {
        Self::of(sockets.into_iter().map(|(tag, socket)| (Some(tag), socket)))
    }

    /// From a supervisor, which calls them as we did, or as its own configuration says.
    pub(crate) fn from_supervisor(sockets: Vec<(String, OwnedFd)>) -> Self {
        Self::of(sockets.into_iter().map(|(name, socket)| (parse(&name), socket)))
    }

    fn of(sockets: impl Iterator<Item = (Option<Tag>, OwnedFd)>) -> Self {
        let items = sockets.filter_map(|(tag, socket)| {
            let found = socket::examine(&socket);
            if found.is_none() {
                tracing::warn!(?tag, "a socket that was handed over does not listen; it is closed");
            }
            Some(Item { found: found?, socket, tag })
        });
        Self(items.collect())
    }

    /// What of these is wanted, for so many cores.
    pub(crate) fn listeners(
        &mut self,
        wanted: &[Listener],
        cores: usize,
        last_id: &mut u64,
    ) -> Vec<Bound> {
        let mut all = Vec::new();
        for listener in wanted {
            for bind in &listener.bind {
                let sockets = self.take(&listener.name, bind);
                if sockets.is_empty() {
                    continue;
                }
                *last_id += 1;
                all.push(adopt(sockets, listener, bind, cores, *last_id));
            }
        }
        all
    }

    /// The sockets of an address, in the order of the cores that had them, each once.
    fn take(&mut self, name: &str, bind: &Bind) -> Vec<Item> {
        let address = match bind {
            Bind::Tcp(address) if address.port() == 0 => self.any_port(name, *address),
            Bind::Tcp(address) => Some(Address::Tcp(*address)),
            Bind::Unix(path) => Some(Address::Unix(path.clone())),
        };
        let Some(address) = address else { return Vec::new() };
        let is_door = |item: &Item| !matches!(item.tag, None | Some(Tag::Listener { .. }));
        let mut sockets: Vec<Item> =
            self.0.extract_if(.., |item| item.found.address == address && !is_door(item)).collect();
        let mut seen = HashSet::new();
        sockets.retain(|item| seen.insert(item.found.inode));
        sockets.sort_by_key(|item| match &item.tag {
            Some(Tag::Listener { place, .. }) => *place,
            _ => usize::MAX,
        });
        sockets
    }

    /// Where a listener is whose port the kernel has chosen.
    fn any_port(&self, name: &str, wanted: SocketAddr) -> Option<Address> {
        let is_it = |item: &&Item| {
            let is_ours = matches!(&item.tag, Some(Tag::Listener { name: its, .. }) if its == name);
            let Address::Tcp(address) = item.found.address else { return false };
            is_ours && address.ip() == wanted.ip()
        };
        self.0.iter().find(is_it).map(|item| item.found.address.clone())
    }

    /// The admin socket, if it is where it is wanted.
    pub(crate) fn admin(&mut self, path: &Path) -> Option<UnixListener> {
        let is_there = |found: &Address| matches!(found, Address::Unix(it) if moved(it) == path);
        self.door(|tag| *tag == Tag::Admin, is_there).map(UnixListener::from)
    }

    /// A listener of control's, if it is where it is wanted.
    pub(crate) fn tcp(&mut self, tag: &Tag, wanted: SocketAddr) -> Option<std::net::TcpListener> {
        let is_tag = |known: &Tag| known == tag;
        self.door(is_tag, is_at(wanted)).map(std::net::TcpListener::from)
    }

    /// A listener for applications, if it is where it is wanted.
    pub(crate) fn ofrep(&mut self, wanted: SocketAddr) -> Option<std::net::TcpListener> {
        let is_tag = |tag: &Tag| matches!(tag, Tag::Ofrep(_));
        self.door(is_tag, is_at(wanted)).map(std::net::TcpListener::from)
    }

    fn door(
        &mut self,
        is_tag: impl Fn(&Tag) -> bool,
        is_there: impl Fn(&Address) -> bool,
    ) -> Option<OwnedFd> {
        let is_it =
            |item: &Item| item.tag.as_ref().is_some_and(&is_tag) && is_there(&item.found.address);
        let place = self.0.iter().position(is_it)?;
        Some(self.0.swap_remove(place).socket)
    }

    /// Closes what nobody has asked for; who waits in a queue there is refused, as the configuration
    /// wants it.
    pub(crate) fn close(self, forget: impl Fn(&str)) {
        for Item { found, socket, tag } in self.0 {
            if let Some(Tag::Listener { name: listener, place }) = &tag {
                // Whoever keeps it for us would keep it open.
                forget(&name(listener, *place));
            }
            drop(socket);
            match found.address {
                Address::Tcp(address) => tracing::info!(%address, "nobody listens here any more"),
                Address::Unix(path) => {
                    tracing::info!(path = %path.display(), "nobody listens here any more");
                    // Somebody may have removed it already.
                    let is_admin = tag == Some(Tag::Admin);
                    let _ = std::fs::remove_file(if is_admin { moved(&path) } else { path });
                }
            }
        }
    }
}

/// Whether a socket listens at an address, whose port may be any.
fn is_at(wanted: SocketAddr) -> impl Fn(&Address) -> bool {
    move |found| {
        matches!(found, Address::Tcp(found) if found.ip() == wanted.ip()
            && (wanted.port() == 0 || found.port() == wanted.port()))
    }
}

/// Where a socket file is now: the admin socket is bound under another name and then moved, of which
/// the kernel knows nothing.
fn moved(bound: &Path) -> PathBuf {
    let is_moved = bound.extension().is_some_and(|extension| extension == "new");
    if is_moved { bound.with_extension("") } else { bound.to_owned() }
}

fn adopt(sockets: Vec<Item>, listener: &Listener, bind: &Bind, cores: usize, id: u64) -> Bound {
    let local = match sockets.first().map(|item| &item.found.address) {
        Some(Address::Tcp(address)) => Some(*address),
        Some(Address::Unix(_)) | None => None,
    };
    let reuse_port = sockets.iter().all(|item| item.found.reuse_port);
    let mut all: Vec<Arc<OwnedFd>> =
        sockets.into_iter().map(|item| Arc::new(item.socket)).collect();
    let before = all.len();
    let name = &listener.name;
    while all.len() < cores {
        // Only its own user may bind beside a socket; where that is somebody else, cores share.
        let beside = local.filter(|_| reuse_port);
        let beside = beside.and_then(|local| socket::listen_tcp(local, listener.backlog).ok());
        let shared = || all.get(all.len() % before.max(1)).and_then(|it| it.try_clone().ok());
        let Some(socket) = beside.or_else(shared) else { break };
        all.push(Arc::new(socket));
    }
    tracing::info!(%name, sockets = before, cores, "a listener goes on with the sockets it had");
    let bound = Bound { id, config: listener.clone(), bind: bind.clone(), sockets: all, local };
    super::set_backlog(&bound);
    bound
}

/// What a socket is called at a supervisor's.
pub(crate) fn name(listener: &str, place: usize) -> String {
    format!("{PREFIX}{listener}-{place}")
}

fn parse(name: &str) -> Option<Tag> {
    let (listener, place) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
    Some(Tag::Listener { name: listener.to_owned(), place: place.parse().ok()? })
}

const PREFIX: &str = "gnomon-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::listeners::bind_all;

    fn listener(bind: Vec<Bind>) -> Listener {
        Listener {
            name: "web".into(),
            bind,
            backlog: 16,
            trusted: Vec::new(),
            upgrade: Vec::new(),
            connect: false,
            proxy_protocol: None,
            tls: None,
        }
    }

    fn any_port() -> Listener {
        listener(vec![Bind::Tcp(([127, 0, 0, 1], 0).into())])
    }

    fn handed_over(bound: &Bound) -> Inherited {
        let sockets = bound.distinct().enumerate().map(|(place, socket)| {
            let tag = Tag::Listener { name: "web".to_owned(), place };
            (tag, socket.try_clone().unwrap())
        });
        Inherited::from_process(sockets.collect())
    }

    fn inodes(bound: &Bound) -> Vec<u64> {
        bound.sockets.iter().map(|it| socket::examine(it).unwrap().inode).collect()
    }

    #[test]
    fn names_are_understood_again() {
        for (listener, place) in [("web", 0), ("a-b_c", 17)] {
            let tag = Tag::Listener { name: listener.to_owned(), place };
            assert_eq!(parse(&name(listener, place)), Some(tag));
        }
        for other in ["", "connection", "gnomon-", "gnomon-a", "gnomon-a-b", "http.socket"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn with_as_many_cores_each_has_its_own_again() {
        let wanted = [any_port()];
        let before = bind_all(&wanted, &[], 3, &mut 0).unwrap();
        let mut inherited = handed_over(&before[0]);
        let have = inherited.listeners(&wanted, 3, &mut 7);
        let after = bind_all(&wanted, &have, 3, &mut 8).unwrap();
        assert_eq!((after.len(), after[0].id, after[0].local), (1, 8, before[0].local));
        assert_eq!(inodes(&after[0]), inodes(&before[0]));
        assert!(inherited.0.is_empty());
    }

    #[test]
    fn more_cores_get_sockets_beside_and_fewer_keep_all() {
        let wanted = [any_port()];
        let before = bind_all(&wanted, &[], 2, &mut 0).unwrap();
        let more = handed_over(&before[0]).listeners(&wanted, 4, &mut 1);
        assert_eq!(inodes(&more[0])[..2], inodes(&before[0]));
        assert_eq!(more[0].distinct().count(), 4);
        let fewer = handed_over(&before[0]).listeners(&wanted, 1, &mut 1);
        assert_eq!(inodes(&fewer[0]), inodes(&before[0]));
    }

    #[test]
    fn a_socket_that_stands_alone_is_shared_by_the_cores() {
        let path = std::env::temp_dir().join(format!("gnomon-inherited-{}", std::process::id()));
        let alone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = alone.local_addr().unwrap();
        let unix = socket::listen_unix(&path, 16).unwrap();
        let wanted = [listener(vec![Bind::Tcp(address), Bind::Unix(path.clone())])];
        let sockets = vec![("web.socket".to_owned(), alone.into()), (String::new(), unix)];
        let mut inherited = Inherited::from_supervisor(sockets);
        let bound = inherited.listeners(&wanted, 2, &mut 0);
        let shapes: Vec<_> =
            bound.iter().map(|it| (it.sockets.len(), it.distinct().count())).collect();
        assert_eq!(shapes, [(2, 1), (2, 1)]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_not_wanted_is_closed() {
        let before = bind_all(&[any_port()], &[], 1, &mut 0).unwrap().remove(0);
        let address = before.local.unwrap();
        let mut inherited = handed_over(&before);
        drop(before);
        let other = listener(vec![Bind::Tcp(([127, 0, 0, 2], 0).into())]);
        assert!(inherited.listeners(&[other], 1, &mut 0).is_empty());
        assert!(std::net::TcpStream::connect(address).is_ok());
        inherited.close(|name| assert_eq!(name, "gnomon-web-0"));
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn doors_are_known_by_what_they_are_for() {
        let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = metrics.local_addr().unwrap();
        let mut inherited = Inherited::from_process(vec![(Tag::Metrics, metrics.into())]);
        let wanted = [listener(vec![Bind::Tcp(address)])];
        assert!(inherited.listeners(&wanted, 1, &mut 0).is_empty());
        assert!(inherited.tcp(&Tag::AdminTcp, address).is_none());
        let any = SocketAddr::new(address.ip(), 0);
        assert_eq!(inherited.tcp(&Tag::Metrics, any).unwrap().local_addr().unwrap(), address);
    }
}
