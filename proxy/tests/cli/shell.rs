//! What shells and editors have of the program: formatting, the machine's health, pages, completions.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{AT_ONCE, BAD, Folder, Proxy, Told, gnomon, run, sample};

const UNTIDY: &str = "# mine\nlisten=\"127.0.0.1:0\"   \n\n\n[route.a]\n\nrespond = {status=200}\n";
const TIDY: &str = "# mine\nlisten = \"127.0.0.1:0\"\n\n[route.a]\nrespond = { status = 200 }\n";

#[test]
fn a_file_is_formatted_in_place_and_told() {
    let folder = Folder::new();
    let file = folder.write("a.toml", UNTIDY);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let told = run(&["fmt", "--check", &file]).is(1);
    assert_eq!(told.data, format!("{file}\n"));
    let told = run(&["fmt", "--diff", &file]).is(1);
    for part in ["--- ", "@@ -1,7 +1,5 @@", "-listen=\"127.0.0.1:0\"   \n", "+respond = { status"] {
        assert!(told.data.contains(part), "{part}: {told:?}");
    }
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        UNTIDY,
        "nothing is written until it is asked for"
    );
    let told = run(&["fmt", &file]).is(0);
    assert!(
        told.data.is_empty() && told.messages.contains("formatted, 2 lines changed"),
        "{told:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), TIDY);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(run(&["fmt", &file]).is(0).messages.contains("as it should be"));
    run(&["fmt", "--check", &file, &sample()]).is(0);
    let told = run(&["fmt", "--check", "--json", &file]).is(0).json();
    assert_eq!(told, json!([{ "file": file, "changed": false }]));
}

