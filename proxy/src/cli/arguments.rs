//! What can be said: commands, arguments and their help.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    flag::FlagCommand, import::ImportArguments, kpi::KpiCommand, record::RecordArguments,
    replay::ReplayArguments, rollout::RolloutCommand, shadow::ShadowCommand, tap::TapArguments,
    token::TokenArguments, top::TopArguments,
};

/// Where the configuration lies unless somebody says otherwise.
pub(crate) const CONFIG: &str = "/etc/gnomon/gnomon.toml";

#[derive(Debug, Parser)]
#[command(
    name = "gnomon",
    version = super::about::line(),
    about = "A reverse proxy for progressive delivery",
    after_help = "Exit codes: 0 done · 1 failed · 2 usage · 3 no running proxy on that socket · 4 rollout rolled back · 5 rollout held · 78 bad config\n\
                  Try first:  gnomon demo",
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// Admin socket of the running proxy [default: the configuration's, else /run/gnomon/admin.sock]
    #[arg(long, global = true, value_name = "PATH", env = "GNOMON_SOCKET")]
    pub(crate) socket: Option<PathBuf>,

    /// Answer in JSON, where there is something to answer
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// No colours; so does a non-empty NO_COLOR, TERM=dumb, or no terminal
    #[arg(long, global = true)]
    pub(crate) no_color: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve, in the foreground: HUP reloads, USR2 upgrades, TERM drains, a second TERM or Ctrl-C stops at once
    Run(Source),
    /// Check a configuration: syntax, meaning, and whether this host can run it (also: gnomon -t)
    Check(CheckArguments),
    /// Format configurations as the samples are written; comments, order and meaning stay
    Fmt(FmtArguments),
    /// Show what a reload would change; exit code 1 if anything
    Diff {
        /// Compare the running configuration with this file instead of its own
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Take the configuration over anew, if it is right
    Reload,
    /// How the running proxy is doing
    Status(StatusArguments),
    /// Watch it on one screen, and act: rollouts, versions, cores, shadows, events
    Top(TopArguments),
    /// Rate, errors and latency of the last minute, versions side by side, by route
    Golden {
        /// Only this route
        route: Option<String>,
    },
    /// The last hour of each version: requests, errors and latency, minute by minute
    History {
        /// Only this upstream, or this version of it
        #[arg(value_name = "UPSTREAM[@VERSION]")]
        of: Option<String>,
    },
    /// What has happened lately, who brought it about, and why
    Events(EventsArguments),
    /// Exchanges as they end, filtered and redacted, until Ctrl-C: gnomon tap --status 5xx
    Tap(TapArguments),
    /// Set shares of traffic: gnomon weight shop v2=10
    Weight {
        /// The upstream
        upstream: String,
        /// Versions and percents; canaries left out keep theirs, stable takes the rest
        #[arg(required = true, value_name = "VERSION=PERCENT", value_parser = weight)]
        weights: Vec<(String, f64)>,
    },
    /// Give a version no new users; those who are on it stay
    Drain {
        /// The version, as in shop@v2
        #[arg(value_name = "UPSTREAM@VERSION", value_parser = target)]
        target: (String, String),
    },
    /// Keep the split as it is: no command but `resume` changes it
    Freeze {
        /// The upstream
        upstream: String,
    },
    /// End a freeze and every drain
    Resume {
        /// The upstream
        upstream: String,
    },
    /// Send everybody to stable, at once
    Rollback {
        /// The upstream
        upstream: String,
    },
    /// Stop the running proxy: drain first; said twice, at once
    Stop,
    /// Start the program anew and hand over to it: no connection is refused, nothing known is lost
    ///
    /// The configuration is read anew as well. If the new process does not come up, the old one goes on
    /// as if nothing had been, and the exit code is not 0.
    Upgrade,
    /// The running proxy's logs
    Logs {
        #[command(subcommand)]
        command: LogsCommand,
    },
    /// What versions under test do differently
    Shadow {
        #[command(subcommand)]
        command: ShadowCommand,
    },
    /// Business outcomes of requests, and telling one that is known late
    Kpi {
        #[command(subcommand)]
        command: KpiCommand,
    },
    /// How canaries take over, step by step
    Rollout {
        #[command(subcommand)]
        command: RolloutCommand,
    },
    /// Who gets which feature
    Flag {
        #[command(subcommand)]
        command: FlagCommand,
    },
    /// Record exchanges of the running proxy, redacted, to look at or to replay
    Record(RecordArguments),
    /// Send a capture once more, and compare the replies; exit code 1 if any differs or fails
    Replay(ReplayArguments),
    /// Which route takes a request, which version, and why
    Route(RouteArguments),
    /// Turn another proxy's configuration into one of ours; exit code 1 if something is left to you
    ///
    /// The configuration goes to stdout. Beside what could not be carried over stand file and line, the
    /// directive, why, and what to do instead; what is carried over passes `gnomon check --offline`.
    Import(ImportArguments),
    /// Show a configuration with every default filled in; secrets redacted (also: gnomon -T)
    Config(ConfigArguments),
    /// Explain the code of a problem: gnomon explain G012
    Explain {
        /// The code
        code: String,
    },
    /// Look at this machine: kernel, limits, cores, interrupts, folders; says what would help, changes nothing
    Doctor(DoctorArguments),
    /// Draw a token of the admin API: it is shown once, and its file is written
    Token(TokenArguments),
    /// The JSON schema of the configuration, for editors
    Schema,
    /// Manual pages, into a folder: gnomon(1), one for each command, gnomon.toml(5)
    Man {
        /// The folder
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
    /// A completion script for a shell: source <(gnomon completions bash)
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Version, and what this machine offers
    Version,
    /// A rollout with users, origins and all, on this machine alone: nothing to configure
    ///
    /// v2 takes over from v1 by itself in about half a minute, or is rolled back (--bad), or cut
    /// off (--broken). The exit code is 0 if that is what happened and if what the users saw is
    /// what gnomon counted.
    ///
    /// Each request is drawn by itself. Where users stay on their version (`sticky`), each of them
    /// counts once in a step, and a few hundred of them prove nothing within seconds; --split shows
    /// how they stay.
    Demo(DemoArguments),
}

/// Where a configuration comes from.
#[derive(Args, Clone, Debug)]
pub(crate) struct Source {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = CONFIG)]
    pub(crate) config: PathBuf,
    /// Override a setting: --set upstream.shop.split.v2=10
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArguments {
    /// Configurations, `-` for stdin [default: /etc/gnomon/gnomon.toml]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The same, as for `run`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Override a setting
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Refuse warnings, too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Look at the file alone, not at this host's ports, names, cores and folders
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Args, Debug)]
pub(crate) struct FmtArguments {
    /// Configurations, rewritten in place; `-` is stdin to stdout [default: /etc/gnomon/gnomon.toml]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Write nothing; name the files that would change, and exit with 1 if any
    #[arg(long)]
    pub(crate) check: bool,
    /// Write nothing; show what would change, and exit with 1 if anything
    #[arg(long)]
    pub(crate) diff: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArguments {
    /// What the machine is to suit [default: /etc/gnomon/gnomon.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the machine's files lie, such as /host in a container
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    pub(crate) root: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct StatusArguments {
    /// Again every second, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Only whether it is ready: exit code 0 or 1
    #[arg(long, conflicts_with = "watch")]
    pub(crate) ready: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EventsArguments {
    /// Go on with what happens from now on, until Ctrl-C; with --json, one object a line
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// So many of the newest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) last: u16,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogsCommand {
    /// Open the log files anew, after they were rotated away
    Reopen,
}

#[derive(Args, Debug)]
pub(crate) struct RouteArguments {
    /// The method
    pub(crate) method: String,
    /// http://HOST/PATH?QUERY, or /PATH with -H 'host: NAME'
    pub(crate) url: String,
    /// A field of the request, such as 'cookie: uid=7'
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The client's address
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) client: IpAddr,
    #[command(flatten)]
    pub(crate) source: Source,
    /// By what the running proxy goes by now: its splits, flags and endpoints
    #[arg(long, conflicts_with_all = ["config", "set"])]
    pub(crate) running: bool,
    /// Also the routes that did not win, and why
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").multiple(false))]
pub(crate) struct ConfigArguments {
    /// What the file amounts to (the default)
    #[arg(long, group = "which")]
    pub(crate) effective: bool,
    /// Every key with its default and a word about it
    #[arg(long, group = "which")]
    pub(crate) defaults: bool,
    /// What the running proxy goes by
    #[arg(long, group = "which")]
    pub(crate) running: bool,
    #[command(flatten)]
    pub(crate) source: Source,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArguments {
    /// A v2 that is slow and fails at the checkout: the judge has to find out, and roll it back
    #[arg(long, group = "story")]
    pub(crate) bad: bool,
    /// A v2 that breaks altogether at 25 %: the fuse has to cut it off within a second
    #[arg(long, group = "story")]
    pub(crate) broken: bool,
    /// No rollout: two weights, users who stay where they are, and a shadow that finds differences
    #[arg(long, group = "story")]
    pub(crate) split: bool,
    /// End after so long [default: with the rollout; with --split at Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: Option<u32>,
    /// What the users' behaviour is drawn from; whom the proxy sends where is its own draw
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Requests a second, about [default: 1500; with --split 800]
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(10..=5000))]
    pub(crate) rate: Option<u32>,
    /// How many users there are
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(20..=5000))]
    pub(crate) users: u32,
    /// With --split: share of the canary at first [default: 10]
    #[arg(long, value_name = "PERCENT", requires = "split", value_parser = clap::value_parser!(u8).range(1..=75))]
    pub(crate) canary: Option<u8>,
    /// Serve the web console there, with steps that leave time to look, and stay until Ctrl-C
    /// [without an address: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:0")]
    pub(crate) console: Option<SocketAddr>,
    /// How the proxy asks the kernel for IO
    #[arg(long, value_enum, default_value_t = DriverChoice::Auto)]
    pub(crate) driver: DriverChoice,
}

/// A driver, as in `runtime.driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverChoice {
    /// The better one that works.
    Auto,
    /// `io_uring` or nothing.
    #[value(name = "io_uring", alias = "io-uring")]
    IoUring,
    /// epoll.
    Epoll,
}

impl DriverChoice {
    /// As the configuration writes it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("say KEY=VALUE, such as log.level=debug")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

fn weight(text: &str) -> Result<(String, f64), String> {
    let example = "say VERSION=PERCENT, such as v2=10";
    let (version, percent) = text.split_once('=').ok_or(example)?;
    let percent: f64 = percent.trim_end_matches('%').parse().map_err(|_| example)?;
    if version.is_empty() || !(0.0..=100.0).contains(&percent) {
        return Err(format!("{example}; a share lies between 0 and 100"));
    }
    Ok((version.to_owned(), percent))
}

fn target(text: &str) -> Result<(String, String), String> {
    match text.split_once('@') {
        Some((upstream, version)) if !upstream.is_empty() && !version.is_empty() => {
            Ok((upstream.to_owned(), version.to_owned()))
        }
        _ => Err("say UPSTREAM@VERSION, such as shop@v2".to_owned()),
    }
}
