//! `gnomon demo`: a rollout from its start to its end, by itself, and the words of the judge.
//!
//! It is begun as anybody would begin it. What the demo does besides is to look, and, where v2 is
//! to break, to break it.

mod promises;
mod table;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crossbeam_channel::tick;
use gnomon_policy::{
    judge::{Both, Report},
    rollout::Phase,
};
use serde_json::json;

use self::{
    promises::{End, Story},
    table::Look,
};
use super::{
    Ground, HOST_NAME, ORDER_FIELD, STAFF_FIELD, VERSION_FIELD,
    origins::{ALIKE, WORSE},
    pane::Pane,
    status, stop,
    traffic::{Amount, CHECKOUTS, Traffic},
};
use crate::{
    cli::{Console, DemoArguments, FAILED, Failure, percent},
    clock::{self, Moment},
    control::{
        api::{
            Done, Golden, Page, Status,
            rollout::{Forecast, OrderAsked, Record, Rollout},
        },
        ctl,
        rollouts::describe,
    },
};

/// Shows it, until it is over, `--seconds` have passed, or Ctrl-C is pressed.
pub(super) fn show(arguments: &DemoArguments, json: bool, console: Console) -> Result<(), Failure> {
    let story = Story::of(arguments);
    let manners = if story == Story::Worse { WORSE } else { ALIKE };
    let rate = arguments.rate.unwrap_or(RATE);
    let staff_every = story.staff_every();
    let amount = Amount { manners, staff_every, ..Amount::of(arguments, rate) };
    let hold = if arguments.console.is_some() { HOLD_WATCHED } else { HOLD };
    let ground = Ground::open(arguments, amount, |origins| config(origins, hold))?;
    let Ground { traffic, running, address, socket, text, console: web, folder: _folder } = ground;
    let pane = Pane::new(console, json);
    let mut show = Show {
        story,
        traffic,
        socket,
        web,
        pane,
        begun: clock::now(),
        was: None,
        told: 0,
        breaks: None,
    };
    show.introduce(&text, amount, address)?;
    show.was = Some((clock::now(), status(&show.socket)?));
    show.traffic.ask(address);
    let shown = show.play(arguments.seconds);
    let end = shown.and_then(|is_interrupted| show.conclude(is_interrupted));
    let is_patient = stop(running, &show.traffic.interrupts);
    let end = end?;
    if is_patient || json {
        show.tell_end(&end)?;
    }
    if end.is_sound() { Ok(()) } else { Err(Failure::silent(FAILED)) }
}

/// The configuration: what a person would write who has little time and many requests.
fn config(origins: [SocketAddr; 2], hold: u32) -> String {
    let [stable, other] = origins;
    let last = hold * 2 / 3;
    format!(
        r#"listen = "127.0.0.1:0"

[upstream.shop]                # not `sticky`: each request is drawn by itself
versions.v1 = ["{stable}"]
versions.v2 = ["{other}"]

[route.shop]
match = {{ host = "{HOST_NAME}" }}
to    = "shop"

[group.staff]
header = {{ {STAFF_FIELD} = "1" }}

[flag.new-shop]                # the staff has v2 before anybody else, and is no evidence
rules = [{{ group = "staff", serve = "on" }}]

[route.staff]
match = {{ host = "{HOST_NAME}", flag = "new-shop" }}
to    = "shop@v2"

[shadow.v2]                    # GETs are copied, checkouts are not
from   = "shop@v1"
to     = "shop@v2"
sample = "0%"
noise  = true

[rollout.v2]
from  = "shop@v1"
to    = "shop@v2"
steps = [{{ shadow = "100%", hold = "{hold}s" }}, "5% for {hold}s", "25% for {hold}s", "50% for {hold}s", "100% for {last}s"]

[rollout.v2.gate]
warmup     = "1s"
error_rate = {{ worse_by = "25% + 0.2pp" }}
latency    = {{ worse_by = "15%" }}
diff_rate  = {{ max = "1%" }}
risk       = {{ errors = "1pp", latency = "4pp" }}
kpi.orders = {{ worse_by = "25%" }}

[rollout.v2.fuse]
budget = {BUDGET}
window = "5s"

[kpi.orders]                   # versions say it, users do not see it
of   = "shop"
from = "header:{ORDER_FIELD}"
"#
    )
}

/// The demo while it runs.
struct Show {
    story: Story,
    traffic: Traffic,
    socket: PathBuf,
    /// Where the console is, if there is one: somebody may be looking, until Ctrl-C.
    web: Option<String>,
    pane: Pane,
    begun: Moment,
    /// The last status that was drawn, and when it was read.
    was: Option<(Moment, Status)>,
    /// The newest record that was told.
    told: u64,
    /// When v2 is to break.
    breaks: Option<Moment>,
}