#[test]
fn what_is_no_toml_is_refused_untouched_and_stdin_goes_to_stdout() {
    let folder = Folder::new();
    let (broken, good) = (folder.write("b.toml", "listen = \n[[["), folder.write("g.toml", UNTIDY));
    let told = run(&["fmt", &broken, &good]).is(78);
    assert!(
        told.messages.contains("error[G002]") && told.messages.contains("b.toml:1:"),
        "{told:?}"
    );
    assert_eq!(fs::read_to_string(&broken).unwrap(), "listen = \n[[[");
    assert_eq!(fs::read_to_string(&good).unwrap(), TIDY, "the others are not its fault");
    let told = run(&["fmt", "/nonexistent/gnomon.toml"]).is(78);
    assert!(told.messages.contains("error[G001]"), "{told:?}");
    // What means nothing is a matter of `check`.
    run(&["fmt", "--check", &folder.write("m.toml", BAD)]).is(0);
    let piped = |arguments: &[&str], text: &str| {
        let mut command = gnomon(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        Told::of(&child.wait_with_output().unwrap())
    };
    assert_eq!(piped(&["fmt", "-"], UNTIDY).is(0).data, TIDY);
    assert_eq!(piped(&["fmt", "--check", "-"], UNTIDY).is(1).data, "<stdin>\n");
    let told = piped(&["fmt", "-"], "a = ").is(78);
    assert!(told.data.is_empty() && told.messages.contains("<stdin>:1:"), "{told:?}");
}

#[test]
fn the_doctor_tells_what_it_read_and_what_would_help() {
    let folder = Folder::new();
    let put = |path: &str, text: &str| {
        let path = folder.0.join("host").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("proc/sys/kernel/osrelease", "6.1.0");
    put("proc/sys/net/core/somaxconn", "128");
    let root = folder.0.join("host").display().to_string();
    let told = run(&["doctor", "--root", &root, "-c", &sample()]).is(0).data;
    assert!(told.contains("fix: sysctl -w net.core.somaxconn=65535"), "{told}");
    assert!(told.contains("not known"), "{told}");
    put("proc/sys/net/netfilter/nf_conntrack_max", "1000");
    put("proc/sys/net/netfilter/nf_conntrack_count", "999");
    let told = run(&["doctor", "--root", &root, "-c", &sample(), "--json"]).is(1).json();
    let table = told.as_array().unwrap().iter().find(|it| it["name"] == "nf_conntrack").unwrap();
    assert_eq!(table["level"], "problem");
    assert!(table["fix"].as_str().unwrap().contains("nf_conntrack_max=2000"), "{table}");
    // This machine, whatever it is, is looked at to the end.
    let here = run(&["doctor", "--json", "-c", &sample()]);
    assert!(matches!(here.code, 0 | 1) && here.json().as_array().unwrap().len() >= 20, "{here:?}");
    run(&["doctor", "-c", "/nonexistent/gnomon.toml"]).is(78);
}

#[test]
fn every_command_has_a_page() {
    let folder = Folder::new();
    let pages = folder.0.join("man");
    let told = run(&["man", &pages.display().to_string()]).is(0);
    let names: Vec<&str> = told.data.lines().filter_map(|it| it.rsplit('/').next()).collect();
    for name in ["gnomon.1", "gnomon-fmt.1", "gnomon-rollout-abort.1", "gnomon.toml.5"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let Ok(lint) =
        Command::new("mandoc").arg("-Tlint").arg("-Wwarning").args(told.data.lines()).output()
    else {
        return;
    };
    let complaints = String::from_utf8_lossy(&lint.stdout).into_owned();
    // A date would make two builds of one version differ; and lists of words have a space too many.
    let real = |line: &&str| !line.contains("missing date") && !line.contains("paragraph macro");
    assert_eq!(complaints.lines().filter(real).collect::<Vec<_>>(), Vec::<&str>::new());
}

/// What bash would offer at the end of `line`, where `last` is what it takes for the word begun.
fn offered(proxy: &Proxy, line: &str, last: &str) -> Vec<String> {
    let program = Path::new(env!("CARGO_BIN_EXE_gnomon"));
    let script = "source <(gnomon completions bash)
        COMP_LINE=$1 COMP_POINT=${#1}
        read -ra COMP_WORDS <<< \"$1\"; [[ $1 == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        handler=$(complete -p gnomon); handler=${handler##*-F }; handler=${handler%% *}
        $handler gnomon \"$2\" \"${COMP_WORDS[COMP_CWORD-1]}\"
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut path = program.parent().unwrap().as_os_str().to_owned();
    path.push(":/usr/bin:/bin");
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", script, "bash", line, last]).stdin(Stdio::null());
    command.env("PATH", path).env("GNOMON_SOCKET", &proxy.socket);
    let told = Told::of(&command.output().unwrap());
    assert_eq!(told.messages, "", "nothing is said beside the names: {told:?}");
    told.data.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_the_names_of_the_running_proxy() {
    let proxy = Proxy::start("hello", AT_ONCE);
    assert_eq!(offered(&proxy, "gnomon freeze ", ""), ["shop"]);
    assert_eq!(offered(&proxy, "gnomon freeze sh", "sh"), ["shop"]);
    assert_eq!(offered(&proxy, "gnomon drain ", ""), ["shop@v1", "shop@v2"]);
    // Of `shop@v`, bash takes `@v` for the word; of `--route=s`, the `s`.
    assert_eq!(offered(&proxy, "gnomon drain shop@v", "@v"), ["@v1", "@v2"]);
    assert_eq!(offered(&proxy, "gnomon record --route=s", "s"), ["shop"]);
    assert_eq!(offered(&proxy, "gnomon weight shop v", "v"), ["v1=", "v2="]);
    assert_eq!(offered(&proxy, "gnomon golden ", ""), ["shop", "hello"]);
    assert!(offered(&proxy, "gnomon fr", "fr").contains(&"freeze".to_owned()));
    assert_eq!(offered(&proxy, "gnomon freeze --sock", "--sock"), ["--socket"]);
    let nobody = offered(&proxy, "gnomon --socket /nonexistent freeze ", "");
    assert!(!nobody.contains(&"shop".to_owned()), "{nobody:?}");
}

#[test]
fn other_shells_take_their_scripts() {
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let script = run(&["completions", shell]).is(0).data;
        let mut command = Command::new(shell);
        command.arg(check).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else { continue };
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let told = Told::of(&child.wait_with_output().unwrap()).is(0);
        assert_eq!(told.messages, "", "{shell}");
    }
}
