//! Both ends of a handshake, in memory.

use std::sync::Arc;

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore,
    ServerConnection, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};

use super::*;
use crate::tls::{
    testing::{FAR, Folder, NOW},
    tickets::TicketKeys,
};

struct Server {
    folder: Folder,
    keys: TicketKeys,
    name: &'static str,
    tls: ListenerTls,
}

/// A listener with two certificates, the first of them for `shop.example.com` and all below it.
fn server(test: &str, more: &str) -> Server {
    let folder = Folder::new(&format!("server-{test}"));
    folder.issue("b", &["cart.example.com"], FAR);
    let tls = format!(
        "{{ certs = [{{ cert = \"a.pem\", key = \"a.key\" }}, \
                     {{ cert = \"b.pem\", key = \"b.key\" }}]{more} }}"
    );
    let tls = folder.load(&tls).unwrap().config.listeners.remove(0).tls.unwrap();
    Server { folder, keys: TicketKeys::draw(NOW).unwrap(), name: "https", tls }
}

impl Server {
    fn config(&self) -> ServerTls {
        let tickets = self.keys.of_listener(self.name, self.tls.clients.as_ref()).unwrap();
        build(&self.tls, tickets).map_err(|problems| format!("{problems:?}")).unwrap().server
    }

    fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        identity: Option<&str>,
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.folder.root_pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
        let config = ClientConfig::builder_with_provider(provider());
        let config = config.with_protocol_versions(&[version]).unwrap();
        let config = config.with_root_certificates(roots);
        let read =
            |ending: &str| identity.map(|name| self.folder.read(&format!("{name}.{ending}")));
        let mut config = match (read("pem"), read("key")) {
            (Some(cert), Some(key)) => {
                let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
            _ => config.with_no_client_auth(),
        };
        config.alpn_protocols = protocols();
        Arc::new(config)
    }
}

/// What a handshake came to.
#[derive(Debug)]
struct Shaken {
    version: ProtocolVersion,
    is_resumed: bool,
    protocol: Option<Vec<u8>>,
    /// What the server showed.
    shown: Vec<u8>,
    /// What the client showed.
    client: Option<Vec<u8>>,
}

#[expect(clippy::unwrap_in_result, reason = "what fails otherwise is a fault of the test")]
fn shake(server: &ServerTls, client: &Arc<ClientConfig>, name: &str) -> Result<Shaken, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let mut bytes = Vec::new();
    // Once more than it takes, so that tickets come over as well.
    for _ in 0..6 {
        bytes.clear();
        client.write_tls(&mut bytes).unwrap();
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            server.read_tls(&mut left).unwrap();
            server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        }
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            client.read_tls(&mut left).unwrap();
            client.process_new_packets().map_err(|error| format!("client: {error}"))?;
        }
    }
    let first = |certs: Option<&[CertificateDer<'_>]>| Some(certs?.first()?.to_vec());
    Ok(Shaken {
        version: server.protocol_version().unwrap(),
        is_resumed: server.handshake_kind() == Some(HandshakeKind::Resumed),
        protocol: server.alpn_protocol().map(<[u8]>::to_vec),
        shown: first(client.peer_certificates()).unwrap_or_default(),
        client: first(server.peer_certificates()),
    })
}

