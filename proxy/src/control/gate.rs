//! Who may come in over the admin API, and as whom: made from the configuration, all or nothing.

use std::sync::Arc;

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use gnomon_config::model::{self, Admin, AdminTls, ClientCerts, ListenerTls, Shows, TlsVersion};

use super::api::{Kind, Refused, series::Role};
use crate::{
    clock,
    tls::{ServerTls, identity::ClientIdentity, server, tickets::TicketKeys},
};

/// What callers are known by. Immutable; a reload makes another.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    tokens: Vec<model::AdminToken>,
    clients: Vec<model::AdminClient>,
    /// By number.
    users: Vec<(u32, Role)>,
    hosts: Vec<Arc<str>>,
    listen_role: Option<Role>,
    client_role: Option<Role>,
    tls: Option<ServerTls>,
    /// Whether certificates are asked for.
    has_roots: bool,
}

/// Who somebody is and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: String,
    pub(super) role: Role,
}

impl Gate {
    /// What `admin` asks for, or why that cannot be had.
    pub(crate) fn make(admin: &Admin) -> Result<Self, Refused> {
        let tls = admin.tls.as_ref().map(|tls| serve(tls, admin.tokens.is_empty())).transpose()?;
        let users = admin.users.iter().map(|user| {
            let number = user_id(&user.name).ok_or_else(|| {
                let error = format!("`admin.user.{0}`: there is no user `{0}`", user.name);
                Refused::new(Kind::Config, error).help("name users of /etc/passwd, or numbers")
            })?;
            Ok((number, user.role.into()))
        });
        Ok(Self {
            users: users.collect::<Result<_, Refused>>()?,
            tokens: admin.tokens.clone(),
            clients: admin.clients.clone(),
            hosts: admin.hosts.clone(),
            listen_role: admin.listen_role.map(Role::from),
            client_role: admin.tls.as_ref().and_then(|tls| tls.client_role).map(Role::from),
            has_roots: admin.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()),
            tls,
        })
    }

    /// How TLS is spoken over TCP, if it is.
    pub(super) fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Whether everybody over TCP has something to show.
    pub(super) fn asks(&self) -> bool {
        self.has_roots || self.has_tokens()
    }

    pub(super) fn has_tokens(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Whether it can be answered where anybody may come by.
    pub(super) fn is_safe_anywhere(&self) -> bool {
        self.tls.is_some() && self.asks()
    }

    /// Whether a request may call us so, beside by the names of this machine.
    pub(super) fn has_host(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }

    /// Who has nothing to show may do this, where nothing has to be shown.
    pub(super) fn listen_role(&self) -> Option<Role> {
        self.listen_role
    }

    /// Whose token it is. All are looked at, whichever it is.
    pub(super) fn token(&self, said: &[u8]) -> Option<Known> {
        let said = digest::digest(&digest::SHA256, said.trim_ascii());
        let found = self.tokens.iter().fold(None, |found, token| {
            let same = verify_slices_are_equal(&token.sha256, said.as_ref()).is_ok();
            if same { Some(token) } else { found }
        });
        found.map(|it| Known { name: format!("token {}", it.name), role: it.role.into() })
    }

    /// Whose certificate it is, which was verified; none if it is for nothing.
    pub(super) fn client(&self, shown: &ClientIdentity) -> Option<Known> {
        let shows = |client: &&model::AdminClient| match &client.shows {
            Shows::Subject(subject) => shown.subject.as_deref() == Some(&**subject),
            Shows::San(san) => shown.names.as_deref().is_some_and(|names| has_name(names, san)),
        };
        if let Some(client) = self.clients.iter().find(shows) {
            let name = format!("client {}", client.name);
            return Some(Known { name, role: client.role.into() });
        }
        let name = shown.subject.clone().unwrap_or_else(|| format!("sha256 {}", shown.sha256));
        self.client_role.map(|role| Known { name, role })
    }

    /// What a user of this machine may do over the socket; none if the kernel did not say who it is.
    pub(super) fn user(&self, uid: Option<u32>) -> Role {
        let Some(uid) = uid else {
            return if self.users.is_empty() { Role::Admin } else { Role::Read };
        };
        let found = self.users.iter().find(|(number, _)| *number == uid);
        found.map_or(Role::Admin, |(_, role)| *role)
    }
}

/// Whether a list of names, whose commas within names are escaped, has this one.
fn has_name(names: &str, wanted: &str) -> bool {
    let mut rest = names;
    loop {
        let end = comma(rest);
        if rest[..end] == *wanted {
            return true;
        }
        match rest.get(end + 1..) {
            Some(more) => rest = more,
            None => return false,
        }
    }
}

