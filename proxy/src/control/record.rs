//! `POST /v1/record`: exchanges of the running proxy, a line each, to whoever asks.
//!
//! The snapshot holds the recorder for as long as somebody reads: it is taken out at once when the
//! reader goes away or a bound is reached. One recording at a time.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use gnomon_config::{
    Config,
    model::{Action, Name, Redact, RedactStyle, Share, UpstreamIx},
    units,
};
use gnomon_policy::RouteIx;
use gnomon_shadow::{
    recorder::{Recorder, Sink, Wish},
    recording::{Opening, Rules},
    terms::Scope,
};
use hyper::body::Frame;
use tokio::sync::{mpsc, watch};

use super::{
    Control,
    admin::{Control_, done, parse, refuse},
    api::{Done, Kind, Record, Refused},
    stop::Stop,
};
use crate::{boot, clock};

/// What is being recorded.
#[derive(Debug)]
pub(crate) struct Recording {
    recorder: Arc<Recorder>,
    route: Option<Name>,
    upstream: Option<Name>,
    ending: Arc<Ending>,
}

impl Recording {
    /// The recorder, with what it takes in the indices of `config`; nothing if that is not there.
    pub(super) fn scope(&self, config: &Config) -> Option<Scope> {
        let (route, upstream) = (self.route.as_deref(), self.upstream.as_deref());
        let (route, upstream) = find(config, route, upstream).ok()?;
        Some(Scope { recorder: self.recorder.clone(), route, upstream })
    }
}

/// Why a recording ends; nothing as long as it does not.
#[derive(Debug, Default)]
struct Ending(watch::Sender<Option<&'static str>>);

impl Ending {
    /// The first reason holds.
    fn because(&self, why: &'static str) {
        self.0.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert(why);
            is_first
        });
    }

    async fn why(&self) -> &'static str {
        let mut ending = self.0.subscribe();
        // The sender is ours: it cannot go away.
        ending.wait_for(Option::is_some).await.ok().and_then(|why| *why).unwrap_or("asked")
    }
}

/// The way of lines from the shadow thread.
struct Pipe {
    lines: mpsc::Sender<Item>,
    ending: Arc<Ending>,
}

impl Sink for Pipe {
    fn offer(&self, line: Bytes) -> bool {
        self.lines.try_send(Item::Exchange(line)).is_ok()
    }

    fn full(&self) {
        self.ending.because("count");
    }
}

enum Item {
    Exchange(Bytes),
    End(Bytes),
}

/// The reply's body: lines as they come.
struct Lines {
    control: Arc<Control>,
    recorder: Arc<Recorder>,
    ending: Arc<Ending>,
    opening: Option<Bytes>,
    /// Closed behind the last line.
    items: mpsc::Receiver<Item>,
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(opening) = self.opening.take() {
            return Poll::Ready(Some(Ok(Frame::data(opening))));
        }
        let item = std::task::ready!(self.items.poll_recv(context));
        let line = item.map(|item| match item {
            Item::Exchange(line) => {
                self.recorder.handed_on(line.len());
                line
            }
            Item::End(line) => {
                // Whatever is late comes to nothing.
                self.items.close();
                while self.items.try_recv().is_ok() {}
                line
            }
        });
        Poll::Ready(line.map(|line| Ok(Frame::data(line))))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.ending.because("gone");
        self.control.end_recording(&self.recorder);
    }
}

/// `POST /v1/record`.
pub(super) async fn begin(State(control): Control_, body: Bytes) -> Response {
    let wish = parse(&body, "{\"route\": \"shop\", \"sample\": \"10%\", \"time\": \"1m\"}");
    match wish.and_then(|wish: Record| control.begin_recording(&wish)) {
        Ok(lines) => {
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(lines)).into_response()
        }
        Err(refused) => refuse(&refused),
    }
}

/// `POST /v1/record/stop`.
pub(super) async fn stop(State(control): Control_) -> Response {
    done(control.stop_recording(), None, "")
}

impl Control {
    fn begin_recording(self: &Arc<Self>, wish: &Record) -> Result<Lines, Refused> {
        if self.is_stopping() {
            return Err(Refused::new(Kind::State, "the proxy is stopping"));
        }
        let Bounds { sample, time } = Bounds::of(wish)?;
        let key = boot::seed()?;
        let mut state = self.state();
        if state.shadows.recording.is_some() {
            return Err(Refused::new(Kind::State, "exchanges are being recorded already")
                .help("one recording at a time: end it where it runs, or POST /v1/record/stop"));
        }
        let config = state.config.clone();
        let (route, upstream) = find(&config, wish.route.as_deref(), wish.upstream.as_deref())?;
        let redact = rules(&config, route, upstream);
        let opening = Opening {
            gnomon_capture: Opening::VERSION,
            started: u64::try_from(clock::wall().as_millis()).unwrap_or(u64::MAX),
            route: wish.route.clone(),
            upstream: wish.upstream.clone(),
            sample: sample.percent(),
            config: super::status::hash(&config),
            redacted: Rules::of(&redact),
        };
        let (lines, items) = mpsc::channel(LINES_MAX);
        let ending = Arc::<Ending>::default();
        let most = wish.count.unwrap_or(u64::MAX);
        let begun = clock::now();
        let recorder = Arc::new(Recorder::new(
            &Wish { sample, most, redact, key, begun },
            state.registry.cores(),
            Box::new(Pipe { lines: lines.clone(), ending: ending.clone() }),
        ));
        state.shadows.recording = Some(Recording {
            recorder: recorder.clone(),
            route: wish.route.as_deref().map(Into::into),
            upstream: wish.upstream.as_deref().map(Into::into),
            ending: ending.clone(),
        });
        state.publish(&self.shared.publisher);
        drop(state);
        let opening = Some(opening.to_line());
        tokio::spawn(self.clone().see_to_its_end(recorder.clone(), ending.clone(), time, lines));
        Ok(Lines { control: self.clone(), recorder, ending, opening, items })
    }