impl Show {
    fn introduce(&self, text: &str, amount: Amount, address: SocketAddr) -> Result<(), Failure> {
        if self.pane.json {
            return self.pane.tell_console(self.web.as_deref());
        }
        let paint = self.pane.console.paint();
        let text: String = text.lines().map(|line| format!("  {line}\n")).collect();
        let told = self.story.introduction(&amount);
        let look = format!(
            "look from elsewhere: gnomon rollout status --socket {0}\n\
             \x20                    gnomon golden --socket {0}\n\
             \x20                    curl -si -H 'host: {HOST_NAME}' {address} | grep {VERSION_FIELD}",
            self.socket.display()
        );
        self.pane.console.data(format_args!(
            "{}: v2 takes over from v1 by itself, or not, on this machine alone\n\n{}\n{told}\n\
             {} users · about {} requests/s · one in {:.0} a checkout\n{}\n\n",
            paint.bold(self.story.command()),
            paint.blue(&text),
            amount.users,
            amount.rate,
            1.0 / CHECKOUTS,
            paint.dim(&look),
        ))?;
        self.pane.tell_console(self.web.as_deref())
    }

    /// Starts the rollout and looks at it until it ends. Says whether somebody was in a hurry.
    fn play(&mut self, seconds: Option<u32>) -> Result<bool, Failure> {
        let patience = if self.web.is_some() { PATIENCE_WATCHED } else { PATIENCE };
        let patience = seconds.map_or(patience, |seconds| Duration::from_secs(seconds.into()));
        let ticks = tick(LOOK);
        let mut over = None;
        for number in 1_u32.. {
            crossbeam_channel::select! {
                recv(ticks) -> _ => {}
                recv(self.traffic.interrupts) -> _ => return Ok(over.is_none()),
            }
            if number == START_AT {
                self.start()?;
            }
            let rollout: Rollout = self.read("")?;
            self.tell_news()?;
            if number.is_multiple_of(self.pace()) {
                self.draw(&rollout)?;
            }
            let now = clock::now();
            self.meddle(&rollout, now)?;
            if over.is_none() && number > START_AT && is_over(&rollout) {
                over = Some(now + self.aftermath(&rollout, now));
            }
            let is_late = now.duration_since(self.begun) >= patience;
            let is_over = self.web.is_none() && over.is_some_and(|over| now >= over);
            if is_late || is_over {
                break;
            }
        }
        Ok(false)
    }

    /// Looks between two tables.
    fn pace(&self) -> u32 {
        if self.pane.console.is_terminal() || self.pane.json { 2 } else { 4 }
    }

    fn start(&self) -> Result<(), Failure> {
        let asked = OrderAsked {
            reason: "the demo".to_owned(),
            by: "gnomon demo".to_owned(),
            ..OrderAsked::default()
        };
        let _: Done = ctl::act(&self.socket, "/v1/rollouts/v2/start", &asked)
            .map_err(|failure| Failure::call(failure, &self.socket))?;
        if self.pane.json {
            return self.pane.console.line(json!({ "event": "start", "rollout": "v2" }));
        }
        self.pane.tell(&self.pane.console.paint().bold("▲ gnomon rollout start v2"))
    }

    /// Breaks v2 when it is time.
    fn meddle(&mut self, rollout: &Rollout, now: Moment) -> Result<(), Failure> {
        if self.story != Story::Broken || self.traffic.ledger().harm.broke.is_some() {
            return Ok(());
        }
        let share = rollout.in_force;
        if self.breaks.is_none() && share >= BREAKS_AT {
            self.breaks = Some(now + BREAKS_AFTER);
        }
        if self.breaks.is_none_or(|at| now < at) {
            return Ok(());
        }
        self.traffic.break_canary();
        if self.pane.json {
            return self.pane.console.line(json!({ "event": "break", "share": share }));
        }
        let said = format!("✗ v2 breaks at {}: from now on, every reply is 500", percent(share));
        self.pane.tell(&self.pane.console.paint().red(&said))
    }

    /// The rollout has ended: how long there is still something to see.
    fn aftermath(&self, rollout: &Rollout, now: Moment) -> Duration {
        if rollout.state.weight_parts > 0 {
            return Duration::ZERO;
        }
        self.traffic.ledger().home = Some(now + FOLLOWED);
        AFTERMATH
    }

    fn read<A: serde::de::DeserializeOwned>(&self, rest: &str) -> Result<A, Failure> {
        ctl::read(&self.socket, &format!("/v1/rollouts/v2{rest}"))
            .map_err(|failure| Failure::call(failure, &self.socket))
    }

    /// The decision record, oldest first.
    fn history(&self) -> Result<Vec<Record>, Failure> {
        let mut page: Page<Record> = self.read("/history?limit=100")?;
        page.items.reverse();
        Ok(page.items)
    }

    /// Tells what has happened since it was last told.
    fn tell_news(&mut self) -> Result<(), Failure> {
        let told = self.told;
        for record in self.history()?.iter().filter(|record| record.id > told) {
            self.told = record.id;
            if self.pane.json {
                let record = json!({ "event": "transition", "record": record });
                self.pane.console.line(record)?;
            } else {
                let paint = self.pane.console.paint();
                let line = format!("▲ {}", describe(&record.rollout, &record.event));
                let is_down = matches!(record.event.to, Phase::RolledBack(_) | Phase::Aborted);
                self.pane.tell(&if is_down { paint.red(&line) } else { paint.bold(&line) })?;
            }
        }
        Ok(())
    }

