//! `listen` and `[listener.*]`: where clients connect.

use std::net::SocketAddr;

use super::{named, repeated, tls};
use crate::{
    code,
    model::{Admin, Bind, Listener, Metrics, Name},
    names,
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope, shared, values},
};

/// Where we listen for whoever is no client.
pub(super) struct Ours<'a> {
    pub(super) admin: &'a Admin,
    pub(super) metrics: &'a Metrics,
    pub(super) ofrep: &'a [Placed<SocketAddr>],
}

/// Every listener; at least one, or a problem.
pub(super) fn all(reader: &mut Reader<'_, '_>, root: &Scope<'_>, ours: &Ours<'_>) -> Vec<Listener> {
    let mut listeners = Vec::new();
    let mut binds = Vec::new();
    if let Some(short) = root.entry("listen") {
        reader.not_empty(root, &["listen"]);
        let bind = reader.forms(root, "listen", names::bind);
        let rest = root.unwritten("listener", short.key_place);
        listeners.push(listener(reader, &rest, shared("default"), bind, &mut binds));
    }
    for (entry, scope) in root.named("listener") {
        if let Some(short) = root.entry("listen").filter(|_| entry.key == "default") {
            let message = "[listener.default] is defined twice";
            reader.tell(
                Problem::error(code::TWICE, entry.key_place, message)
                    .label("the long form")
                    .related(short.key_place, "the short form"),
            );
        }
        let name = named(reader, entry);
        if scope.entry("bind").is_none() {
            let message = format!("[listener.{name}] has no `bind`");
            reader.tell(Problem::error(code::MISSING, entry.key_place, message));
        }
        let bind = reader.forms(&scope, "bind", names::bind);
        listeners.push(listener(reader, &scope, name, bind, &mut binds));
    }
    if root.entry("listen").is_none() && root.entry("listener").is_none() {
        reader.tell(
            Problem::error(code::NOTHING, Place::default(), "nothing listens")
                .help("add listen = \"0.0.0.0:8080\"".to_owned()),
        );
    }
    same_addresses(reader, root, binds, ours);
    listeners
}

fn listener(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    name: Name,
    bind: Vec<Placed<Bind>>,
    binds: &mut Vec<Placed<Bind>>,
) -> Listener {
    reader.not_empty(scope, &["bind", "protocols", "proxy_trusted"]);
    reader.choices(scope, "protocols");
    binds.extend(bind.iter().cloned());
    let senders = values(reader.forms(scope, "proxy_trusted", names::network));
    Listener {
        tls: tls::listener(reader, scope, &name),
        name,
        bind: values(bind),
        backlog: reader.integer(scope, "backlog"),
        trusted: values(reader.forms(scope, "trusted", names::network)),
        upgrade: values(reader.forms(scope, "upgrade", protocol)),
        connect: reader.bool(scope, "connect"),
        proxy_protocol: reader.bool(scope, "proxy_protocol").then_some(senders),
    }
}

fn protocol(text: &str) -> Result<String, Wrong> {
    names::field_name(text)
        .map(|name| name.to_string())
        .map_err(|_| Wrong::new(code::VALUE, format!("`{text}` is not a protocol's name")))
}

fn same_addresses(
    reader: &mut Reader<'_, '_>,
    root: &Scope<'_>,
    binds: Vec<Placed<Bind>>,
    ours: &Ours<'_>,
) {
    let Ours { admin, metrics, ofrep } = ours;
    let scope = root.child("admin");
    let mut all = vec![(Bind::Unix(admin.socket.clone()), scope.place_of("socket"))];
    all.extend(admin.listen.map(|address| (Bind::Tcp(address), scope.place_of("listen"))));
    let of_metrics = root.child("metrics").place_of("listen");
    let metrics =
        metrics.listen.map(|address| Placed { value: Bind::Tcp(address), place: of_metrics });
    let ofrep = ofrep.iter().map(|it| Placed { value: Bind::Tcp(it.value), place: it.place });
    // Port 0 lets the kernel choose, each time anew.
    let fixed = |bind: &Bind| !matches!(bind, Bind::Tcp(address) if address.port() == 0);
    all.extend(
        binds
            .into_iter()
            .chain(metrics)
            .chain(ofrep)
            .filter(|bind| fixed(&bind.value))
            .map(|b| (b.value, b.place)),
    );
    for (bind, first, second) in repeated(all.into_iter()) {
        let shown = match bind {
            Bind::Tcp(address) => address.to_string(),
            Bind::Unix(path) => format!("unix:{}", path.display()),
        };
        let problem = Problem::error(code::SAME_ADDRESS, second, format!("{shown} is bound twice"));
        reader.tell(problem.label("again here").related(first, "first here"));
    }
}
