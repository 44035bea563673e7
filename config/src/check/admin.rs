//! `[admin]`: where the admin API answers, and who may do what.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use aws_lc_rs::digest;

use super::{guessing, named, needed, tls};
use crate::{
    code, known,
    model::{
        Admin, AdminClient, AdminTls, AdminToken, AdminUser, Audit, Material, Name, Role, Shows,
    },
    names,
    problem::{Problem, Wrong},
    read::{Reader, Scope},
    tree::Entry,
};

pub(super) fn admin(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> Admin {
    let scope = root.child("admin");
    let tls = of_tls(reader, &scope);
    let tokens = tokens(reader, &scope);
    let clients = clients(reader, &scope, tls.as_ref());
    let listen = listen(reader, &scope, tls.as_ref(), &tokens);
    if let Some(entry) = scope.entry("listen_role")
        && (!tokens.is_empty() || tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()))
    {
        let message = "`listen_role` has no effect";
        let problem = Problem::warning(code::ADMIN, entry.key_place, message);
        reader.tell(problem.label("with tokens or `client_ca`, everybody has something to show"));
    }
    Admin {
        socket: reader.form(&scope, "socket", socket).map(|path| path.value).unwrap_or_default(),
        mode: reader.form(&scope, "mode", names::mode).map_or(0, |mode| mode.value),
        group: reader.filled(&scope, "group").map(|group| group.value.into()),
        listen,
        listen_role: role(reader.choice(&scope, "listen_role")),
        hosts: reader.forms(&scope, "hosts", host).into_iter().map(|host| host.value).collect(),
        read_only: reader.bool(&scope, "read_only"),
        tls,
        tokens,
        clients,
        users: users(reader, &scope),
        audit: reader.form(&scope, "audit", audit).map_or(Audit::State, |audit| audit.value),
    }
}

fn socket(path: &str) -> Result<PathBuf, Wrong> {
    if path.starts_with("unix:") {
        return Err(Wrong::new(code::VALUE, "this is a plain path").label("without `unix:`"));
    }
    // `sockaddr_un` has room for 107 bytes and a NUL.
    match path.len() {
        1..=107 if !path.contains('\0') => Ok(PathBuf::from(path)),
        _ => Err(Wrong::new(code::VALUE, "a socket's path has 1 to 107 bytes")),
    }
}

/// The address, if nobody can come there who should not.
fn listen(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    tls: Option<&AdminTls>,
    tokens: &[AdminToken],
) -> Option<SocketAddr> {
    let listen = reader.form(scope, "listen", names::socket_address)?;
    let address = listen.value;
    if address.ip().is_loopback() {
        return Some(address);
    }
    let message = format!("the admin API may not listen on {address} like this");
    let problem = Problem::error(code::ADMIN, listen.place, message);
    // What is wrong inside of them is told there.
    let speaks = tls.is_some() || scope.entry("tls").is_some();
    let asks = !tokens.is_empty()
        || scope.entry("token").is_some()
        || scope.child("tls").entry("client_ca").is_some();
    if !speaks {
        let problem = problem.label("not a loopback address, and anybody on the way could read");
        reader.tell(problem.help("add [admin.tls] with `cert` and `key`".to_owned()));
    } else if !asks {
        let problem = problem.label("not a loopback address, and anybody could come");
        reader.tell(
            problem.help(
                "add [admin.token.NAME] with `file` (`gnomon token` makes one), or `client_ca`"
                    .to_owned(),
            ),
        );
    }
    Some(address)
}

/// What a word means; none for `none`.
fn role(word: &str) -> Option<Role> {
    [Role::Read, Role::Rollout, Role::Config, Role::Admin]
        .into_iter()
        .find(|role| role.name() == word)
}

/// A name that a request's Host may have.
fn host(text: &str) -> Result<Arc<str>, Wrong> {
    if names::plain_host(text) || text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text.to_ascii_lowercase().into());
    }
    Err(Wrong::new(code::HOST, format!("`{text}` is not a host"))
        .label("expected a name or an address, without port"))
}

