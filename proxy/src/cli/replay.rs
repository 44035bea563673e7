//! `gnomon replay`: a capture sent once more, and the new replies held against the recorded ones.
//!
//! Requests are sent at their times, whether or not those before have been answered, so that a slow
//! target does not slow its own test; latency counts from the intended moment. What was redacted is
//! not sent and not compared.

mod feed;
mod line;
mod pace;
mod sender;
mod summary;

use std::{
    io::Read,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use gnomon_config::{json_path::JsonPath, model::Compare, units};
use gnomon_shadow::{
    bundle::{BUNDLE_MAX, Bundle},
    recheck::Recheck,
    recording::Rules,
};
use serde_json::json;

use self::{
    feed::Feed,
    line::{Lines, Question},
    pace::Pace,
    sender::Sender,
    summary::Judge,
};
use super::{
    Console, FAILED, Failure,
    source::{self, STDIN},
};

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("pace").multiple(false))]
pub(crate) struct ReplayArguments {
    /// The capture; `-` for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who gets the requests
    #[arg(long, value_name = "HOST:PORT", value_parser = target)]
    to: String,
    /// How fast: 1x as recorded, 2x twice as fast, max without pause
    #[arg(long, value_name = "FACTOR", default_value = "1x", group = "pace", value_parser = Pace::of_speed)]
    speed: Pace,
    /// So many a second instead, evenly: 500/s
    #[arg(long, value_name = "RATE", group = "pace", value_parser = Pace::of_rate)]
    rate: Option<Pace>,
    /// Again from the beginning: so many times in all, without a number for ever
    #[arg(long = "loop", value_name = "N", num_args = 0..=1, default_missing_value = "0")]
    loops: Option<u64>,
    /// Send for so long at most
    #[arg(long = "for", value_name = "TIME", value_parser = units::read_duration)]
    time: Option<Duration>,
    /// Requests under way at once, at most
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// How long a reply may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::read_duration)]
    timeout: Duration,
    /// Methods to send; those that are safe by default
    #[arg(
        long,
        value_name = "METHOD",
        value_delimiter = ',',
        default_value = "GET,HEAD,OPTIONS,TRACE"
    )]
    methods: Vec<String>,
    /// Where differences in a JSON body do not count
    #[arg(long, value_name = "JSONPATH", value_parser = path)]
    ignore: Vec<JsonPath>,
    /// Compare by the rules of a shadow in this configuration
    #[arg(short, long, value_name = "FILE", requires = "shadow")]
    config: Option<PathBuf>,
    /// The shadow whose rules they are
    #[arg(long, value_name = "NAME")]
    shadow: Option<String>,
    /// A field to send, in place of the recorded one: 'authorization: Bearer test'
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    headers: Vec<(String, String)>,
    /// What the Host field says [default: as recorded]
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
}

/// `gnomon replay`.
pub(super) fn replay(
    arguments: &ReplayArguments,
    json: bool,
    console: Console,
) -> Result<(), Failure> {
    let mut compare = rules(arguments, console)?;
    compare.ignore.extend(arguments.ignore.iter().cloned());
    let loops = match arguments.loops {
        None => Some(1),
        Some(0) => None,
        Some(count) => Some(count),
    };
    if arguments.file == Path::new(STDIN) && loops != Some(1) {
        return Err(Failure::usage("stdin cannot be read again: --loop needs a file"));
    }
    let feed = Feed::open(&arguments.file, loops)?;
    let recheck = Recheck::new(&compare, &feed.opening().redacted);
    let lines = Lines::new(resolve(&arguments.to)?, arguments.timeout, &recheck);
    let sender = Sender {
        to: arguments.to.clone(),
        host: arguments.host.clone(),
        headers: arguments.headers.clone(),
        methods: arguments.methods.clone(),
        pace: arguments.rate.unwrap_or(arguments.speed),
        time: arguments.time,
        connections: arguments.connections,
        lines: Arc::new(lines),
    };
    let summary = super::runtime()?.block_on(sender.run(feed, Judge::new(recheck)))?;
    if json {
        console.json(&summary)?;
    } else {
        console.data(summary.render(console.paint()))?;
    }
    if summary.is_good() { Ok(()) } else { Err(Failure::silent(FAILED)) }
}

/// Sends the request of a bundle to `to`, and holds the reply against the primary's; exit code 1 if
/// they differ. What was redacted is neither sent nor compared.
pub(super) fn bundle(
    file: &Path,
    to: &str,
    host: Option<&str>,
    json: bool,
    console: Console,
) -> Result<(), Failure> {
    let shown = file.display();
    let wrong = |why: &dyn std::fmt::Display| Failure::new(FAILED, format!("{shown}: {why}"));
    let to = target(to).map_err(Failure::usage)?;
    let bytes = read(file).map_err(|error| wrong(&error))?;
    let bundle = Bundle::parse(&bytes).map_err(|flaw| wrong(&flaw))?;
    let host = host.or_else(|| bundle.request.field("host")).unwrap_or(&to);
    let sent = bundle.request.to_bytes(host, &[]).map_err(|flaw| wrong(&flaw))?;
    let recheck = Recheck::new(&Compare::default(), &Rules::default());
    let lines = Lines::new(resolve(&to)?, PATIENCE, &recheck);
    let question = Question::of(&bundle.request.method, sent);
    let answer = super::runtime()?.block_on(lines.ask(question)).map_err(|why| {
        Failure::new(FAILED, format!("{to} does not answer: {}", why.name()))
            .help("is it running, and does it speak HTTP without TLS?")
    })?;
    let found = recheck.compare(&bundle.primary, &answer.reply);
    if json {
        let differences: Vec<_> = found.differences.iter().map(summary::told).collect();
        let value = json!({ "endpoint": bundle.endpoint, "differences": differences,
            "partial": found.is_partial });
        console.json(&value)?;
    } else {
        console.data(summary::of_bundle(&bundle, &found, console.paint()))?;
    }
    if found.differences.is_empty() { Ok(()) } else { Err(Failure::silent(FAILED)) }
}