fn der(server: &Server, name: &str) -> Vec<u8> {
    let pem = server.folder.read(&format!("{name}.pem"));
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[test]
fn the_name_chooses_the_certificate() {
    let server = server("sni", "");
    let (config, client) = (server.config(), server.client(&TLS13, None));
    for (name, shown) in [
        ("shop.example.com", "a"),
        ("SHOP.example.com", "a"),
        ("x.shop.example.com", "a"),
        ("cart.example.com", "b"),
    ] {
        let shaken = shake(&config, &client, name).unwrap();
        assert_eq!(shaken.shown, der(&server, shown), "{name}");
        assert_eq!(shaken.protocol.as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(shaken.client, None);
    }
    // For a name that none is for, and for none at all, the first is shown.
    for name in ["example.org", "x.y.shop.example.com", "127.0.0.1"] {
        let refused = shake(&config, &client, name).unwrap_err();
        assert!(refused.contains("client: invalid peer certificate"), "{refused}");
    }
}

#[test]
fn the_oldest_version_is_the_one_that_is_set() {
    for (min, old) in [("1.2", Some(ProtocolVersion::TLSv1_2)), ("1.3", None)] {
        let server = server(&format!("min-{min}"), &format!(", min = \"{min}\""));
        let config = server.config();
        let shaken = shake(&config, &server.client(&TLS12, None), "shop.example.com");
        assert_eq!(shaken.ok().map(|it| it.version), old);
        let shaken = shake(&config, &server.client(&TLS13, None), "shop.example.com").unwrap();
        assert_eq!(shaken.version, ProtocolVersion::TLSv1_3);
    }
}

#[test]
fn clients_are_asked_who_they_are() {
    for (auth, alone) in [("require", false), ("optional", true)] {
        let more = format!(", client_ca = \"root.pem\", client_auth = \"{auth}\"");
        let server = server(&format!("mtls-{auth}"), &more);
        let config = server.config();
        for version in [&TLS12, &TLS13] {
            let known = shake(&config, &server.client(version, Some("b")), "shop.example.com");
            assert_eq!(known.unwrap().client, Some(der(&server, "b")));
            let unknown = shake(&config, &server.client(version, None), "shop.example.com");
            assert_eq!(unknown.is_ok(), alone, "{unknown:?}");
            // Of another root of the same name.
            let stranger = Folder::new(&format!("stranger-{auth}"));
            for ending in ["pem", "key"] {
                let name = format!("a.{ending}");
                server.folder.write(&format!("stranger.{ending}"), stranger.read(&name));
            }
            let stranger = server.client(version, Some("stranger"));
            let refused = shake(&config, &stranger, "shop.example.com").unwrap_err();
            assert!(refused.contains("server: invalid peer certificate"), "{refused}");
        }
    }
}

#[test]
fn sessions_are_resumed_on_any_core_and_over_rotations() {
    for version in [&TLS12, &TLS13] {
        let mut server = server(&format!("resumed-{:?}", version.version), "");
        let client = server.client(version, None);
        let first = shake(&server.config(), &client, "shop.example.com").unwrap();
        assert!(!first.is_resumed);
        // Another `ServerConfig`, as another process would have after an upgrade.
        let again = shake(&server.config(), &client, "shop.example.com").unwrap();
        assert!(again.is_resumed, "{version:?}");
        assert_eq!(again.protocol.as_deref(), Some(&b"http/1.1"[..]));
        server.keys = TicketKeys::import(&server.keys.export()).unwrap();
        assert!(server.keys.rotate(NOW + 9 * 3600).unwrap());
        let rotated = shake(&server.config(), &client, "shop.example.com").unwrap();
        assert!(rotated.is_resumed, "{version:?}");
        let other = shake(&server.config(), &client, "cart.example.com").unwrap();
        assert!(!other.is_resumed, "a session belongs to a name");
    }
}

#[test]
fn a_session_of_one_door_opens_no_other() {
    for version in [&TLS12, &TLS13] {
        let mut server = server(&format!("doors-{:?}", version.version), "");
        let client = server.client(version, Some("b"));
        shake(&server.config(), &client, "shop.example.com").unwrap();
        server.name = "other";
        let shaken = shake(&server.config(), &client, "shop.example.com").unwrap();
        assert!(!shaken.is_resumed, "{version:?}");
        // The same door, but now it asks who one is.
        let asking = ", client_ca = \"root.pem\"";
        let strict = self::server(&format!("strict-{:?}", version.version), asking);
        server.tls.clients = strict.tls.clients;
        server.tls.clients.as_mut().unwrap().ca.content.0 = server.folder.root_pem.clone().into();
        let shaken = shake(&server.config(), &client, "shop.example.com").unwrap();
        assert!(!shaken.is_resumed, "{version:?}");
        assert_eq!(shaken.client, Some(der(&server, "b")));
        let shaken = shake(&server.config(), &client, "shop.example.com").unwrap();
        assert!(shaken.is_resumed, "{version:?}");
        assert_eq!(shaken.client, Some(der(&server, "b")), "who one is goes with the session");
    }
}