fn audit(text: &str) -> Result<Audit, Wrong> {
    match text {
        "state" => Ok(Audit::State),
        "off" => Ok(Audit::Off),
        path if path.contains('/') && !path.ends_with('/') => Ok(Audit::File(path.into())),
        word => {
            let wrong = Wrong::new(code::VALUE, format!("`{word}` is no place for an audit log"));
            Err(match known::nearest(word, ["state", "off"].into_iter()) {
                Some(guess) => wrong.label(format!("did you mean \"{guess}\"?")),
                None => wrong.label("expected state, off or the path of a file"),
            })
        }
    }
}

fn of_tls(reader: &mut Reader<'_, '_>, admin: &Scope<'_>) -> Option<AdminTls> {
    let scope = admin.present("tls")?;
    if scope.entry("client_role").is_some() && scope.entry("client_ca").is_none() {
        let message = "[admin.tls] has `client_role` and no `client_ca`";
        let problem = Problem::error(code::MISSING, scope.place, message);
        reader.tell(problem.label("whose certificates are believed?"));
    }
    let client_ca = reader.value(&scope, "client_ca", Reader::as_material);
    let client_role = role(reader.choice(&scope, "client_role"));
    let pair = tls::pair(reader, "[admin.tls]", scope.place, |key| scope.entry(key))?;
    Some(AdminTls { pair, client_ca, client_role })
}

fn tokens(reader: &mut Reader<'_, '_>, admin: &Scope<'_>) -> Vec<AdminToken> {
    let mut tokens: Vec<AdminToken> = Vec::new();
    for (entry, scope) in bounded(reader, admin, "token") {
        let Some(token) = token(reader, entry, &scope) else { continue };
        if let Some(twin) = tokens.iter().find(|other| other.sha256 == token.sha256) {
            let message = format!("`{}` and `{}` are the same token", twin.name, token.name);
            let problem = Problem::error(code::TOKEN, token.place.0, message);
            reader.tell(problem.related(twin.place.0, "the other"));
        }
        tokens.push(token);
    }
    tokens
}

fn token(reader: &mut Reader<'_, '_>, entry: &Entry, scope: &Scope<'_>) -> Option<AdminToken> {
    let name = named(reader, entry);
    let role = role_of(reader, "token", &name, scope);
    needed(reader, &format!("admin.token.{name}"), scope, "file");
    let file = reader.value(scope, "file", Reader::as_material)?;
    let sha256 = match read_token(&file) {
        Ok(sha256) => sha256,
        Err(problem) => {
            reader.tell(*problem);
            return None;
        }
    };
    Some(AdminToken { name, role: role?, sha256, file: file.path, place: file.place })
}

/// The hash of the token that a file holds.
fn read_token(file: &Material) -> Result<[u8; 32], Box<Problem>> {
    let wrong = |message: &str| Problem::error(code::TOKEN, file.place.0, message);
    let shown = file.path.display();
    if file.mode & READABLE_BY_OTHERS != 0 {
        let problem = wrong("everybody on this machine can read this token");
        return Err(Box::new(
            problem.help(format!("chmod o-r {shown}, and better draw another: gnomon token")),
        ));
    }
    let token = file.content.0.trim_ascii();
    if !token.iter().all(u8::is_ascii_graphic) {
        let problem = wrong("a token is one line of visible ASCII characters");
        return Err(Box::new(problem.help(format!("gnomon token --to {shown} --force draws one"))));
    }
    if token.len() < TOKEN_BYTES_MIN {
        let problem = wrong(&format!("a token has at least {TOKEN_BYTES_MIN} characters"));
        let problem = problem.label(format!("this one has {}", token.len()));
        return Err(Box::new(problem.help(format!("gnomon token --to {shown} --force draws one"))));
    }
    let hash = digest::digest(&digest::SHA256, token);
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(hash.as_ref());
    Ok(sha256)
}

