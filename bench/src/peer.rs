//! The proxies that are compared: where they are, how they are configured and started.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    process::{self, Running},
    scenario::Scenario,
};

/// A kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Gnomon,
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Envoy.
    Envoy,
    /// The relay of this crate: the floor.
    Relay,
}

/// A proxy that is present.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Which it is.
    pub kind: Kind,
    /// As it is called in tables.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// What it says about itself.
    pub version: String,
    /// Arguments instead of the usual ones; `{config}` stands for the file.
    pub arguments: Option<String>,
}

impl Kind {
    /// All kinds, ours first.
    pub const ALL: [Self; 5] = [Self::Gnomon, Self::Nginx, Self::Haproxy, Self::Envoy, Self::Relay];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gnomon => "gnomon",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Relay => "relay",
        }
    }

    /// How a person gets it.
    #[must_use]
    pub fn how_to_get(self) -> &'static str {
        match self {
            Self::Gnomon => "cargo build --release (or say where it is with --gnomon)",
            Self::Nginx => "apt install nginx-light, or https://nginx.org/en/download.html",
            Self::Haproxy => "apt install haproxy, or https://www.haproxy.org/#down",
            Self::Envoy => "https://www.envoyproxy.io/docs/envoy/latest/start/install",
            Self::Relay => "cargo build --release -p bench",
        }
    }

    fn template(self) -> Option<&'static str> {
        match self {
            Self::Gnomon => Some("gnomon.toml"),
            Self::Nginx => Some("nginx.conf"),
            Self::Haproxy => Some("haproxy.cfg"),
            Self::Envoy => Some("envoy.yaml"),
            Self::Relay => None,
        }
    }

    fn version_flag(self) -> Option<&'static str> {
        match self {
            Self::Gnomon | Self::Envoy => Some("--version"),
            Self::Nginx | Self::Haproxy => Some("-v"),
            Self::Relay => None,
        }
    }
}

/// Values for a template.
#[derive(Debug)]
pub struct Setting<'a> {
    /// The folder of the templates.
    pub templates: &'a Path,
    /// An empty folder for the proxy's files.
    pub dir: &'a Path,
    /// Where the proxy shall listen.
    pub listen: SocketAddr,
    /// Where the origin listens.
    pub upstream: SocketAddr,
    /// The core the proxy shall stay on.
    pub core: usize,
}

impl Peer {
    /// The peer, if `program` is there.
    #[must_use]
    pub fn find(kind: Kind, program: &Path, arguments: Option<String>) -> Option<Self> {
        let program = process::find(program)?;
        let said = kind.version_flag().filter(|_| arguments.is_none());
        let version = said.map_or_else(String::new, |flag| process::version(&program, flag));
        Some(Self { kind, name: kind.name().to_owned(), program, version, arguments })
    }

    /// Whether there is a configuration of it for `scenario`.
    #[must_use]
    pub fn takes_part(&self, templates: &Path, scenario: &Scenario) -> bool {
        let folder =
            scenario.configs.map_or_else(|| templates.to_path_buf(), |sub| templates.join(sub));
        match self.kind.template() {
            Some(template) => folder.join(template).is_file(),
            // It looks at nothing, so it serves any scenario.
            None => true,
        }
    }

    /// Writes its configuration and starts it.
    ///
    /// # Errors
    /// A sentence on what went wrong.
    pub fn start(&self, scenario: &Scenario, setting: &Setting<'_>) -> Result<Running, String> {
        let mut command = Command::new(&self.program);
        command.current_dir(setting.dir);
        if let Some(template) = self.kind.template() {
            let folder = setting.templates;
            let folder =
                scenario.configs.map_or_else(|| folder.to_path_buf(), |sub| folder.join(sub));
            let config = write(&folder.join(template), scenario, setting)?;
            // HAProxy keeps long lists in files of their own.
            let map = folder.join("haproxy.map");
            if self.kind == Kind::Haproxy && map.is_file() {
                write(&map, scenario, setting)?;
            }
            command.args(self.arguments(&config.to_string_lossy()));
        } else {
            command.arg("--listen").arg(setting.listen.to_string());
            command.arg("--to").arg(setting.upstream.to_string());
        }
        Running::start(&self.name, command, setting.core, &setting.dir.join("log"))
    }

    fn arguments(&self, config: &str) -> Vec<String> {
        let usual = match self.kind {
            Kind::Gnomon => "run -c {config}",
            Kind::Nginx => "-e stderr -c {config}",
            Kind::Haproxy => "-db -f {config}",
            Kind::Envoy => "--concurrency 1 --disable-hot-restart -l error -c {config}",
            Kind::Relay => "",
        };
        let words = self.arguments.as_deref().unwrap_or(usual).split_whitespace();
        words.map(|word| word.replace("{config}", config)).collect()
    }
}

/// Fills in a template. A line that begins with `@EACH@` is repeated for every route.
fn write(template: &Path, scenario: &Scenario, setting: &Setting<'_>) -> Result<PathBuf, String> {
    let name = template.file_name().ok_or("a template without a name")?;
    let text = fs::read_to_string(template)
        .map_err(|error| format!("cannot read {}: {error}", template.display()))?;
    let mut filled = String::with_capacity(text.len());
    for line in text.lines() {
        let Some(each) = line.strip_prefix("@EACH@") else {
            filled.push_str(line);
            filled.push('\n');
            continue;
        };
        for route in 0..scenario.routes {
            filled.push_str(&each.trim_start().replace("@N@", &route.to_string()));
            filled.push('\n');
        }
    }
    let filled = filled
        .replace("@LISTEN@", &setting.listen.to_string())
        .replace("@LISTEN_PORT@", &setting.listen.port().to_string())
        .replace("@UPSTREAM@", &setting.upstream.to_string())
        .replace("@UPSTREAM_PORT@", &setting.upstream.port().to_string())
        .replace("@DIR@", &setting.dir.to_string_lossy());
    let config = setting.dir.join(name);
    fs::write(&config, filled)
        .map_err(|error| format!("cannot write {}: {error}", config.display()))?;
    Ok(config)
}