/// What is compared, and how.
fn rules(arguments: &ReplayArguments, console: Console) -> Result<Compare, Failure> {
    let Some(name) = &arguments.shadow else { return Ok(Compare::default()) };
    let file = arguments.config.as_deref().unwrap_or_else(|| Path::new(super::arguments::CONFIG));
    let loaded = source::load_any(file, &[])?
        .map_err(|problems| Failure::problems(&problems, console.message_colour()))?;
    let shadows = &loaded.config.shadows;
    let found = shadows.iter().find(|shadow| *shadow.name == **name);
    found.map(|shadow| shadow.compare.clone()).ok_or_else(|| {
        let names: Vec<&str> = shadows.iter().map(|shadow| &*shadow.name).collect();
        Failure::usage(format!("{} has no shadow `{name}`", file.display()))
            .help(format_args!("there are: {}", names.join(", ")))
    })
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = BUNDLE_MAX as u64 + 1;
    feed::source(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn resolve(to: &str) -> Result<SocketAddr, Failure> {
    let found = to.to_socket_addrs().map(|mut all| all.next());
    let why = match found {
        Ok(Some(address)) => return Ok(address),
        Ok(None) => "it has no address".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Failure::new(FAILED, format!("`{to}` cannot be resolved: {why}")))
}

/// A host and a port, also where somebody writes a URL.
fn target(text: &str) -> Result<String, String> {
    let example = "say HOST:PORT, such as 127.0.0.1:9000; TLS is not spoken";
    let plain = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let port = plain.rsplit_once(':').and_then(|(host, port)| {
        (!host.is_empty() && !host.contains('/')).then(|| port.parse::<u16>().ok())?
    });
    port.map(|_| plain.to_owned()).ok_or_else(|| example.to_owned())
}

fn path(text: &str) -> Result<JsonPath, String> {
    JsonPath::parse(text).map_err(|bad| bad.to_string())
}

fn field(text: &str) -> Result<(String, String), String> {
    let example = "say 'NAME: VALUE', such as 'authorization: Bearer test'";
    let (name, value) = text.split_once(':').ok_or(example)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || !name.bytes().all(is_token) || value.bytes().any(|byte| byte < b' ') {
        return Err(example.to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// How long the reply to a bundle's request may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_hosts_with_ports() {
        assert_eq!(target("a:80"), Ok("a:80".into()));
        assert_eq!(target("http://127.0.0.1:9000/"), Ok("127.0.0.1:9000".into()));
        assert_eq!(target("[::1]:80"), Ok("[::1]:80".into()));
        for wrong in ["a", "https://a:443", "a:99999", ":80", "http://a:80/path"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }

    /// Answers one request with this body; what was asked.
    fn origin(body: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = std::thread::Builder::new().spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).unwrap();
            let length_said = body.len();
            let head =
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-type: application/json";
            let reply = format!("{head}\r\ncontent-length: {length_said}\r\n\r\n{body}");
            std::io::Write::write_all(&mut stream, reply.as_bytes()).unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        (address, serving.unwrap())
    }

    #[test]
    fn a_bundle_is_asked_once_more_and_compared_as_far_as_it_was_kept() {
        let answer = |data: &str| {
            json!({ "status": 200, "fields": [{ "name": "content-type", "value": "application/json" }],
                "body": { "encoding": "text", "data": data, "length": 40, "redacted": true } })
        };
        let request = json!({ "method": "GET", "target": "/a?token=#0123456789ab&b=c",
            "fields": [{ "name": "Host", "value": "shop.example" },
                { "name": "cookie", "value": "#0123456789ab", "redacted": true }],
            "body": { "encoding": "text", "length": 0 } });
        let primary = answer("{\"a\":1,\"token\":\"#0123456789ab\"}");
        let bundle_ = json!({ "gnomon_bundle": 1, "name": "s", "endpoint": "GET /a", "finding": "f",
            "at": 1, "versions": "v1 v2", "config": "", "request": request, "primary": primary,
            "shadow": primary, "differences": [] });
        let file = std::env::temp_dir().join(format!("gnomon-bundle-{}", std::process::id()));
        std::fs::write(&file, bundle_.to_string()).unwrap();
        let console = Console::new(crate::cli::Colours::Never);
        for (body, code) in [
            ("{\"token\":\"another\",\"a\":1}", None),
            ("{\"token\":\"another\",\"a\":\"1\"}", Some(FAILED)),
        ] {
            let (to, serving) = origin(body);
            let done = bundle(&file, &to, None, false, console);
            assert_eq!(done.err().map(|failure| failure.code), code, "{body}");
            let asked = serving.join().unwrap();
            assert_eq!(asked, "GET /a?b=c HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn fields_cannot_smuggle() {
        assert_eq!(field("a: b: c"), Ok(("a".into(), "b: c".into())));
        for wrong in ["a", ": b", "a b: c", "a: b\r\nc: d"] {
            assert!(field(wrong).is_err(), "{wrong:?}");
        }
    }
}