fn clients(
    reader: &mut Reader<'_, '_>,
    admin: &Scope<'_>,
    tls: Option<&AdminTls>,
) -> Vec<AdminClient> {
    let mut clients = Vec::new();
    for (entry, scope) in bounded(reader, admin, "client") {
        let name = named(reader, entry);
        let role = role_of(reader, "client", &name, &scope);
        let subject = reader.filled(&scope, "subject").map(|it| Shows::Subject(it.value.into()));
        let san = reader.form(&scope, "san", san).map(|it| Shows::San(it.value));
        let written = ["subject", "san"].iter().filter(|key| scope.entry(key).is_some()).count();
        if written != 1 {
            let message = format!("[admin.client.{name}] has either `subject` or `san`");
            reader.tell(Problem::error(code::EXCLUSIVE, entry.key_place, message));
        }
        if tls.is_some_and(|tls| tls.client_ca.is_none()) || admin.entry("tls").is_none() {
            let message = format!("[admin.client.{name}] is for nobody");
            let problem = Problem::error(code::MISSING, entry.key_place, message);
            reader.tell(problem.help("add `client_ca` to [admin.tls]".to_owned()));
        }
        let known = subject.or(san).zip(role);
        clients.extend(known.map(|(shows, role)| AdminClient { name, role, shows }));
    }
    clients
}

/// A name as a certificate is shown to have it.
fn san(text: &str) -> Result<Arc<str>, Wrong> {
    if ["DNS:", "URI:", "email:", "IP:"].iter().any(|kind| text.starts_with(kind)) {
        return Ok(text.into());
    }
    Err(Wrong::new(code::VALUE, format!("`{text}` is no name of a certificate"))
        .label("expected \"DNS:…\", \"URI:…\", \"email:…\" or \"IP:…\""))
}

fn users(reader: &mut Reader<'_, '_>, admin: &Scope<'_>) -> Vec<AdminUser> {
    let mut users = Vec::new();
    for (entry, scope) in bounded(reader, admin, "user") {
        let name = named(reader, entry);
        let role = role_of(reader, "user", &name, &scope);
        users.extend(role.map(|role| AdminUser { name, role }));
    }
    users
}

fn role_of(
    reader: &mut Reader<'_, '_>,
    kind: &str,
    name: &Name,
    scope: &Scope<'_>,
) -> Option<Role> {
    needed(reader, &format!("admin.{kind}.{name}"), scope, "role");
    let parse = |text: &str| {
        role(text).ok_or_else(|| {
            let wrong = Wrong::new(code::CHOICE, format!("`{text}` is no role"));
            let wrong = guessing(wrong, text, ROLES.into_iter());
            wrong.help(format!("expected {}", ROLES.join(", ")))
        })
    };
    reader.form(scope, "role", parse).map(|role| role.value)
}

/// Named tables below `admin`, so many as may be looked at for every request.
fn bounded<'t>(
    reader: &mut Reader<'_, '_>,
    admin: &Scope<'t>,
    key: &str,
) -> Vec<(&'t Entry, Scope<'t>)> {
    let mut tables = admin.named(key);
    if let Some((beyond, _)) = tables.get(CALLERS_MAX) {
        let message = format!("there are more than {CALLERS_MAX} tables [admin.{key}.NAME]");
        reader.tell(Problem::error(code::RANGE, beyond.key_place, message));
        tables.truncate(CALLERS_MAX);
    }
    tables
}

const ROLES: [&str; 4] = ["read", "rollout", "config", "admin"];
/// Tokens, certificates or users that have a role of their own: each is compared at each request.
const CALLERS_MAX: usize = 64;
/// 32 characters of base64 hold 192 bits.
const TOKEN_BYTES_MIN: usize = 32;
/// The permission bit of those who are neither owner nor in the group.
const READABLE_BY_OTHERS: u32 = 0o004;
