//! `gnomon rollout`: how a canary is taking over, and what to do about it.

pub(crate) mod shown;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use gnomon_policy::rollout::Phase;

use super::{
    FAILED, Failure, HELD, ROLLED_BACK,
    arguments::pair,
    live::{Door, named},
};
use crate::control::api::{
    Page,
    rollout::{
        Forecast, LineAsked, OrderAsked, Record, RejudgeAsked, Rejudged, Rollout, Rollouts, Why,
    },
};

/// What to do with rollouts.
#[derive(Subcommand, Debug)]
pub(crate) enum RolloutCommand {
    /// The rollouts, and where they are
    List,
    /// Begin at the first step
    Start(OrderArguments),
    /// Where a rollout is; with --wait: exit code 0 promoted, 4 rolled back, 5 held for a person
    Status {
        /// The rollout; may be left out if there is one alone
        name: Option<String>,
        /// Wait until it is over, or needs a person
        #[arg(long)]
        wait: bool,
    },
    /// Stay at this step; it still rolls back if the canary is bad
    Pause(OrderArguments),
    /// Go on, and end a freeze
    Resume(OrderArguments),
    /// Yes to the next step
    Approve(OrderArguments),
    /// Into the next step without waiting for time or proof
    Promote {
        #[command(flatten)]
        order: OrderArguments,
        /// To 100 % at once
        #[arg(long)]
        full: bool,
    },
    /// Send everybody to stable, at once
    Abort(OrderArguments),
    /// Keep everything as it is: it does not even roll back
    Freeze(OrderArguments),
    /// What happened, who did it and why, newest first
    History {
        /// The rollout; may be left out if there is one alone
        name: Option<String>,
        /// So many at most
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Leave out so many at the beginning
        #[arg(long, default_value_t = 0)]
        offset: usize,
    },
    /// Why it is where it is: the newest transitions, with the evidence
    Why {
        /// The rollout; may be left out if there is one alone
        name: Option<String>,
    },
    /// How long each step will take at the present traffic, and what would help
    Plan {
        /// The rollout; may be left out if there is one alone
        name: Option<String>,
    },
    /// Judge the recorded evidence again, by other limits
    Rejudge {
        /// The rollout; may be left out if there is one alone
        name: Option<String>,
        /// A limit, as below [rollout.NAME.gate]: --gate error_rate.worse_by=50%
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        gate: Vec<(String, String)>,
        /// Of which start, as in `history`; the newest unless set
        #[arg(long, value_name = "N")]
        start: Option<u32>,
    },
    /// Keep every rollout from raising a weight, or let them go on
    StopTheLine {
        /// Whether it is stopped
        on: Switch,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// Who, besides what the proxy knows of you
        #[arg(long, default_value = "")]
        by: String,
    },
}

