//! callgrind: how it is called, and what it says.

use std::{
    collections::BTreeMap,
    fs,
    ops::AddAssign,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// All of them.
    pub(crate) all: u64,
    /// Those of our binary; the rest is the C library's: copying, comparing, allocating.
    pub(crate) own: u64,
}

impl Count {
    /// The share of one run, to the nearest instruction.
    pub(crate) fn each(self, runs: u32) -> Self {
        let runs = u64::from(runs.max(1));
        let each = |count: u64| (count + runs / 2) / runs;
        Self { all: each(self.all), own: each(self.own) }
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.own += other.own;
    }
}

/// The function within which instructions are counted, as callgrind's patterns have it.
pub(crate) const PLACE: &str = "micro::counted*";

/// Where valgrind is.
pub(crate) fn find() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join("valgrind"))
        .find(|path| path.is_file())
}

/// Runs a case of `program` and counts. What callgrind wrote stays in `folder`.
pub(crate) fn count(
    valgrind: &Path,
    program: &Path,
    case: &str,
    folder: &Path,
) -> Result<Count, String> {
    let file = folder.join(format!("{}.out", case.replace('/', "-")));
    let mut command = Command::new(valgrind);
    // The environment and the program's path lie on its stack and in its heap, and would move what
    // comes after them: it gets neither.
    command.env_clear().env("GLIBC_TUNABLES", TUNABLES).stdin(Stdio::null());
    command.current_dir(program.parent().unwrap_or_else(|| Path::new("/")));
    command.args(["--tool=callgrind", "--command-line-only=yes", "--quiet"]);
    command.args(["--collect-atstart=no", &format!("--toggle-collect={PLACE}")]);
    command.arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(Path::new(".").join(program.file_name().unwrap_or_default()));
    command.args(["--guest", case]);
    let output = command.output().map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{case}: valgrind failed ({}): {}", output.status, said.trim()));
    }
    let text = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    read(&String::from_utf8_lossy(&text), &program.to_string_lossy())
        .ok_or_else(|| format!("{case}: nothing was counted: {}", file.display()))
}

/// The C library copies what is longer than 2 KiB with one instruction where the processor is said
/// to be good at it, and callgrind counts that one once a byte. With vectors it is as it was meant.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=1000000000";

/// The instructions in a file of callgrind's, those of the object `own` apart. `None` where there
/// are none, or it is no such file.
///
/// Costs stand in lines of a position and a number, below the object (`ob=`) they belong to. The
/// line below `calls=` repeats what is counted elsewhere: the cost of all that was called.
pub(crate) fn read(text: &str, own: &str) -> Option<Count> {
    let mut objects: BTreeMap<&str, bool> = BTreeMap::new();
    let mut is_own = false;
    let mut sum = Count::default();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("calls=") {
            lines.next();
        } else if let Some((key, name)) = line.split_once('=') {
            // A name stands behind its number where it occurs first, be it as the object of a
            // callee (`cob=`).
            if !matches!(key, "ob" | "cob") {
                continue;
            }
            let (number, name) = name.split_once(' ').unwrap_or((name, ""));
            if !name.is_empty() {
                objects.insert(number, name == own);
            }
            if key == "ob" {
                is_own = objects.get(number).copied().unwrap_or_default();
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let all = line.split(' ').nth(1).map_or(Some(0), |cost| cost.parse().ok())?;
            sum += Count { all, own: if is_own { all } else { 0 } };
        }
    }
    (sum.all > 0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# callgrind format
version: 1
cmd: /x/micro --guest a=b
positions: line
events: Ir
summary: 137

ob=(2) /x/micro
fl=(7) main.rs
fn=(14) micro::counted
81 20
cob=(5) /lib/libc.so.6
cfi=(9) memcpy.S
cfn=(20) memcpy
calls=3 120
+2 30
-1 7
fi=(8) other.rs
* 60
fe=(7)
4

ob=(5)
fl=(9)
fn=(20)
120 30
ob=(2)
fn=(14)
90 20
totals: 137
";

    #[test]
    fn costs_are_added_up_by_object_and_calls_left_out() {
        assert_eq!(read(FILE, "/x/micro"), Some(Count { all: 137, own: 107 }));
        assert_eq!(read(FILE, "/y/micro"), Some(Count { all: 137, own: 0 }));
    }

    #[test]
    fn a_file_without_counts_is_none() {
        assert_eq!(read("", "/x/micro"), None);
        assert_eq!(read("events: Ir\nfn=(1) a\n", "/x/micro"), None);
        assert_eq!(read("ob=(1) /x/micro\n7 many\n", "/x/micro"), None);
    }

    #[test]
    fn the_share_of_one_run_is_rounded() {
        let count = Count { all: 1_249, own: 1_250 };
        assert_eq!(count.each(100), Count { all: 12, own: 13 });
    }
}
