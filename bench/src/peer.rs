//! The proxies that are compared: where they are, how they are configured and started.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    process::{self, Running},
    scenario::{How, Scenario},
    secure,
    template::{self, Values},
};

/// A proxy that this bench knows how to run.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Its name, and that of its program and its configuration.
    pub name: &'static str,
    /// How a person gets it.
    pub how_to_get: &'static str,
    arguments: &'static str,
    version_flag: Option<&'static str>,
}

/// Ours first; the floor last.
pub const KNOWN: [Known; 5] = [
    Known {
        name: "gnomon",
        how_to_get: "cargo build --release (or say where it is with --gnomon)",
        arguments: "run -c {config}",
        version_flag: Some("--version"),
    },
    Known {
        name: "nginx",
        how_to_get: "apt install nginx-light, or https://nginx.org/en/download.html (--nginx)",
        arguments: "-e stderr -c {config}",
        version_flag: Some("-v"),
    },
    Known {
        name: "haproxy",
        how_to_get: "apt install haproxy, or https://www.haproxy.org/#down (--haproxy)",
        arguments: "-db -f {config}",
        version_flag: Some("-v"),
    },
    Known {
        name: "envoy",
        how_to_get: "https://www.envoyproxy.io/docs/envoy/latest/start/install (--envoy)",
        arguments: "--concurrency 1 --disable-hot-restart -l error -c {config}",
        version_flag: Some("--version"),
    },
    Known {
        name: RELAY,
        how_to_get: "cargo build --release -p bench",
        arguments: "--listen {listen} --to {upstream}",
        version_flag: None,
    },
];

/// The floor: it looks at nothing, so it serves any scenario, and needs no configuration.
pub const RELAY: &str = "relay";

/// A proxy that is present.
#[derive(Debug, Clone)]
pub struct Peer {
    /// As it is called in tables.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// What it says about itself.
    pub version: String,
    /// Its configurations are the files of this name, with any ending.
    config: String,
    /// `{config}`, `{listen}` and `{upstream}` stand for what they say.
    arguments: String,
}

/// Where and how one proxy is to run.
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
    /// Where copies go.
    pub shadow: SocketAddr,
    /// How often a template repeats what it says to repeat.
    pub size: u32,
    /// The cores the proxy shall stay on; it serves requests on the first.
    pub cores: &'a [usize],
}

impl Peer {
    /// One we know, if `program` is there.
    #[must_use]
    pub fn find(known: &Known, program: &Path, arguments: Option<&str>) -> Option<Self> {
        let program = process::find(program)?;
        let version = known.version_flag.map(|flag| process::version(&program, flag));
        Some(Self {
            name: known.name.to_owned(),
            version: version.unwrap_or_else(|| "of this bench".to_owned()),
            config: known.name.to_owned(),
            arguments: arguments.unwrap_or(known.arguments).to_owned(),
            program,
        })
    }

    /// One we do not know, as `NAME=PATH ARGUMENTS`.
    ///
    /// # Errors
    /// A sentence, when it is not said like this or not there.
    pub fn other(said: &str) -> Result<Self, String> {
        let wrong = || format!("`{said}` is not NAME=PATH ARGUMENTS");
        let (name, command) = said.split_once('=').ok_or_else(wrong)?;
        let (program, arguments) = command.split_once(' ').unwrap_or((command, "{config}"));
        let program = process::find(Path::new(program))
            .ok_or_else(|| format!("{program} is not there ({name})"))?;
        let version = process::version(&program, "--version");
        let (name, config) = (name.to_owned(), name.to_owned());
        Ok(Self { name, program, version, config, arguments: arguments.to_owned() })
    }

    /// The same under another name.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Whether it is gnomon, in whatever build.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.config == KNOWN[0].name
    }

    /// Whether it can serve `scenario`, for want of nothing.
    #[must_use]
    pub fn takes_part(&self, templates: &Path, scenario: &Scenario) -> bool {
        if self.needs_config() {
            return self.template(templates, scenario).is_some();
        }
        // The floor is one of requests: of memory and of reloads there is none.
        let loaded = matches!(scenario.how, How::Saturated | How::HalfRate);
        loaded
            && scenario.tls.is_none()
            && scenario.shadow.is_none()
            && (self.name == RELAY || scenario.configs.is_none())
    }

    /// Writes its configuration.
    ///
    /// # Errors
    /// A sentence on what went wrong.
    pub fn configure(
        &self,
        scenario: &Scenario,
        setting: &Setting<'_>,
        generation: u32,
    ) -> Result<PathBuf, String> {
        let Setting { templates, dir, listen, upstream, shadow, size, cores } = *setting;
        let core = cores.first().copied().unwrap_or(0);
        let template = self
            .template(templates, scenario)
            .ok_or_else(|| format!("{} has no configuration for {}", self.name, scenario.name))?;
        if scenario.tls.is_some() {
            secure::write(dir)?;
        }
        let values = Values { dir, listen, upstream, shadow, core, size, generation };
        // HAProxy keeps long lists in files of their own.
        let map = template.with_extension("map");
        if map.is_file() {
            template::write(&map, templates, &values)?;
        }
        template::write(&template, templates, &values)
    }

    /// Configures and starts it.
    ///
    /// # Errors
    /// A sentence on what went wrong.
    pub fn start(&self, scenario: &Scenario, setting: &Setting<'_>) -> Result<Running, String> {
        let config = match self.needs_config() {
            true => self.configure(scenario, setting, 0)?.to_string_lossy().into_owned(),
            false => String::new(),
        };
        let fill = |word: &str| {
            word.replace("{config}", &config)
                .replace("{listen}", &setting.listen.to_string())
                .replace("{upstream}", &setting.upstream.to_string())
        };
        let mut command = Command::new(&self.program);
        command.current_dir(setting.dir).args(self.arguments.split_whitespace().map(fill));
        Running::start(&self.name, command, setting.cores, &setting.dir.join("log"))
    }

    fn needs_config(&self) -> bool {
        self.arguments.contains("{config}")
    }

    fn template(&self, templates: &Path, scenario: &Scenario) -> Option<PathBuf> {
        let folder =
            scenario.configs.map_or_else(|| templates.to_path_buf(), |sub| templates.join(sub));
        let files = fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        files
            .filter(|path| path.file_stem().is_some_and(|stem| stem == self.config.as_str()))
            .find(|path| path.extension().is_some_and(|ending| ending != "map"))
    }
}
