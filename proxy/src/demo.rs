//! `gnomon demo`: a canary with users, origins and all, on this machine alone.
//!
//! The proxy is started through the same door as by `run`, from a configuration that is shown, and
//! is asked and told everything through its admin socket. The users write down what they see; both
//! accounts are shown, and have to agree.

mod folder;
mod ledger;
mod origins;
mod pane;
mod rollout;
mod split;
mod traffic;

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
    traffic::{Amount, Traffic},
};
use crate::{
    boot::{self, Options, Running, Signals, Stop},
    cli::{Console, DemoArguments, FAILED, Failure},
    control::{api::Status, ctl},
};

/// Index of the stable version.
const STABLE: usize = 0;
/// Index of the canary.
const CANARY: usize = 1;
/// By which the origins say who they are.
const VERSION_FIELD: &str = "x-version";
/// By which the origins say whether there was an order. No user gets to see it.
const ORDER_FIELD: &str = "x-order";
/// The field by which staff is known.
const STAFF_FIELD: &str = "x-staff";
/// What the users ask for.
const HOST_NAME: &str = "shop.test";

/// Shows what was asked for.
pub(crate) fn demo(arguments: &DemoArguments, json: bool, console: Console) -> Result<(), Failure> {
    if arguments.split {
        split::show(arguments, json, console)
    } else {
        rollout::show(arguments, json, console)
    }
}

/// What a demo stands on.
struct Ground {
    traffic: Traffic,
    running: Running,
    /// Where the proxy listens.
    address: SocketAddr,
    /// Its admin socket.
    socket: PathBuf,
    /// Its configuration.
    text: String,
    /// Where its console is, if that was asked for.
    console: Option<String>,
    folder: Folder,
}

impl Ground {
    /// Starts origins and the proxy; the users wait.
    fn open(
        arguments: &DemoArguments,
        amount: Amount,
        config: impl FnOnce([SocketAddr; 2]) -> String,
    ) -> Result<Self, Failure> {
        let traffic = Traffic::start(amount).map_err(|error| {
            Failure::new(FAILED, format!("the demo's origins cannot be started: {error}"))
        })?;
        let folder = Folder::new().map_err(|error| {
            Failure::new(FAILED, format!("no private folder can be made: {error}"))
                .help("set TMPDIR to a folder that you may write to")
        })?;
        let text = config(traffic.origins);
        let running = start(&text, sets(&folder, arguments))?;
        let Some(&(_, address)) = running.addresses().first() else {
            let said = "the proxy listens nowhere; please report this as a bug";
            return Err(Failure::new(FAILED, said));
        };
        let socket = running.admin_socket();
        let console = running.admin_address().map(|address| format!("http://{address}/"));
        Ok(Self { traffic, running, address, socket, text, console, folder })
    }
}

/// What a demo needs beside: nothing in `/run`, no more of the machine than others can spare.
fn sets(folder: &Folder, arguments: &DemoArguments) -> Vec<(String, String)> {
    let cores = if affinity::allowed_cores().len() >= 4 { 2 } else { 1 };
    let mut sets = vec![
        ("admin.socket", folder.socket().display().to_string()),
        ("state.dir", folder.state().display().to_string()),
        ("runtime.cores", cores.to_string()),
        ("runtime.pin", "false".to_owned()),
        ("runtime.driver", arguments.driver.as_str().to_owned()),
        ("timeouts.grace", "0s".to_owned()),
        ("timeouts.drain", "2s".to_owned()),
    ];
    sets.extend(arguments.console.map(|address| ("admin.listen", address.to_string())));
    sets.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
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

/// A draw from `[0, 1)`.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
fn chance(luck: &mut Luck) -> f64 {
    (luck.draw() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Between two looks at cores that end.
const LOOK: Duration = Duration::from_millis(5);
