//! `gnomon top` on a real terminal, as somebody sits at it: tmux has the terminal, and the keys.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use e2e::{Driver, eventually, on_each_driver};
use gnomon_policy::rollout::Phase;
use rustix::process::{Pid, Signal, kill_process};

use super::rollout::Shop;

/// A rollout that stays where it is for the length of a test.
const LONG: &str = "\"25% for 1h\", \"100% for 1s\"";

/// A detached session of its own server, of 100 columns and 30 rows, with a shell in it. It is gone when
/// this is dropped.
struct Terminal {
    server: String,
}

impl Terminal {
    /// None where there is no tmux; says so.
    fn open() -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        if Command::new("tmux").arg("-V").output().is_err() {
            let mut stderr = std::io::stderr();
            let _ = writeln!(stderr, "`gnomon top` is not seen on a terminal: tmux is missing");
            return None;
        }
        let number = NEXT.fetch_add(1, SeqCst);
        let terminal = Self { server: format!("gnomon-top-{}-{number}", std::process::id()) };
        let shell = "exec env -u LC_ALL -u NO_COLOR LANG=C.UTF-8 PS1='$ ' sh";
        let opened = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            shell,
        ]);
        assert!(opened.status.success(), "{opened:?}");
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.server]).args(arguments).env_remove("TMUX").stdin(Stdio::null());
        command.output().expect("it ran a moment ago")
    }

    /// Presses keys by their names, as tmux knows them.
    fn press(&self, keys: &[&str]) {
        let sent = self.tmux(&[&["send-keys"], keys].concat());
        assert!(sent.status.success(), "{sent:?}");
    }

    /// Writes a text.
    fn write(&self, text: &str) {
        self.press(&["-l", text]);
    }

    /// What is on the screen.
    fn screen(&self) -> String {
        let seen = self.tmux(&["capture-pane", "-p"]);
        String::from_utf8_lossy(&seen.stdout).into_owned()
    }

    /// One of tmux's variables.
    fn value(&self, name: &str) -> String {
        let told = self.tmux(&["display-message", "-p", &format!("#{{{name}}}")]);
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    }

    /// Waits until the screen shows all of this.
    #[track_caller]
    fn shows(&self, texts: &[&str]) {
        let is_shown = || {
            let screen = self.screen();
            texts.iter().all(|text| screen.contains(text))
        };
        let end = gnomon::clock::now() + e2e::PATIENCE;
        while !is_shown() {
            assert!(gnomon::clock::now() < end, "{texts:?} in vain:\n{}", self.screen());
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
    }

    /// Runs `gnomon top` of this proxy, in the shell.
    fn top(&self, shop: &Shop, more: &str) {
        let program = env!("CARGO_BIN_EXE_guest");
        let socket = shop.proxy.folder().join("admin.sock");
        self.write(&format!(
            "'{program}' top --socket '{}' {more}; echo ended $?",
            socket.display()
        ));
        self.press(&["Enter"]);
        self.shows(&["gnomon top", "1 overview"]);
        assert_eq!(self.value("alternate_on"), "1");
    }

    /// Waits until the shell has a sane terminal again, after `gnomon top` ended like this.
    #[track_caller]
    fn is_given_back(&self, ended: &str) {
        self.shows(&[ended]);
        eventually("the other screen is left", || self.value("alternate_on") == "0");
        assert_eq!(self.value("cursor_flag"), "1");
        self.write("stty -a | tr ' ' '\\n' | grep -cx -e icanon -e echo -e isig");
        self.press(&["Enter"]);
        self.shows(&["\n3\n"]);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
    }
}

#[test]
fn whoever_sits_at_it_sees_a_rollout_and_aborts_it() {
    on_each_driver(|driver| {
        let Some(terminal) = Terminal::open() else { return };
        let shop = Shop::begun(driver, LONG, "");
        let load = shop.load();
        shop.enters(1);
        load.go_on(100);
        terminal.top(&shop, "");
        terminal.shows(&["ROLLOUT shop", "step 1/2", "RPS ", "● running"]);
        terminal.press(&["2"]);
        terminal.shows(&["v1 (stable)", "v2 (canary)", "errors", "latency", "a abort", "[25%]"]);
        for (key, seen) in [
            ("3", "not as in the file"),
            ("4", "in use"),
            ("5", "serving"),
            ("6", "no shadow is configured"),
            ("7", "when (UTC)"),
            ("?", "go to the one beside"),
        ] {
            terminal.press(&[key]);
            terminal.shows(&[seen]);
        }
        terminal.press(&["Escape"]);
        terminal.shows(&["↵ details"]);
        terminal.press(&["2"]);
        // A question that is not answered does nothing.
        terminal.press(&["a"]);
        terminal.shows(&[
            "Abort the rollout shop?",
            "Everybody goes to shop@v1 at once",
            "reason:",
        ]);
        terminal.press(&["Escape"]);
        terminal.shows(&["nothing was done"]);
        assert_eq!(shop.now().state.phase.name(), "running");
        terminal.press(&["a"]);
        terminal.shows(&["reason:"]);
        terminal.write("qa found a bug");
        terminal.shows(&["reason: qa found a bug"]);
        terminal.press(&["Enter"]);
        let record = shop.reaches(Phase::Aborted);
        assert!(record.event.why.contains("qa found a bug"), "{:?}", record.event);
        assert!(record.event.by.starts_with("uid "), "{:?}", record.event);
        eventually("everybody is on stable", || shop.now().in_force == 0.0);
        terminal.shows(&["▼ aborted"]);
        terminal.press(&["q"]);
        terminal.is_given_back("ended 0");
        assert_eq!(load.end().1, 0);
    });
}

