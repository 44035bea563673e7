//! `gnomon demo`: a canary with users, origins and all, on this machine alone.
//!
//! The proxy is started through the same door as by `run`, from a configuration that is shown, and
//! is asked and told everything through its admin socket. The users write down what they see; both
//! accounts are shown, and have to agree.

mod folder;
mod ledger;
mod origins;
mod screen;
mod shadowing;
mod traffic;
mod verdict;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::{Receiver, tick};
use gnomon_policy::Luck;
use gnomon_sys::affinity;

use self::{
    folder::Folder,
    ledger::Epoch,
    screen::{Screen, View},
    shadowing::Seen,
    traffic::{Amount, Traffic},
    verdict::{Placed, Verdict},
};
use crate::{
    boot::{self, Options, Running, Signals, Stop},
    cli::{Console, DemoArguments, FAILED, Failure},
    clock::{self, Moment},
    control::{
        api::{Done, Status, Weights},
        ctl,
    },
};

/// Index of the stable version.
const STABLE: usize = 0;
/// Index of the canary.
const CANARY: usize = 1;
/// By which the origins say who they are.
const VERSION_FIELD: &str = "x-version";
/// What the users ask for.
const HOST_NAME: &str = "shop.test";

/// Shows it, until `--seconds` have passed or Ctrl-C is pressed.
pub(crate) fn demo(arguments: &DemoArguments, json: bool, console: Console) -> Result<(), Failure> {
    let users = usize::try_from(arguments.users).unwrap_or(usize::MAX);
    let amount = Amount { users, rate: arguments.rate, seed: arguments.seed };
    let traffic = Traffic::start(amount).map_err(|error| {
        Failure::new(FAILED, format!("the demo's origins cannot be started: {error}"))
    })?;
    let folder = Folder::new().map_err(|error| {
        Failure::new(FAILED, format!("no private folder can be made: {error}"))
            .help("set TMPDIR to a folder that you may write to")
    })?;
    let text = config(traffic.origins, arguments.canary);
    let running = start(&text, sets(&folder, arguments))?;
    let Some(&(_, address)) = running.addresses().first() else {
        return Err(Failure::new(FAILED, "the proxy listens nowhere; please report this as a bug"));
    };
    let socket = running.admin_socket();
    let screen = Screen::new(console, json);
    let status = status(&socket)?;
    screen.begin(&text, arguments, address, &socket, &status)?;

    traffic.ask(address);
    let mut show = Show {
        traffic,
        socket,
        screen,
        canary: f64::from(arguments.canary),
        begun: clock::now(),
        last: None,
        before: None,
        meddled: false,
    };
    let shown = show.play(arguments.seconds);
    let verdict = shown.and_then(|()| show.conclude());
    let is_patient = stop(running, &show.traffic.interrupts);
    let verdict = verdict?;
    if is_patient || json {
        show.screen.end(&verdict)?;
    }
    if verdict.is_sound() { Ok(()) } else { Err(Failure::silent(FAILED)) }
}

/// The configuration: nothing that a person would not write.
fn config(origins: [SocketAddr; 2], canary: u8) -> String {
    let [stable, other] = origins;
    let rest = 100 - canary;
    format!(
        r#"listen = "127.0.0.1:0"

[upstream.shop]
versions.v1 = ["{stable}"]
versions.v2 = ["{other}"]
split       = {{ v1 = {rest}, v2 = {canary} }}
sticky      = "cookie"

[route.shop]
match = {{ host = "{HOST_NAME}" }}
to    = "shop"

[shadow.v2]
from    = "shop@v1"
to      = "shop@v2"
noise   = true
compare = {{ headers = ["content-type", "cache-control"] }}
"#
    )
}