/// Which rollout, why, and who.
#[derive(Args, Debug)]
pub(crate) struct OrderArguments {
    /// The rollout; may be left out if there is one alone
    name: Option<String>,
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
    /// Who, besides what the proxy knows of you
    #[arg(long, default_value = "")]
    by: String,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Does it.
pub(super) fn rollout(door: &Door, command: &RolloutCommand) -> Result<(), Failure> {
    match command {
        RolloutCommand::List => list(door),
        RolloutCommand::Start(order) => act(door, "start", order, false),
        RolloutCommand::Pause(order) => act(door, "pause", order, false),
        RolloutCommand::Resume(order) => act(door, "resume", order, false),
        RolloutCommand::Approve(order) => act(door, "approve", order, false),
        RolloutCommand::Promote { order, full } => act(door, "promote", order, *full),
        RolloutCommand::Abort(order) => act(door, "abort", order, false),
        RolloutCommand::Freeze(order) => act(door, "freeze", order, false),
        RolloutCommand::Status { name, wait } => {
            let path = path(door, name.as_deref(), "")?;
            if *wait { wait_for(door, &path) } else { status(door, &path) }
        }
        RolloutCommand::History { name, limit, offset } => {
            let query = format!("/history?limit={limit}&offset={offset}");
            history(door, &path(door, name.as_deref(), &query)?)
        }
        RolloutCommand::Why { name } => why(door, &path(door, name.as_deref(), "/why")?),
        RolloutCommand::Plan { name } => plan(door, &path(door, name.as_deref(), "/plan")?),
        RolloutCommand::Rejudge { name, gate, start } => {
            let gate = gate.iter().cloned().collect();
            let body = RejudgeAsked { gate, generation: *start };
            rejudge(door, &path(door, name.as_deref(), "/rejudge")?, &body)
        }
        RolloutCommand::StopTheLine { on, reason, by } => {
            let on = *on == Switch::On;
            let body = LineAsked { on, reason: reason.clone(), by: by.clone() };
            let done = door.act("/v1/stop-the-line", &body)?;
            door.tell(&done, "gnomon rollout list")
        }
    }
}

fn list(door: &Door) -> Result<(), Failure> {
    let all: Rollouts = door.read("/v1/rollouts")?;
    if door.json {
        return door.console.json(&all);
    }
    if all.rollouts.is_empty() {
        door.console.hint("there are none: see config/sample/rollout.toml");
    }
    door.console.data(shown::all(&all, door.console.paint()))
}

fn act(door: &Door, verb: &str, order: &OrderArguments, full: bool) -> Result<(), Failure> {
    let name = only(door, order.name.as_deref())?;
    let step = if verb == "promote" && !full {
        // Said twice by accident, it is one step all the same.
        let now: Rollout = door.read(&format!("/v1/rollouts/{name}"))?;
        Some(now.state.step)
    } else {
        None
    };
    let OrderArguments { reason, by, .. } = order;
    let body = OrderAsked { reason: reason.clone(), by: by.clone(), full, step };
    let done = door.act(&format!("/v1/rollouts/{name}/{verb}"), &body)?;
    let next = match verb {
        "start" | "resume" | "approve" => format!("gnomon rollout status {name} --wait"),
        "pause" | "freeze" => format!("gnomon rollout resume {name}"),
        "abort" => format!("gnomon rollout why {name}"),
        _ => format!("gnomon rollout status {name}"),
    };
    door.tell(&done, &next)
}

fn status(door: &Door, path: &str) -> Result<(), Failure> {
    let rollout: Rollout = door.read(path)?;
    if door.json {
        return door.console.json(&rollout);
    }
    door.console.data(shown::one(&rollout, door.console.paint()))?;
    door.console.hint(next(&rollout));
    Ok(())
}

/// What a person may want to do now.
fn next(rollout: &Rollout) -> String {
    let Rollout { name, state, .. } = rollout;
    match state.phase {
        _ if state.frozen => format!("gnomon rollout resume {name}, to end the freeze"),
        Phase::Idle | Phase::RolledBack(_) | Phase::Aborted => {
            format!("gnomon rollout start {name}")
        }
        Phase::Waiting => format!("gnomon rollout approve {name}, or abort {name}"),
        Phase::Paused => format!("gnomon rollout resume {name}, or abort {name}"),
        Phase::Holding(block) if block.needs_person() => {
            format!("gnomon rollout resume {name}, promote {name} or abort {name}")
        }
        Phase::Shadowing | Phase::Running | Phase::Holding(_) => {
            format!("gnomon rollout status {name} --wait, or back: gnomon rollout abort {name}")
        }
        Phase::Promoted => {
            format!("make it the file's own: `split` to {}; or abort {name}", rollout.to)
        }
    }
}

/// Looks once a second, tells what is new, and ends with the rollout.
fn wait_for(door: &Door, path: &str) -> Result<(), Failure> {
    let mut said = (Phase::Idle, usize::MAX);
    for _ in crossbeam_channel::tick(Duration::from_secs(1)) {
        let rollout: Rollout = door.read(path)?;
        let state = &rollout.state;
        let now = (state.phase, state.step);
        if now != said {
            said = now;
            if door.json {
                door.console.json(&rollout)?;
            } else {
                door.console.line(shown::line(&rollout, door.console.paint()))?;
            }
        }
        match state.phase {
            Phase::Promoted => return Ok(()),
            Phase::RolledBack(_) | Phase::Aborted => return Err(Failure::silent(ROLLED_BACK)),
            Phase::Idle => {
                let failure = Failure::new(FAILED, "it has not begun");
                return Err(failure.help(next(&rollout)));
            }
            phase if phase.needs_person() || state.frozen => return Err(Failure::silent(HELD)),
            Phase::Shadowing
            | Phase::Running
            | Phase::Holding(_)
            | Phase::Waiting
            | Phase::Paused => {}
        }
    }
    Ok(())
}

fn history(door: &Door, path: &str) -> Result<(), Failure> {
    let page: Page<Record> = door.read(path)?;
    if door.json {
        return door.console.json(&page);
    }
    door.console.data(shown::history(&page.items, door.console.paint()))?;
    let seen = page.offset + page.items.len();
    if seen < page.total {
        door.console.hint(format_args!("{} more: --offset {seen}", page.total - seen));
    }
    Ok(())
}

fn why(door: &Door, path: &str) -> Result<(), Failure> {
    let why: Why = door.read(path)?;
    if door.json {
        return door.console.json(&why);
    }
    door.console.data(shown::why(&why, door.console.paint()))?;
    door.console.hint(next(&why.now));
    Ok(())
}

fn plan(door: &Door, path: &str) -> Result<(), Failure> {
    let forecast: Forecast = door.read(path)?;
    if door.json {
        return door.console.json(&forecast);
    }
    door.console.data(shown::forecast(&forecast, door.console.paint()))?;
    door.console.hint(format_args!("gnomon rollout start {}", forecast.name));
    Ok(())
}

fn rejudge(door: &Door, path: &str, body: &RejudgeAsked) -> Result<(), Failure> {
    let rejudged: Rejudged = door.ask(path, body)?;
    if door.json {
        return door.console.json(&rejudged);
    }
    door.console.data(shown::rejudged(&rejudged, door.console.paint()))
}

fn path(door: &Door, name: Option<&str>, rest: &str) -> Result<String, Failure> {
    Ok(format!("/v1/rollouts/{}{rest}", only(door, name)?))
}

/// The rollout of this name, or the only one there is.
fn only(door: &Door, name: Option<&str>) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(named(name, "rollout")?.to_owned());
    }
    let mut all: Rollouts = door.read("/v1/rollouts")?;
    match (all.rollouts.pop(), all.rollouts.is_empty()) {
        (Some(rollout), true) => Ok(rollout.name),
        (Some(_), false) => Err(Failure::usage("which rollout?").help("`gnomon rollout list`")),
        (None, _) => {
            Err(Failure::usage("there is no rollout").help("see config/sample/rollout.toml"))
        }
    }
}
