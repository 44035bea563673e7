//! nginx: `http`, `server`, `location`, `upstream`, and what stands in them.

mod action;
mod grammar;
mod location;
mod server;
mod terms;
mod upstream;
mod words;

use std::collections::HashMap;

use super::{
    Files, Text,
    draft::{At, Draft, Kind},
    ledger::Id,
};

use self::{
    grammar::{Parser, Statement},
    terms::Terms,
};

/// Everything that servers and locations refer to.
struct World<'s> {
    draft: &'s mut Draft,
    /// `upstream` blocks by name.
    pools: HashMap<&'s str, &'s Statement>,
    /// `map` and `split_clients` by their variable, with its `$`.
    tables: HashMap<&'s str, &'s Statement>,
    /// `limit_req_zone` by name.
    zones: HashMap<String, &'s Statement>,
    /// Upstreams of ours that were made, by what they stand for.
    made: HashMap<String, At>,
    /// Folder that relative paths start from.
    root: String,
    /// Whether anything listens for TLS.
    has_tls: bool,
    /// Routes by regular expression, or before which none may be tried.
    ordered: bool,
    routes: Vec<Ranked>,
    /// `set_real_ip_from`.
    trusted: Vec<(String, Id)>,
}

/// A route, and what nginx's order of locations says of it.
struct Ranked {
    at: At,
    /// 0 for any host, 1 for those below one, 2 for some.
    host: u8,
    /// 0 for a prefix, 1 for a regular expression, 2 for a prefix before these, 3 for a path.
    kind: u8,
}

/// Reads nginx's configuration into the draft.
///
/// # Errors
///
/// What is no configuration of nginx, with file and line.
pub(super) fn read(draft: &mut Draft, texts: &[Text], files: &dyn Files) -> Result<(), String> {
    let mut statements = Vec::new();
    let mut parser = Parser::new(&mut draft.ledger, files);
    for text in texts {
        statements.extend(parser.file(text)?);
    }
    let root = texts.first().map_or(".", |text| grammar::folder(&text.name)).to_owned();
    let http = flattened(&statements);
    let mut world = World {
        draft,
        pools: HashMap::new(),
        tables: HashMap::new(),
        zones: HashMap::new(),
        made: HashMap::new(),
        root,
        has_tls: false,
        ordered: false,
        routes: Vec::new(),
        trusted: Vec::new(),
    };
    world.collect(&http);
    let terms = world.terms(&Terms::default(), &http);
    world.globals(&http);
    let servers: Vec<&Statement> =
        http.iter().copied().filter(|it| it.name() == "server").collect();
    world.listeners(&servers);
    for server in &servers {
        world.server(server, &terms, &servers);
    }
    world.rank();
    world.trust();
    settle(world.draft, &statements, false);
    Ok(())
}

/// What stands in `http`, or where it would stand if this is a file that `http` includes.
fn flattened(statements: &[Statement]) -> Vec<&Statement> {
    let mut all = Vec::new();
    for statement in statements {
        match statement.name() {
            "http" => all.extend(statement.inner()),
            _ => all.push(statement),
        }
    }
    all
}

/// Says of every directive that nobody has spoken of what becomes of it.
fn settle(draft: &mut Draft, statements: &[Statement], foreign: bool) {
    for statement in statements {
        let name = statement.name();
        let foreign = foreign || matches!(name, "stream" | "mail" | "rtmp");
        if foreign {
            let why = "gnomon proxies HTTP alone";
            if draft.ledger.is_open(statement.id) {
                draft.ledger.otherwise(statement.id, why);
            }
        } else if name == "location" || name == "server" {
            let why = if name == "server" {
                "nothing in it could be carried over"
            } else {
                "it neither proxies, nor redirects, nor answers by itself"
            };
            if draft.ledger.is_open(statement.id) {
                draft.ledger.otherwise(statement.id, why);
            }
        } else {
            words::settle(&mut draft.ledger, statement.id, name);
        }
        settle(draft, statement.inner(), foreign);
    }
}

impl<'s> World<'s> {
    fn collect(&mut self, http: &[&'s Statement]) {
        for statement in http {
            match statement.name() {
                "upstream" => {
                    self.pools.insert(statement.argument(0), statement);
                }
                "map" => {
                    self.tables.insert(statement.argument(1), statement);
                    if statement.argument(0) == "$http_upgrade" {
                        self.draft.ledger.carry(statement.id);
                    }
                }
                "split_clients" => {
                    self.tables.insert(statement.argument(1), statement);
                }
                "limit_req_zone" => {
                    let zone = statement.words.iter().find_map(|it| it.strip_prefix("zone="));
                    let name = zone.and_then(|it| it.split(':').next()).unwrap_or_default();
                    self.zones.insert(name.to_owned(), statement);
                }
                _ => {}
            }
        }
    }

    /// Settings of `http` that hold for all of ours.
    fn globals(&mut self, http: &[&'s Statement]) {
        for statement in http {
            if statement.name() == "access_log" {
                self.access_log(statement);
            }
        }
    }

    fn access_log(&mut self, statement: &Statement) {
        let path = statement.argument(0);
        let id = statement.id;
        match path {
            "off" => self.draft.ledger.carry(id),
            path if path.starts_with('/') && !path.contains('$') => {
                let at = self.draft.global("access_log");
                self.draft.set(at, "format", "\"combined\"", &[id]);
                self.draft.set(at, "to", super::values::text(path), &[id]);
                if !matches!(statement.argument(1), "" | "combined") {
                    let why = "lines are `combined`: the formats are json, ecs, logfmt, common and combined";
                    self.draft.ledger.partly(id, why);
                }
            }
            _ => self.draft.ledger.leave(id, "a log goes to stdout, stderr or one file"),
        }
    }

    /// Who is believed about its clients' addresses, on every listener.
    fn trust(&mut self) {
        let listeners = self.draft.tables.iter().enumerate();
        let listeners: Vec<At> = listeners
            .filter(|(_, table)| table.kind == Kind::Listener)
            .map(|(at, _)| At(at))
            .collect();
        for (net, id) in std::mem::take(&mut self.trusted) {
            for at in &listeners {
                self.draft.push(*at, "trusted", &net, id);
            }
        }
    }

    /// nginx asks regular expressions before prefixes, ours are asked last: `priority` says so where
    /// there are any.
    fn rank(&mut self) {
        if !self.ordered {
            return;
        }
        for Ranked { at, host, kind } in std::mem::take(&mut self.routes) {
            let priority = i32::from(host) * 4 + i32::from(kind);
            if priority != 0 {
                self.draft.set(at, "priority", priority.to_string(), &[]);
            }
        }
        self.draft.note(
            "`priority` keeps nginx's order: paths, then `^~`, then patterns, then prefixes.",
        );
    }

    fn route(&mut self, name: &str, from: &[Id]) -> At {
        self.draft.table(Kind::Route, name, from)
    }
}
