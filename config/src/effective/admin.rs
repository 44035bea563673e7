//! The admin API written down: the tokens by their files.

use super::{Writer, tls};
use crate::model::{Admin, Audit, Role, Secret, Shows};

pub(super) fn write(out: &mut Writer, it: &Admin) {
    out.text("socket", it.socket.display());
    out.text("mode", format!("{:04o}", it.mode));
    out.maybe("group", it.group.as_ref());
    if let Some(address) = it.listen {
        out.text("listen", address);
    }
    out.text("listen_role", role(it.listen_role));
    out.texts("hosts", it.hosts.iter());
    out.plain("read_only", it.read_only);
    match &it.audit {
        Audit::State => out.text("audit", "state"),
        Audit::Off => out.text("audit", "off"),
        Audit::File(path) => out.text("audit", path.display()),
    }
    if let Some(it) = &it.tls {
        out.within("tls", |out| {
            tls::file(out, "cert", &it.pair.cert);
            tls::file(out, "key", &it.pair.key);
            if let Some(ca) = &it.client_ca {
                tls::file(out, "client_ca", ca);
                out.text("client_role", role(it.client_role));
            }
        });
    }
    for token in &it.tokens {
        out.within(&format!("token.{}", token.name), |out| {
            out.text("file", token.file.display());
            // What is not shown differs all the same.
            if let Some(setting) = out.settings.last_mut() {
                setting.secret = Secret(token.sha256.to_vec());
            }
            out.text("role", token.role.name());
        });
    }
    for client in &it.clients {
        out.within(&format!("client.{}", client.name), |out| {
            match &client.shows {
                Shows::Subject(subject) => out.text("subject", subject),
                Shows::San(san) => out.text("san", san),
            }
            out.text("role", client.role.name());
        });
    }
    for user in &it.users {
        out.within(&format!("user.{}", user.name), |out| out.text("role", user.role.name()));
    }
}

fn role(it: Option<Role>) -> &'static str {
    it.map_or("none", Role::name)
}
