//! The fuzz target `tls`; what it holds both ends to is in `gnomon_tls::fuzzing`.
#![no_main]

use std::sync::{Arc, LazyLock};

use gnomon_tls::{
    fuzzing::{self, Terms},
    prepare_client, prepare_server,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::Resumption,
    pki_types::PrivateKeyDer,
    version::{TLS12, TLS13},
};

static NEWEST: LazyLock<Terms> = LazyLock::new(|| terms(&TLS13));
static OLDER: LazyLock<Terms> = LazyLock::new(|| terms(&TLS12));

fn terms(version: &'static SupportedProtocolVersion) -> Terms {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let mut server = ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key is the certificate's");
    prepare_server(&mut server);
    let mut client = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each input begins where all others do.
    client.resumption = Resumption::disabled();
    prepare_client(&mut client);
    let is_newest = version.version == TLS13.version;
    Terms { server: Arc::new(server), client: Arc::new(client), is_newest }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzing::tls([&NEWEST, &OLDER], input));
