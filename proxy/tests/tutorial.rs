//! docs/TUTORIAL.md, done as it says: its files are written, its commands run, their output compared.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests as well")]
#![expect(
    clippy::disallowed_methods,
    reason = "no clock of the proxy's, and a person waits as well"
)]
#![expect(clippy::print_stderr, reason = "who skips a test is told why")]

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// What is to be done, in the order of the text.
enum Step {
    /// A file is written, or goes on.
    File { name: String, text: String, goes_on: bool },
    /// A command is given, and says this; `…` stands for whatever it likes.
    Command { line: String, output: Vec<String> },
}

/// The fenced blocks of `text`: in TOML, whose first line names the file, and of a console.
fn steps(text: &str) -> Vec<Step> {
    let mut all = Vec::new();
    for (place, block) in text.split("```").enumerate() {
        let Some((kind, block)) = block.split_once('\n').filter(|_| place % 2 == 1) else {
            continue;
        };
        match kind {
            "toml" => {
                let name = block.lines().next().and_then(|line| line.strip_prefix("# "));
                let name = name.expect("the first line names the file");
                let (name, rest) = name.split_once(',').unwrap_or((name, ""));
                let (name, goes_on) = (name.to_owned(), !rest.is_empty());
                all.push(Step::File { name, text: format!("\n{block}"), goes_on });
            }
            "console" => all.extend(commands(block)),
            other => panic!("a block of `{other}` is neither a file nor a console"),
        }
    }
    all
}

fn commands(block: &str) -> Vec<Step> {
    let mut all: Vec<Step> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), all.last_mut()) {
            (Some(line), _) => {
                all.push(Step::Command { line: line.to_owned(), output: Vec::new() });
            }
            (None, Some(Step::Command { output, .. })) => output.push(line.to_owned()),
            (None, _) => panic!("a console begins with a command, not with `{line}`"),
        }
    }
    all
}

/// A shell in a folder of its own, whose processes end with it.
struct Shell {
    folder: PathBuf,
    shell: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Shell {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("gnomon-tutorial-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_gnomon"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", program.parent().unwrap().display());
        let mut shell = Command::new("bash")
            .args(["--norc", "-c", "exec 2>&1; while IFS= read -r line; do eval \"$line\"; done"])
            .current_dir(&folder)
            .env("PATH", path)
            .env_remove("GNOMON_SOCKET")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let output = BufReader::new(shell.stdout.take().unwrap());
        let (teller, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if teller.send(line).is_err() {
                    return;
                }
            }
        });
        let input = shell.stdin.take().unwrap();
        Self { folder, shell, input, lines }
    }

    /// What a command says, line by line.
    fn run(&mut self, command: &str) -> Vec<String> {
        // A command in the background must not read what comes next.
        let command = command.strip_suffix('&').map_or_else(
            || format!("{{ {command}; }} </dev/null"),
            |command| format!("{command} </dev/null >/dev/null &"),
        );
        writeln!(self.input, "{command}\necho; echo {END}").unwrap();
        let mut said = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            match line.unwrap_or_else(|_| panic!("`{command}` does not end; so far: {said:#?}")) {
                line if line == END => break,
                line => said.push(line),
            }
        }
        while said.last().is_some_and(String::is_empty) {
            said.pop();
        }
        said
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = writeln!(self.input, "kill $(jobs -p) 2>/dev/null; exit");
        let _ = self.shell.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether `said` is what was announced: a line `…` stands for any lines, `…` in a line for any text.
fn is_as_told(told: &[String], said: &[String]) -> bool {
    match told {
        [] => said.is_empty(),
        [any, rest @ ..] if any.trim() == "…" => {
            (0..=said.len()).any(|skipped| is_as_told(rest, &said[skipped..]))
        }
        [line, rest @ ..] => said
            .split_first()
            .is_some_and(|(first, others)| is_like(line, first) && is_as_told(rest, others)),
    }
}

/// How wide a column is does not matter.
fn is_like(told: &str, said: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (told, said) = (words(told), words(said));
    let mut parts = told.split('…').map(str::trim);
    let Some(mut rest) = parts.next().and_then(|first| said.strip_prefix(first)) else {
        return false;
    };
    let mut is_open = false;
    for part in parts {
        is_open = part.is_empty();
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    is_open || rest.is_empty()
}

/// Commands that only look may have to look again: a copy is compared in its own time.
fn only_looks(command: &str) -> bool {
    ["golden", "diffs", "history", "status --ready", "curl -s http"]
        .iter()
        .any(|word| command.contains(word))
}

/// The ports of the text are free on a reader's machine; here others may have them.
fn with_free_ports(text: &str) -> String {
    let mut text = text.to_owned();
    let held: Vec<TcpListener> =
        (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for (port, listener) in ["8080", "9001", "9002"].iter().zip(&held) {
        let free = listener.local_addr().unwrap().port().to_string();
        text = text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"));
    }
    text
}

#[test]
fn the_tutorial_does_what_it_says() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl: skipped");
        return;
    }
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/TUTORIAL.md"));
    let text = with_free_ports(&text.unwrap());
    let mut shell = Shell::new();
    let mut told = String::new();
    for step in steps(&text) {
        match step {
            Step::File { name, text, goes_on } => {
                let path = shell.folder.join(name);
                let before =
                    if goes_on { fs::read_to_string(&path).unwrap() } else { String::new() };
                fs::write(path, before + &text).unwrap();
            }
            Step::Command { line, output } => {
                let begun = Instant::now();
                let mut said = shell.run(&line);
                while !is_as_told(&output, &said) && only_looks(&line) && begun.elapsed() < PATIENCE
                {
                    thread::sleep(Duration::from_millis(200));
                    said = shell.run(&line);
                }
                let _ = writeln!(told, "$ {line}\n{}", said.join("\n"));
                assert!(
                    is_as_told(&output, &said),
                    "`{line}` was to say\n{}\n\nall that happened:\n{told}",
                    output.join("\n")
                );
            }
        }
    }
}

#[test]
fn dots_stand_for_anything() {
    for (told, said, alike) in [
        ("a …", "a b c", true),
        ("a  …  c", "a b c", true),
        ("… c", "a b c", true),
        ("a … c", "a b d", false),
        ("a b", "a b c", false),
        ("a b c", "a   b c", true),
    ] {
        assert_eq!(is_like(told, said), alike, "{told} / {said}");
    }
}

/// Ends each command's output.
const END: &str = "-- the command has ended --";
/// For the slowest of them, the rollout, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(90);
