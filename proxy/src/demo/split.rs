//! `gnomon demo --split`: two versions under weights that a person sets, users who stay where they
//! are, and a shadow that finds what was changed.

mod screen;
mod shadowing;
mod verdict;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crossbeam_channel::tick;

use self::{
    screen::{Screen, View},
    shadowing::Seen,
    verdict::{Placed, Verdict},
};
use super::{
    CANARY, Ground, HOST_NAME,
    ledger::Epoch,
    origins::CHANGED,
    status, stop,
    traffic::{Amount, Traffic},
};
use crate::{
    cli::{Console, DemoArguments, FAILED, Failure},
    clock::{self, Moment},
    control::{
        api::{Done, Status, Weights},
        ctl,
    },
};

/// Shows it, until `--seconds` have passed or Ctrl-C is pressed.
pub(super) fn show(arguments: &DemoArguments, json: bool, console: Console) -> Result<(), Failure> {
    let canary = arguments.canary.unwrap_or(CANARY_AT_FIRST);
    let rate = arguments.rate.unwrap_or(RATE);
    let amount = Amount { manners: CHANGED, checkouts: 0.0, ..Amount::of(arguments, rate) };
    let ground = Ground::open(arguments, amount, |origins| config(origins, canary))?;
    let Ground { traffic, running, address, socket, text, console: web, folder: _folder } = ground;
    let screen = Screen::new(console, json);
    let status = status(&socket)?;
    screen.begin(&text, arguments, address, &socket, &status)?;
    screen.tell_console(web.as_deref())?;

    traffic.ask(address);
    let mut show = Show {
        traffic,
        socket,
        screen,
        canary: f64::from(canary),
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
        // Takes a moment, in which the last replies are counted: that is done once they are out.
        let shadow = Seen::read(&self.socket)?;
        let mut view = self.view()?;
        view.elapsed = elapsed;
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

/// Requests a second unless said.
const RATE: u32 = 800;
/// The canary's share at first, in percent, unless said.
const CANARY_AT_FIRST: u8 = 10;
/// When the weight is changed if there is no end in sight.
const SECONDS_BEFORE_CHANGE: u32 = 10;
/// Percent that the canary is raised to, if it has less.
const RAISED: f64 = 25.0;
