//! Soaks a proxy: `soak --gnomon PATH --minutes 30`. Ends with a report, and as a failure if
//! anything was wrong.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use e2e::{
    Door, eventually,
    soak::{Soak, Target, Terms},
};
use gnomon::control::ctl;

/// What was said on the command line.
struct Arguments {
    gnomon: PathBuf,
    lasting: Duration,
    clients: usize,
    seed: u64,
    keep: Option<PathBuf>,
}

const USAGE: &str =
    "soak --gnomon PATH [--minutes N | --seconds N] [--clients N] [--seed N] [--keep FILE]";

fn main() -> ExitCode {
    let outcome = parse().and_then(|arguments| run(&arguments));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            say(&format!("error: {why}\n{USAGE}"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    #[expect(clippy::print_stdout, reason = "this is a program")]
    {
        println!("{text}");
    }
}

fn parse() -> Result<Arguments, String> {
    let mut all = Arguments {
        gnomon: PathBuf::from("gnomon"),
        lasting: Duration::from_secs(60),
        clients: 64,
        seed: 1,
        keep: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} {value}: not a number"));
        match word.as_str() {
            "--gnomon" => all.gnomon = value.into(),
            "--minutes" => all.lasting = Duration::from_secs(number()? * 60),
            "--seconds" => all.lasting = Duration::from_secs(number()?),
            "--clients" => all.clients = number()?.clamp(1, 1000) as usize,
            "--seed" => all.seed = number()?,
            "--keep" => all.keep = Some(value.into()),
            _ => return Err(format!("{word} means nothing")),
        }
    }
    Ok(all)
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let folder = std::env::temp_dir().join(format!("gnomon-soak-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let report = soak(arguments, &folder);
    // What stays is in the temporary folder.
    let _ = std::fs::remove_dir_all(&folder);
    let (report, is_good) = report?;
    say(&report);
    if let Some(file) = &arguments.keep {
        std::fs::write(file, &report).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(is_good)
}

fn soak(arguments: &Arguments, folder: &Path) -> Result<(String, bool), String> {
    let terms = Terms {
        clients: arguments.clients,
        lasting: arguments.lasting,
        sample: Duration::from_secs(5).min(arguments.lasting / 20),
        reload: Duration::from_secs(7).min(arguments.lasting / 10),
        seed: arguments.seed,
    };
    let soak = Soak::new(terms);
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(|error| error.to_string())?;
    let at = folder.display();
    let doors = format!(
        "listen = \"{address}\"\nadmin.socket = \"{at}/admin.sock\"\nstate.dir = \"{at}/state\"\n"
    );
    let config = folder.join("gnomon.toml");
    std::fs::write(&config, format!("{doors}{}", soak.config(0)))
        .map_err(|error| format!("{}: {error}", config.display()))?;
    let mut proxy = Proxy::start(&arguments.gnomon, &config, folder)?;
    let target = Target {
        door: Door::Tcp(address),
        admin: folder.join("admin.sock"),
        config,
        pid: proxy.0.id(),
    };
    proxy.await_ready(&target.admin)?;
    let report = soak.run(&target, &doors);
    let Terms { clients, lasting, seed, .. } = terms;
    let text = format!("{lasting:?}, {clients} clients, seed {seed}\n\n{report}");
    Ok((text, report.violations.is_empty()))
}

/// The proxy's process, killed when dropped.
struct Proxy(Child);

impl Proxy {
    fn start(program: &Path, config: &Path, folder: &Path) -> Result<Self, String> {
        let log = std::fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let child = Command::new(program)
            .args(["run", "-c"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        child.map(Self).map_err(|error| format!("{}: {error}", program.display()))
    }

    fn await_ready(&mut self, admin: &Path) -> Result<(), String> {
        let mut ended = None;
        eventually("the proxy serves", || {
            ended = self.0.try_wait().ok().flatten();
            ended.is_some() || matches!(ctl::call(admin, "GET", "/readyz", b""), Ok((200, _)))
        });
        ended.map_or(Ok(()), |status| Err(format!("the proxy does not start: {status}")))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