    /// Waits until a recording is to end, ends it, and says what came of it.
    async fn see_to_its_end(
        self: Arc<Self>,
        recorder: Arc<Recorder>,
        ending: Arc<Ending>,
        time: Duration,
        lines: mpsc::Sender<Item>,
    ) {
        let mut stop = self.stop.subscribe();
        let why = tokio::select! {
            why = ending.why() => why,
            () = tokio::time::sleep(time) => "time",
            () = async { drop(stop.wait_for(|stop| *stop > Stop::No).await) } => "stopped",
        };
        let generation = self.end_recording(&recorder);
        // Copies that are under way are written, if that takes no longer than a change does.
        let (_, missing) = self.acknowledged(generation).await;
        let due = clock::now() + PATIENCE;
        while why != "gone" && missing.is_empty() && recorder.under_way() > 0 && clock::now() < due
        {
            tokio::time::sleep(LOOK).await;
        }
        let end = recorder.end(why);
        tracing::info!(why, written = end.written, dropped = ?end.dropped, "a recording has ended");
        // Nobody may be reading any more.
        let _ = lines.send(Item::End(end.to_line())).await;
    }

    /// Takes the recorder out of the snapshot; the generation that is without it.
    fn end_recording(&self, recorder: &Arc<Recorder>) -> u64 {
        recorder.close();
        let mut state = self.state();
        let recording = state.shadows.recording.as_ref();
        if recording.is_some_and(|it| Arc::ptr_eq(&it.recorder, recorder)) {
            state.shadows.recording = None;
            state.publish(&self.shared.publisher);
        }
        state.generation
    }

    fn stop_recording(&self) -> Result<Done, Refused> {
        let state = self.state();
        let Some(recording) = &state.shadows.recording else {
            return Err(Refused::new(Kind::State, "nothing is being recorded"));
        };
        recording.ending.because("asked");
        let changes = vec!["the recording ends".to_owned()];
        Ok(Done { ok: true, changes, generation: state.generation, ..Done::default() })
    }
}

/// The bounds that are said as text.
struct Bounds {
    sample: Share,
    time: Duration,
}

impl Bounds {
    fn of(wish: &Record) -> Result<Self, Refused> {
        let wrong = |why| Refused::new(Kind::Request, why);
        let sample = wish.sample.as_deref().map(units::read_share).transpose().map_err(wrong)?;
        let time = wish.time.as_deref().map(units::read_duration).transpose().map_err(wrong)?;
        Ok(Self { sample: sample.unwrap_or(Share::WHOLE), time: time.unwrap_or(TIME_MAX) })
    }
}

type Found = (Option<RouteIx>, Option<UpstreamIx>);

/// What is named, by its index in `config`.
fn find(config: &Config, route: Option<&str>, upstream: Option<&str>) -> Result<Found, Refused> {
    let unknown = |what: &str, name: &str, names: Vec<&str>| {
        let refused = Refused::new(Kind::Unknown, format!("there is no {what} `{name}`"));
        refused.help(format!("there are: {}", names.join(", ")))
    };
    let found_upstream = match upstream {
        None => None,
        Some(name) => {
            let names = config.upstreams.iter().map(|upstream| &*upstream.name);
            let place = (0..).zip(names.clone()).find(|(_, known)| *known == name);
            let (index, _) = place.ok_or_else(|| unknown("upstream", name, names.collect()))?;
            Some(UpstreamIx(index))
        }
    };
    let found_route = match route {
        None => None,
        Some(name) => {
            let routes = (0..).zip(&config.routes).find(|(_, route)| *route.name == *name);
            let names = || config.routes.iter().map(|route| &*route.name).collect();
            let (index, route) = routes.ok_or_else(|| unknown("route", name, names()))?;
            let goes_there = match &route.action {
                Action::Forward(to, _) => found_upstream.is_none_or(|wanted| wanted == *to),
                Action::Redirect { .. } | Action::Respond { .. } => false,
            };
            if !goes_there {
                let error = format!("route `{name}` forwards nothing of what is asked for");
                return Err(Refused::new(Kind::Request, error)
                    .help("name a route that forwards, or only one of route and upstream"));
            }
            Some(RouteIx(index))
        }
    };
    Ok((found_route, found_upstream))
}