#[test]
fn whoever_may_only_look_is_offered_nothing() {
    let Some(terminal) = Terminal::open() else { return };
    let shop = Shop::begun(Driver::Epoll, LONG, "");
    shop.enters(1);
    let before = shop.record().len();
    terminal.top(&shop, "--read-only --pane rollouts");
    terminal.shows(&["ROLLOUT shop", "read only", "q quit"]);
    assert!(!terminal.screen().contains("abort"), "{}", terminal.screen());
    for key in ["a", "p", "A", "Space", "b"] {
        terminal.press(&[key]);
    }
    terminal.press(&["Enter"]);
    terminal.shows(&["Esc back"]);
    assert!(!terminal.screen().contains("reason:"), "{}", terminal.screen());
    assert_eq!(shop.record().len(), before);
    terminal.press(&["C-c"]);
    terminal.is_given_back("ended 0");
}

#[test]
fn the_terminal_is_given_back_and_taken_again() {
    let Some(terminal) = Terminal::open() else { return };
    let shop = Shop::open(Driver::Epoll, LONG, "");
    terminal.top(&shop, "--pane cores");
    terminal.shows(&["how full", "serving"]);
    // Ctrl-Z, and back.
    terminal.press(&["C-z"]);
    eventually("the other screen is left", || terminal.value("alternate_on") == "0");
    terminal.write("fg; echo ended $?");
    terminal.press(&["Enter"]);
    eventually("it draws again", || terminal.value("alternate_on") == "1");
    terminal.shows(&["how full", "serving"]);
    // Whatever the size.
    for (columns, rows, seen) in
        [("40", "10", "5 cores"), ("30", "8", "too small"), ("160", "50", "driver")]
    {
        terminal.tmux(&["resize-window", "-x", columns, "-y", rows]);
        terminal.shows(&[seen]);
    }
    // A proxy that is gone is told of; the keys work all the same.
    let Shop { proxy, stable, canary } = shop;
    drop(proxy);
    terminal.shows(&["no answer since"]);
    terminal.press(&["1"]);
    terminal.shows(&["no answer since", "1 overview", "rps"]);
    drop((stable, canary));
    // A signal ends it as well as a key does.
    let shell = terminal.value("pane_pid");
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
    let children = children.expect("the shell lives");
    let child = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
    let child = child.and_then(Pid::from_raw).expect("it runs");
    kill_process(child, Signal::TERM).expect("it is ours");
    terminal.is_given_back("ended 0");
}

#[test]
fn a_snapshot_needs_no_terminal() {
    let shop = Shop::begun(Driver::Epoll, LONG, "");
    shop.enters(1);
    let socket = shop.proxy.folder().join("admin.sock");
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guest"));
        command.args(["top", "--socket"]).arg(&socket).args(more).env("LC_ALL", "C");
        command.output().expect("it is built")
    };
    let all = run(&["--snapshot", "1", "--size", "120x40"]);
    let text = String::from_utf8(all.stdout.clone()).expect("it is text");
    assert!(all.status.success() && text.is_ascii(), "{text}");
    for seen in ["overview", "rollouts", "upstreams", "endpoints", "cores", "shadows", "events"] {
        assert!(text.contains(&format!("frame 1 of 1: {seen} --")), "{text}");
    }
    assert!(text.contains("ROLLOUT shop") && text.contains("v2 (canary)"), "{text}");
    assert_eq!(text.lines().count(), 7 * 41, "{text}");
    assert!(text.lines().all(|line| line.len() <= 120 && !line.contains('\u{1b}')), "{text}");
    let one = run(&["--snapshot", "2", "--pane", "cores", "--interval", "200ms"]);
    let text = String::from_utf8_lossy(&one.stdout).into_owned();
    assert_eq!(text.matches("how full").count(), 2, "{text}");
    // Without a terminal, and without a proxy, it says what to do.
    let none = run(&[]);
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    assert!(String::from_utf8_lossy(&none.stderr).contains("--snapshot"), "{none:?}");
    drop(shop);
    assert_eq!(run(&["--snapshot", "1"]).status.code(), Some(3));
}