/// Where the first comma is that ends a name.
fn comma(names: &str) -> usize {
    let bytes = names.as_bytes();
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b',' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// TLS with tickets of its own: nobody comes back with a certificate that other roots vouched for.
fn serve(tls: &AdminTls, required: bool) -> Result<ServerTls, Refused> {
    let clients = tls.client_ca.clone().map(|ca| ClientCerts { ca, required });
    let tickets = TicketKeys::draw(clock::wall().as_secs())
        .and_then(|keys| keys.of_listener("admin", clients.as_ref()))
        .map_err(|_| Refused::new(Kind::Machine, "the kernel gives no random bytes"))?;
    let terms = ListenerTls { certs: vec![tls.pair.clone()], min: TlsVersion::V12, clients };
    let built = server::build(&terms, tickets).map_err(|problems| {
        let why: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        Refused::new(Kind::Config, format!("`admin.tls`: {}", why.join("; ")))
    })?;
    Ok(built.server)
}

/// A user's number, by name or as it stands.
fn user_id(name: &str) -> Option<u32> {
    let listed = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = listed.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    named.or_else(|| name.parse().ok())
}

impl From<model::Role> for Role {
    fn from(role: model::Role) -> Self {
        match role {
            model::Role::Read => Self::Read,
            model::Role::Rollout => Self::Rollout,
            model::Role::Config => Self::Config,
            model::Role::Admin => Self::Admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use gnomon_config::model::{AdminClient, AdminToken, Written};

    use super::*;

    fn token(name: &str, text: &str, role: model::Role) -> AdminToken {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        let place = Written::default();
        AdminToken { name: name.into(), role, sha256, file: "/t".into(), place }
    }

    #[test]
    fn a_token_is_known_by_all_of_it() {
        let tokens = vec![
            token("one", "0123456789abcdef0123456789abcdef", model::Role::Read),
            token("two", "fedcba9876543210fedcba9876543210", model::Role::Config),
        ];
        let gate = Gate { tokens, ..Gate::default() };
        let known = |said: &str| gate.token(said.as_bytes()).map(|it| (it.name, it.role));
        let two = Some(("token two".to_owned(), Role::Config));
        assert_eq!(known("fedcba9876543210fedcba9876543210"), two);
        assert_eq!(known(" fedcba9876543210fedcba9876543210\r"), two);
        for wrong in ["", "fedcba9876543210", "fedcba9876543210fedcba98765432100"] {
            assert_eq!(known(wrong), None, "{wrong}");
        }
        assert!(gate.asks() && !gate.is_safe_anywhere());
    }

    #[test]
    fn a_certificate_is_known_by_one_whole_name() {
        let client =
            |name: &str, shows| AdminClient { name: name.into(), role: model::Role::Admin, shows };
        let clients = vec![
            client("ann", Shows::Subject("CN=ann,O=Example".into())),
            client("ops", Shows::San("URI:spiffe://example/ops\\,x".into())),
        ];
        let gate = Gate { clients, client_role: Some(Role::Read), ..Gate::default() };
        let shown = |subject: &str, names: &str| ClientIdentity {
            subject: Some(subject.to_owned()),
            names: Some(names.to_owned()),
            sha256: "ab".repeat(32),
        };
        let table = [
            ("CN=ann,O=Example", "DNS:a", "client ann", Role::Admin),
            ("CN=ann", "DNS:a", "CN=ann", Role::Read),
            ("CN=bob", "DNS:a,URI:spiffe://example/ops\\,x", "client ops", Role::Admin),
            ("CN=bob", "URI:spiffe://example/ops\\,x,DNS:a", "client ops", Role::Admin),
            ("CN=bob", "URI:spiffe://example/ops", "CN=bob", Role::Read),
            ("CN=bob", "DNS:URI:spiffe://example/ops\\,x", "CN=bob", Role::Read),
        ];
        for (subject, names, name, role) in table {
            let known = gate.client(&shown(subject, names)).unwrap();
            assert_eq!((known.name.as_str(), known.role), (name, role), "{subject} {names}");
        }
        let strict = Gate::default();
        assert_eq!(strict.client(&shown("CN=bob", "DNS:a")), None);
    }

    #[test]
    fn users_who_are_not_named_may_do_everything_over_the_socket() {
        let gate = Gate { users: vec![(7, Role::Read)], ..Gate::default() };
        assert_eq!((gate.user(Some(7)), gate.user(Some(8))), (Role::Read, Role::Admin));
        assert_eq!((gate.user(None), Gate::default().user(None)), (Role::Read, Role::Admin));
        assert_eq!((user_id("root"), user_id("12"), user_id("nosuch")), (Some(0), Some(12), None));
    }
}
