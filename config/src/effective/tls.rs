//! TLS written down: the files by their paths, what they hold only so that a change of it is told.

use super::{Writer, quoted};
use crate::model::{KeyPair, ListenerTls, Material, Secret, TlsVersion, VersionTls};

pub(super) fn listener(out: &mut Writer, it: &ListenerTls) {
    let pairs: Vec<String> = it.certs.iter().map(pair).collect();
    out.plain("certs", format!("[{}]", pairs.join(", ")));
    holding(out, it.certs.iter().flat_map(files));
    let min = match it.min {
        TlsVersion::V12 => "1.2",
        TlsVersion::V13 => "1.3",
    };
    out.text("min", min);
    if let Some(clients) = &it.clients {
        file(out, "client_ca", &clients.ca);
        out.text("client_auth", if clients.required { "require" } else { "optional" });
    }
}

pub(super) fn version(out: &mut Writer, it: &VersionTls) {
    out.maybe("name", it.name.as_ref());
    if let Some(ca) = &it.ca {
        file(out, "ca", ca);
    }
    if let Some(identity) = &it.identity {
        file(out, "cert", &identity.cert);
        file(out, "key", &identity.key);
    }
    out.plain("verify", it.verify);
}

pub(super) fn file(out: &mut Writer, key: &str, it: &Material) {
    out.text(key, it.path.display());
    holding(out, std::iter::once(it));
}

/// Has the last setting differ where one of its files does.
fn holding<'m>(out: &mut Writer, files: impl Iterator<Item = &'m Material>) {
    let mut all = Vec::new();
    for Material { content: Secret(bytes), .. } in files {
        all.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        all.extend_from_slice(bytes);
    }
    if let Some(setting) = out.settings.last_mut() {
        setting.secret = Secret(all);
    }
}

fn files(it: &KeyPair) -> impl Iterator<Item = &Material> {
    [&it.cert, &it.key].into_iter().chain(&it.ocsp)
}

fn pair(it: &KeyPair) -> String {
    let path = |file: &Material| quoted(file.path.display());
    let ocsp = it.ocsp.as_ref().map(|ocsp| format!(", ocsp = {}", path(ocsp)));
    format!("{{ cert = {}, key = {}{} }}", path(&it.cert), path(&it.key), ocsp.unwrap_or_default())
}
