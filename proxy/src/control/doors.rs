//! Where the admin API listens: the socket file's rights, and a bound on connections.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream},
    },
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::connect_info::Connected, serve::IncomingStream, serve::Listener};
use gnomon_config::{Config, model::Admin};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    admin::Peer,
    api::{Kind, Refused},
    listeners::inherited::Inherited,
    ofrep,
};
use crate::heritage::Tag;

/// Binds the socket, with the configured rights from the first moment on. A socket file that
/// nobody answers on is replaced.
pub(crate) fn bind_socket(admin: &Admin) -> Result<StdUnixListener, Refused> {
    let path = &admin.socket;
    let shown = path.display();
    if StdUnixStream::connect(path).is_ok() {
        let error = format!("another proxy answers on the admin socket {shown}");
        return Err(Refused::new(Kind::Machine, error)
            .help("stop it, or give this one another `admin.socket`"));
    }
    let cannot = |error: io::Error| {
        Refused::new(Kind::Machine, format!("the admin socket {shown} cannot be bound: {error}"))
            .help("set `admin.socket` to a path in a folder of the proxy's user")
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    // Bound under another name and moved once its rights are right.
    let mut new = path.clone().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    let _ = fs::remove_file(&new);
    let listener = StdUnixListener::bind(&new).map_err(cannot)?;
    listener.set_nonblocking(true).map_err(cannot)?;
    set_rights(&new, admin)?;
    fs::rename(&new, path).map_err(cannot)?;
    Ok(listener)
}

/// Gives the socket file its configured mode and group.
fn set_rights(path: &Path, admin: &Admin) -> Result<(), Refused> {
    if let Some(group) = &admin.group {
        let gid = group_id(group).ok_or_else(|| {
            Refused::new(Kind::Machine, format!("`admin.group`: there is no group `{group}`"))
                .help("see the groups there are in /etc/group")
        })?;
        chown(path, None, Some(gid)).map_err(|error| {
            Refused::new(Kind::Machine, format!("`admin.group`: {error}"))
                .help(format!("the proxy's user must be a member of `{group}`"))
        })?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(admin.mode))
        .map_err(|error| Refused::new(Kind::Machine, format!("`admin.mode`: {error}")))
}

/// Where control answers.
pub(crate) struct Doors {
    /// The admin API.
    pub(crate) socket: StdUnixListener,
    /// The same over loopback, if that is configured.
    pub(crate) tcp: Option<std::net::TcpListener>,
    /// The metrics alone, if that is configured.
    pub(crate) metrics: Option<std::net::TcpListener>,
    /// Flags for applications.
    pub(crate) ofrep: Vec<ofrep::Unopened>,
}

impl Doors {
    /// Binds all of them, but for those that are open already; and whether the socket is new. It comes
    /// last: nothing can fail after it, and its file would have to be removed again.
    pub(crate) fn bind(
        config: &Config,
        inherited: &mut Inherited,
    ) -> Result<(Self, bool), Refused> {
        let mut bind = |tag, key, address: Option<SocketAddr>| {
            let bound = address.map(|it| match inherited.tcp(&tag, it) {
                Some(known) => Ok(known),
                None => bind_tcp(key, it),
            });
            bound.transpose()
        };
        let tcp = bind(Tag::AdminTcp, "admin.listen", config.admin.listen)?;
        let metrics = bind(Tag::Metrics, "metrics.listen", config.metrics.listen)?;
        let ofrep = ofrep::bind(config, &[], inherited)?;
        let known = inherited.admin(&config.admin.socket);
        let is_new = known.is_none();
        let socket = known.map_or_else(|| bind_socket(&config.admin), Ok)?;
        Ok((Self { socket, tcp, metrics, ofrep }, is_new))
    }
}

/// Binds an address of control's, which `key` configures.
pub(super) fn bind_tcp(key: &str, address: SocketAddr) -> Result<std::net::TcpListener, Refused> {
    let bound = std::net::TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|error| {
        Refused::new(Kind::Machine, format!("`{key}`: {address} cannot be bound: {error}"))
    })
}

/// A group's number, by its name or as it stands.
fn group_id(group: &str) -> Option<u32> {
    let listed = fs::read_to_string("/etc/group").unwrap_or_default();
    let named = listed.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?
    });
    named.or_else(|| group.parse().ok())
}

/// A listener that serves no more than [`CONNECTIONS_MAX`] at once.
pub(crate) struct Bounded<L> {
    listener: L,
    places: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    pub(crate) fn new(listener: L) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }

    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed, so there always is one in the end.
        self.places.clone().acquire_owned().await.ok()
    }
}

impl Listener for Bounded<UnixListener> {
    type Io = Held<UnixStream>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let place = self.place().await;
        let (stream, _) = Listener::accept(&mut self.listener).await;
        let peer = stream.peer_cred().map_or(Peer::Unknown, |user| Peer::User(user.uid()));
        (Held { stream, _place: place }, peer)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Peer::Unknown)
    }
}

impl Listener for Bounded<TcpListener> {
    type Io = Held<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let place = self.place().await;
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Held { stream, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl<L> Connected<IncomingStream<'_, Bounded<L>>> for Peer
where
    Bounded<L>: Listener<Addr = Self>,
{
    fn connect_info(stream: IncomingStream<'_, Bounded<L>>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A connection and its place.
pub(crate) struct Held<S> {
    stream: S,
    _place: Option<OwnedSemaphorePermit>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Connections at once: a few dashboards and scripts. Those beyond wait in the kernel's queue.
pub(super) const CONNECTIONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(name: &str) -> Admin {
        let folder = std::env::temp_dir().join(format!("gnomon-doors-{}", std::process::id()));
        let text = format!(
            "admin = {{ socket = \"{}\", mode = \"0600\" }}\nlistener.a.bind = \"127.0.0.1:0\"\n\
             route.all.respond.status = 204\n",
            folder.join(name).display()
        );
        let options = gnomon_config::Options::default();
        gnomon_config::parse("test.toml", &text, &options).unwrap().config.admin
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let admin = admin("a");
        let first = bind_socket(&admin).unwrap();
        let mode = fs::metadata(&admin.socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let refused = bind_socket(&admin).unwrap_err();
        assert!(refused.error.contains("another proxy answers"), "{refused}");
        drop(first);
        bind_socket(&admin).unwrap();
    }

    #[test]
    fn groups_are_found_by_name_and_number() {
        assert_eq!(
            (group_id("root"), group_id("12"), group_id("nosuch")),
            (Some(0), Some(12), None)
        );
    }
}
