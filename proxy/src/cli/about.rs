//! What needs neither a proxy nor much else: configurations shown, codes explained, the version.

use std::sync::LazyLock;

use gnomon_config::effective::effective;
use gnomon_sys::{affinity, limits};
use serde_json::{Map, Value as Json, json};

use super::{Console, FAILED, Failure, arguments::ConfigArguments, live::Door, source};

/// `gnomon config`.
pub(super) fn config(arguments: &ConfigArguments, door: &Door) -> Result<(), Failure> {
    let ConfigArguments { defaults, running, source: from, .. } = arguments;
    if *defaults && !door.json {
        return door.console.data(gnomon_config::generate::reference());
    }
    let settings: Vec<(String, String)> = if *running {
        let (status, text) = door.text("/v1/config")?;
        if status != 200 {
            return Err(Failure::new(FAILED, format!("/v1/config: status {status}: {text}")));
        }
        let lines = text.lines().filter_map(|line| line.split_once(" = "));
        lines.map(|(path, value)| (path.to_owned(), value.to_owned())).collect()
    } else if *defaults {
        let fields = gnomon_config::fields::FIELDS.iter();
        fields.filter_map(|it| Some((it.path.to_owned(), it.default()?.to_owned()))).collect()
    } else {
        let loaded = source::load_any(&from.config, &from.set)?
            .map_err(|problems| Failure::problems(&problems, door.console.message_colour()))?;
        effective(&loaded.config).into_iter().map(|it| (it.path, it.value)).collect()
    };
    if door.json {
        let object: Map<String, Json> =
            settings.into_iter().map(|(path, value)| (path, json!(value))).collect();
        return door.console.json(&object);
    }
    let text: String = settings.iter().map(|(path, value)| format!("{path} = {value}\n")).collect();
    door.console.data(text)
}

/// `gnomon explain`.
pub(super) fn explain(code: &str, console: Console) -> Result<(), Failure> {
    let Some(text) = gnomon_config::explain(code) else {
        return Err(Failure::new(FAILED, format!("there is no problem with the code `{code}`"))
            .help("codes look like G012 and stand in brackets after `error`"));
    };
    let title = console.paint().bold(&code.to_ascii_uppercase());
    console.line(format_args!("{title}\n\n{}", wrapped(text, 80)))
}

/// One line that says what this is.
pub(super) fn line() -> &'static str {
    static LINE: LazyLock<String> = LazyLock::new(|| {
        let git = option_env!("GNOMON_GIT_HASH").map(|hash| format!(" ({hash})"));
        let (version, rust) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_RUST_VERSION"));
        format!("{version}{} rust {rust} io_uring+epoll", git.unwrap_or_default())
    });
    &LINE
}

/// `gnomon version`.
pub(super) fn version(json: bool, console: Console) -> Result<(), Failure> {
    let refusal = limits::uring_refusal();
    if json {
        return console.json(&json!({
            "name": "gnomon",
            "version": env!("CARGO_PKG_VERSION"),
            "git": option_env!("GNOMON_GIT_HASH"),
            "rust": env!("CARGO_PKG_RUST_VERSION"),
            "profile": PROFILE,
            "architecture": std::env::consts::ARCH,
            "drivers": {
                "io_uring": { "usable": refusal.is_none(), "refusal": refusal },
                "epoll": { "usable": true },
            },
            "cores": affinity::allowed_cores(),
            "open_files": limits::open_files(),
            "locked_memory": limits::locked_memory(),
        }));
    }
    console.line(format_args!("gnomon {}", line()))?;
    let uring = refusal.map_or_else(|| "usable".to_owned(), |why| format!("not usable: {why}"));
    let cores = affinity::allowed_cores().len();
    let locked = limits::locked_memory().map_or_else(
        || "unlimited".to_owned(),
        |bytes| format!("{} at most", gnomon_config::show_size(bytes)),
    );
    console.data(format_args!(
        "  build          {PROFILE}, {}\n  io_uring       {uring}\n  epoll          usable\n  \
         cores          {cores}\n  open files     {}\n  locked memory  {locked}\n",
        std::env::consts::ARCH,
        limits::open_files(),
    ))
}

/// Broken into lines of at most so many characters.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

const PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };
