//! A folder with certificates, for tests.

use std::{fs, path::PathBuf, time::Duration};

use gnomon_config::{Loaded, Options, Problems, load};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair as Drawn, date_time_ymd,
};

/// The pair that every folder has, as a listener names it.
pub(crate) const ONE: &str = "{ cert = \"a.pem\", key = \"a.key\" }";

/// A folder with certificates, and a root that issued them.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    root: Issuer<'static, Drawn>,
    pub(crate) root_pem: String,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is in the temporary folder.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Beyond the lifetime of any test.
pub(crate) const FAR: u64 = NOW + 500 * 365 * DAY;
pub(crate) const DAY: u64 = 86_400;
/// 2026-11-23.
pub(crate) const NOW: u64 = 1_795_392_000;

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gnomon-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = Drawn::generate().unwrap();
        let root_pem = params.self_signed(&key).unwrap().pem();
        let folder = Self { path, root: Issuer::new(params, key), root_pem };
        folder.write("root.pem", &folder.root_pem);
        folder.issue("a", &["shop.example.com", "*.shop.example.com"], FAR);
        folder
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }

    pub(crate) fn issue(&self, name: &str, hosts: &[&str], until: u64) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let at = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        (params.not_before, params.not_after) = (at(NOW - 10 * DAY), at(until));
        let key = Drawn::generate().unwrap();
        self.write(&format!("{name}.pem"), params.signed_by(&key, &self.root).unwrap().pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
    }

    pub(crate) fn load(&self, tls: &str) -> Result<Loaded, Problems> {
        let text = format!(
            "listener.https.bind = \"127.0.0.1:8443\"\n\
             listener.https.tls = {tls}\n\
             route.all = {{ match.host = \"shop.example.com\", respond.status = 204 }}\n"
        );
        self.write("gnomon.toml", text);
        load(&self.path.join("gnomon.toml"), &Options::default())
    }
}