/// What a demo needs beside: nothing in `/run`, no more of the machine than others can spare.
fn sets(folder: &Folder, arguments: &DemoArguments) -> Vec<(String, String)> {
    let cores = if affinity::allowed_cores().len() >= 4 { 2 } else { 1 };
    [
        ("admin.socket", folder.socket().display().to_string()),
        ("state.dir", folder.state().display().to_string()),
        ("runtime.cores", cores.to_string()),
        ("runtime.pin", "false".to_owned()),
        ("runtime.driver", arguments.driver.as_str().to_owned()),
        ("timeouts.grace", "0s".to_owned()),
        ("timeouts.drain", "2s".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec()
}

fn start(text: &str, sets: Vec<(String, String)>) -> Result<Running, Failure> {
    let text = text.to_owned();
    let load = Arc::new(move || {
        let options = gnomon_config::Options { sets: &sets, ..Default::default() };
        gnomon_config::parse("demo.toml", &text, &options)
    });
    Ok(boot::start(Options { load, signals: Signals::Ignored, log: None })?)
}

fn status(socket: &Path) -> Result<Status, Failure> {
    ctl::read(socket, "/v1/status").map_err(|failure| Failure::call(failure, socket))
}

/// Stops the proxy as a reload of its unit would; at once if Ctrl-C is pressed meanwhile. Tells
/// whether it was not.
fn stop(running: Running, interrupts: &Receiver<()>) -> bool {
    running.ask_stop(Stop::Graceful);
    let cores = running.shared().cores.clone();
    let mut is_patient = true;
    for _ in tick(LOOK) {
        if interrupts.try_recv().is_ok() {
            running.ask_stop(Stop::Now);
            is_patient = false;
        }
        if !is_patient || cores.iter().all(|core| core.stopped.read() == 1) {
            break;
        }
    }
    // What it cut was idle, or the person was in a hurry.
    let _ = running.wait();
    is_patient
}

/// The demo while it runs.
struct Show {
    traffic: Traffic,
    socket: PathBuf,
    screen: Screen,
    /// The canary's share as set last, in percent.
    canary: f64,
    begun: Moment,
    /// The last status, and when it was read.
    last: Option<(Moment, Status)>,
    /// Who was where before the weight was changed.
    before: Option<Placed>,
    /// Whether somebody else has changed the weight.
    meddled: bool,
}

impl Show {
    /// A table every second; the weight is changed halfway.
    fn play(&mut self, seconds: Option<u32>) -> Result<(), Failure> {
        let change_at = match seconds {
            None => Some(SECONDS_BEFORE_CHANGE),
            Some(seconds) if seconds >= 8 => Some(seconds / 2),
            Some(_) => None,
        };
        let ticks = tick(Duration::from_secs(1));
        for second in 1.. {
            crossbeam_channel::select! {
                recv(ticks) -> _ => {}
                recv(self.traffic.interrupts) -> _ => return Ok(()),
            }
            let view = self.view()?;
            self.screen.draw(&view)?;
            if change_at == Some(second) {
                self.change_weight()?;
            }
            if seconds.is_some_and(|seconds| second >= seconds) {
                break;
            }
        }
        Ok(())
    }

    /// What both sides know.
    fn view(&mut self) -> Result<View, Failure> {
        let status = status(&self.socket)?;
        let now = clock::now();
        let (was, before) = self.last.take().unzip();
        let interval = now.duration_since(was.unwrap_or(self.begun));
        let shares = status.upstreams.first().map(|upstream| &upstream.versions);
        let share = shares.and_then(|versions| versions.get(CANARY)).map(|version| version.share);
        self.meddled |= share.is_some_and(|share| (share - self.canary).abs() > 0.001);
        let ledger = self.traffic.ledger();
        let elapsed = now.duration_since(self.begun);
        let view = View::new(&status, before.as_ref(), interval, elapsed, &ledger);
        drop(ledger);
        self.last = Some((now, status));
        Ok(view)
    }

    /// Raises the canary's share, through the admin API as anybody would.
    fn change_weight(&mut self) -> Result<(), Failure> {
        let wanted = if self.canary < RAISED { RAISED } else { (self.canary + 100.0) / 2.0 };
        {
            let mut ledger = self.traffic.ledger();
            self.before = Some(Placed { share: self.canary, on: ledger.placed() });
            ledger.epoch = Epoch::Changing;
        }
        let was = self.canary;
        let weights = Weights::from([("v2".to_owned(), wanted)]);
        let done: Done = ctl::act(&self.socket, "/v1/upstreams/shop/weight", &weights)
            .map_err(|failure| Failure::call(failure, &self.socket))?;
        self.traffic.ledger().epoch = Epoch::After;
        self.canary = wanted;
        self.screen.tell_change(was, wanted, &done)
    }

    /// The end: both accounts side by side.
    fn conclude(&mut self) -> Result<Verdict, Failure> {
        let elapsed = clock::now().duration_since(self.begun);
        let ended = self.traffic.end();
        let mut view = self.view()?;
        view.elapsed = elapsed;
        let shadow = Seen::read(&self.socket)?;
        let ledger = self.traffic.ledger();
        Ok(Verdict {
            before: self.before,
            now: Placed { share: self.canary, on: ledger.placed() },
            moved: ledger.moved,
            flipped: ledger.flipped,
            failed: ledger.failed,
            first_failure: ledger.first_failure.clone(),
            meddled: self.meddled,
            interrupted: !ended,
            shadow: Some(shadow),
            view,
        })
    }
}

/// A draw from `[0, 1)`.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
fn chance(luck: &mut Luck) -> f64 {
    (luck.draw() >> 11) as f64 / (1_u64 << 53) as f64
}

/// When the weight is changed if there is no end in sight.
const SECONDS_BEFORE_CHANGE: u32 = 10;
/// Percent that the canary is raised to, if it has less.
const RAISED: f64 = 25.0;
/// Between two looks at cores that end.
const LOOK: Duration = Duration::from_millis(5);
