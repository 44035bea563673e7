//! Completion scripts, made from the same arguments that are parsed.
//!
//! What words there are stands in the script. What the running proxy's things are called (upstreams,
//! routes, flags) it is asked while somebody types: the script calls `gnomon __complete`.

mod names;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::arguments::Arguments;

pub(super) use names::{ASKED, answer};

/// The script for `shell`.
pub(super) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "gnomon", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => {
            let script = script.replace("complete -F _gnomon ", "complete -F _gnomon_or_names ");
            before(&script, "\nif [[ \"${BASH_VERSINFO[0]}\" -eq 4", BASH)
        }
        Shell::Zsh => {
            let script = script.replacen("\n_gnomon() {\n", "\n_gnomon_words() {\n", 1);
            before(&script, "\nif [ \"$funcstack[1]\" = \"_gnomon\" ]; then", ZSH)
        }
        Shell::Fish => script + FISH,
        // Of other shells, the words.
        Shell::Elvish | Shell::PowerShell | _ => script,
    }
}

/// `text` with `more` before the last place where `mark` stands; without one, at the end.
fn before(text: &str, mark: &str, more: &str) -> String {
    let (head, tail) = text.split_at(text.rfind(mark).unwrap_or(text.len()));
    format!("{head}{more}{tail}")
}

/// bash takes words apart at `=`, `@` and `:`, and puts in what follows the last of them.
const BASH: &str = r#"
_gnomon_or_names() {
    local line="${COMP_LINE:0:COMP_POINT}" word head names name
    local -a words
    read -ra words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    names="$("$1" __complete "${words[@]}" 2>/dev/null)"
    if [[ -z "$names" ]]; then
        _gnomon "$@"
        return
    fi
    word="${words[${#words[@]}-1]}"
    head="${word%"$2"}"
    COMPREPLY=()
    while IFS= read -r name; do
        COMPREPLY+=("${name#"$head"}")
    done <<< "$names"
    [[ "$names" == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
"#;

const ZSH: &str = r#"
_gnomon() {
    local -a names
    names=(${(f)"$("${(Q)words[1]}" __complete "${(@)words[1,CURRENT]}" 2>/dev/null)"})
    if (( ! $#names )); then
        _gnomon_words "$@"
    elif [[ "$names[1]" == *= ]]; then
        compadd -S '' -a names
    else
        compadd -a names
    fi
}
"#;

const FISH: &str = r#"
function __fish_gnomon_names
    set -l words (commandline -opc)
    command $words[1] __complete $words (commandline -ct) 2>/dev/null
end

complete -c gnomon -n "count (__fish_gnomon_names) >/dev/null" -f -a "(__fish_gnomon_names)"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_asks_for_names_and_knows_the_words() {
        for (shell, part) in [
            (Shell::Bash, "complete -F _gnomon_or_names -o"),
            (Shell::Zsh, "_gnomon_words() {"),
            (Shell::Fish, "-a \"(__fish_gnomon_names)\""),
        ] {
            let script = script(shell);
            assert!(script.contains(part), "{shell}");
            assert_eq!(script.matches("__complete").count(), 1, "{shell}");
            assert!(script.contains("stop-the-line"), "{shell}");
            assert!(!script.contains("complete -F _gnomon -o"), "{shell}");
        }
        // An autoloaded file ends with what runs it.
        let zsh = script(Shell::Zsh);
        assert!(zsh.find(ZSH).unwrap() < zsh.find("if [ \"$funcstack[1]\"").unwrap());
    }
}