/// What is made unreadable: for each upstream what its shadows say, together, or the defaults.
fn rules(config: &Config, route: Option<RouteIx>, upstream: Option<UpstreamIx>) -> Redact {
    let route = route.and_then(|route| config.routes.get(route.0 as usize));
    let of_route = route.and_then(|route| match route.action {
        Action::Forward(upstream, _) => Some(upstream),
        Action::Redirect { .. } | Action::Respond { .. } => None,
    });
    let covered: Vec<UpstreamIx> = match upstream.or(of_route) {
        Some(one) => vec![one],
        None => (0..).map(UpstreamIx).take(config.upstreams.len()).collect(),
    };
    let mut all: Option<Redact> = None;
    for upstream in covered {
        let shadows = config.shadows.iter().filter(|shadow| shadow.from.0 == upstream);
        let mut said: Vec<Redact> = shadows.map(|shadow| shadow.redact.clone()).collect();
        if said.is_empty() {
            said.push(Redact::default());
        }
        for rules in said {
            all = Some(all.map_or_else(|| rules.clone(), |all| together(all, &rules)));
        }
    }
    all.unwrap_or_default()
}

/// What either of them makes unreadable, in the stricter style.
fn together(mut one: Redact, other: &Redact) -> Redact {
    let strictness = |style: RedactStyle| match style {
        RedactStyle::Hash => 0,
        RedactStyle::Mask => 1,
        RedactStyle::Drop => 2,
    };
    add(&mut one.headers, &other.headers);
    add(&mut one.query, &other.query);
    add(&mut one.json, &other.json);
    if strictness(other.style) > strictness(one.style) {
        one.style = other.style;
    }
    one
}

fn add<T: Clone + PartialEq>(all: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}

/// Lines that wait for the reader; what they weigh is bounded by the recorder.
const LINES_MAX: usize = 4096;
/// How long a recording may take that nobody bounds.
const TIME_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// How long the end waits for what is under way.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use gnomon_config::{Options, parse};

    use super::*;

    const HEAD: &str = "listen = \"127.0.0.1:0\"\nroute.a.match.path = \"/a\"\nroute.a.to = \"a\"\n\
        route.b.to = \"b\"\nroute.c.match.path = \"/c\"\nroute.c.respond.status = 204\n\
        upstream.a.versions = { v1 = [\"127.0.0.1:1\"], v2 = [\"127.0.0.1:2\"] }\n\
        upstream.a.split = { v1 = 100, v2 = 0 }\nupstream.b.versions.v1 = [\"127.0.0.1:3\"]\n";

    fn config(more: &str) -> Config {
        let loaded = parse("test", &format!("{HEAD}{more}"), &Options::default());
        loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).config
    }

    fn redacted(config: &Config, route: Option<&str>) -> Redact {
        let (route, upstream) = find(config, route, None).unwrap();
        rules(config, route, upstream)
    }

    const ENDS: &str = "from = \"a@v1\"\nto = \"a@v2\"\n";

    #[test]
    fn the_rules_of_the_only_shadow_hold_where_they_cover_everything() {
        let said = "redact = { headers = [\"x-secret\"], style = \"mask\" }\n";
        let config = config(&format!("[shadow.s]\n{ENDS}{said}"));
        assert_eq!(redacted(&config, Some("a")), config.shadows[0].redact);
        assert_eq!(redacted(&config, Some("b")), Redact::default());
        let all = redacted(&config, None);
        let has = |name: &str| all.headers.iter().any(|known| **known == *name);
        assert!(has("x-secret") && has("cookie"), "b has no shadow: the defaults hold as well");
        assert_eq!(all.style, RedactStyle::Mask);
    }

    #[test]
    fn of_several_shadows_the_stricter_holds() {
        let one = "redact = { headers = [\"x-one\"], json = [\"$.a\"] }\n";
        let two =
            "redact = { headers = [\"x-two\"], json = [\"$.a\", \"$.b\"], style = \"drop\" }\n";
        let config = config(&format!("[shadow.s]\n{ENDS}{one}[shadow.t]\n{ENDS}{two}"));
        let all = redacted(&config, Some("a"));
        assert_eq!((all.headers.len(), all.json.len(), all.style), (2, 2, RedactStyle::Drop));
    }

    #[test]
    fn what_is_named_must_be_there() {
        let config = config("");
        let kind = |route, upstream| find(&config, route, upstream).unwrap_err().kind;
        assert_eq!(kind(Some("nix"), None), Kind::Unknown);
        assert_eq!(kind(None, Some("nix")), Kind::Unknown);
        assert_eq!(kind(Some("c"), None), Kind::Request);
        assert_eq!(kind(Some("a"), Some("b")), Kind::Request);
        let found = find(&config, Some("b"), Some("b")).unwrap();
        assert_eq!(found.1, Some(UpstreamIx(1)));
    }
}