    fn draw(&mut self, rollout: &Rollout) -> Result<(), Failure> {
        let failed = |failure| Failure::call(failure, &self.socket);
        let status = status(&self.socket)?;
        let now = clock::now();
        let golden: Vec<Golden> = ctl::read(&self.socket, "/v1/golden").map_err(failed)?;
        let forecast: Forecast = self.read("/plan")?;
        let look = Look {
            elapsed: now.duration_since(self.begun),
            rollout,
            status: &status,
            was: self.was.as_ref().map(|(at, status)| (now.duration_since(*at), status)),
            golden: &golden,
            forecast: &forecast,
            staff: self.traffic.ledger().staff,
        };
        if self.pane.json {
            self.pane.console.line(look.json())?;
        } else {
            self.pane.draw(&look.text(self.pane.console.paint()))?;
        }
        self.was = Some((now, status));
        Ok(())
    }

    /// The end: both accounts side by side, and the promises.
    fn conclude(&mut self, is_interrupted: bool) -> Result<End, Failure> {
        let elapsed = clock::now().duration_since(self.begun);
        let has_ended = self.traffic.end();
        // A reply is counted once it is out.
        std::thread::park_timeout(COUNTED);
        self.tell_news()?;
        let rollout: Rollout = self.read("")?;
        let history = self.history()?;
        let report = history.iter().rev().find_map(report_of);
        let orders = report.as_ref().and_then(orders);
        let status = status(&self.socket)?;
        let ledger = self.traffic.ledger();
        let of = |version: usize| status.upstreams.first().and_then(|it| it.versions.get(version));
        Ok(End {
            story: self.story,
            elapsed,
            is_interrupted: is_interrupted || !has_ended,
            panics: status.cores.iter().map(|core| core.panics).sum(),
            counted: Both {
                stable: of(super::STABLE).map(promises::Account::of).unwrap_or_default(),
                canary: of(super::CANARY).map(promises::Account::of).unwrap_or_default(),
            },
            seen: Both {
                stable: promises::Account::seen(&ledger.seen[super::STABLE]),
                canary: promises::Account::seen(&ledger.seen[super::CANARY]),
            },
            failed: ledger.failed,
            first_failure: ledger.first_failure.clone(),
            harm: ledger.harm,
            met: ledger.seen[super::CANARY].span.map(|(first, last)| last - first),
            strays: ledger.strays,
            leaks: ledger.leaks,
            staff: ledger.staff,
            report,
            orders,
            rollout,
            history,
        })
    }

    fn tell_end(&self, end: &End) -> Result<(), Failure> {
        if self.pane.json {
            return self.pane.console.line(end.json());
        }
        self.pane.console.data(end.text(self.pane.console.paint()))?;
        self.pane.console.hint("the judge, and what its figures mean: docs/OPERATING.md");
        self.pane.console.hint(self.story.next());
        Ok(())
    }
}

/// What the judge knew, if it had something to judge.
fn report_of(record: &Record) -> Option<Report> {
    let report: Report = serde_json::from_value(record.report.clone()).ok()?;
    let has_judged = report.signals.iter().any(|signal| signal.overall.canary.all > 0);
    has_judged.then_some(report)
}

/// Orders of all requests, as the judge has counted them.
fn orders(report: &Report) -> Option<Both<gnomon_policy::judge::bernoulli::Counts>> {
    report.signals.iter().find(|signal| signal.name == "orders").map(|signal| signal.overall)
}

fn is_over(rollout: &Rollout) -> bool {
    let phase = rollout.state.phase;
    !phase.is_active() || phase.needs_person() || rollout.state.frozen
}

/// Requests a second unless said: a step of 5 % has its proof within seconds.
const RATE: u32 = 1500;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// The look before which the rollout is started: stable is known a little by then.
const START_AT: u32 = 5;
/// How long a rollout may take if nobody says so. It takes less than a minute.
const PATIENCE: Duration = Duration::from_secs(240);
/// The same if somebody is looking at the console: a day.
const PATIENCE_WATCHED: Duration = Duration::from_secs(86_400);
/// How long each step but the last is held, in seconds.
const HOLD: u32 = 6;
/// The same if somebody is looking at the console.
const HOLD_WATCHED: u32 = 30;
/// How long is looked on after a rollback.
const AFTERMATH: Duration = Duration::from_secs(2);
/// How long the cores may take to follow.
const FOLLOWED: Duration = Duration::from_millis(100);
/// The canary's share, in percent, at which it is to break.
const BREAKS_AT: f64 = 25.0;
/// How long it has had that share then.
const BREAKS_AFTER: Duration = Duration::from_secs(2);
/// Bad answers that the fuse allows.
const BUDGET: u64 = 30;
/// Until the last reply is counted.
const COUNTED: Duration = Duration::from_millis(200);
