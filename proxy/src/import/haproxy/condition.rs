//! `acl` and `if`: conditions as matches of routes.

use super::{
    super::{
        ledger::Id,
        values::{self, Path},
    },
    Line, Section,
};

/// What must hold: matches of a route, all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    /// Key and TOML.
    pub(super) matches: Vec<(String, String)>,
    /// The lines it comes from.
    pub(super) from: Vec<Id>,
}

/// Most routes that one rule becomes.
const ALTERNATIVES_MAX: usize = 64;

/// The alternatives that `if …` or `unless …` stands for; a route for each.
///
/// # Errors
///
/// Why it cannot be said with matches of routes.
pub(super) fn alternatives(section: &Section, words: &[String]) -> Result<Vec<Condition>, String> {
    let [first, rest @ ..] = words else { return Ok(vec![Condition::default()]) };
    match first.as_str() {
        "if" => {}
        "unless" => {
            return Err("routes have no `not`: write the route for what is meant".to_owned());
        }
        other => return Err(format!("`{other}` is not understood here")),
    }
    let mut all = Vec::new();
    for words in rest.split(|it| it == "or" || it == "||") {
        let mut made = vec![Condition::default()];
        for (negated, tests, from) in terms(section, words)? {
            if negated {
                return Err("routes have no `not`: write the route for what is meant".to_owned());
            }
            let mut next = Vec::new();
            for condition in &made {
                for (matches, id) in &tests {
                    let mut condition = condition.clone();
                    condition.add(matches)?;
                    condition.from.extend(from.iter().copied().chain(*id));
                    next.push(condition);
                }
            }
            made = next;
            if made.len() > ALTERNATIVES_MAX {
                return Err("it has too many alternatives".to_owned());
            }
        }
        all.extend(made);
    }
    Ok(all)
}

type Tests = Vec<(Vec<(String, String)>, Option<Id>)>;

/// The names and `{ … }` of a condition, each with the tests of which any may hold.
fn terms(section: &Section, words: &[String]) -> Result<Vec<(bool, Tests, Vec<Id>)>, String> {
    let mut all = Vec::new();
    let mut words = words.iter();
    let mut negated = false;
    while let Some(word) = words.next() {
        if word == "!" {
            negated = !negated;
            continue;
        }
        let (not, word) = word.strip_prefix('!').map_or((false, word.as_str()), |it| (true, it));
        let negated_here = std::mem::take(&mut negated) != not;
        if word == "{" {
            let inner: Vec<String> = words.by_ref().take_while(|it| *it != "}").cloned().collect();
            all.push((negated_here, vec![(test(&inner)?, None)], Vec::new()));
            continue;
        }
        if matches!(word, "TRUE" | "HTTP") {
            continue;
        }
        let lines: Vec<&Line> = section.all(&["acl"]).filter(|line| line.word(1) == word).collect();
        if lines.is_empty() {
            return Err(format!("`{word}` is not defined in this section"));
        }
        let tests: Result<Tests, String> =
            lines.iter().map(|line| Ok((test(line.from(2))?, Some(line.id)))).collect();
        all.push((negated_here, tests?, Vec::new()));
    }
    Ok(all)
}

impl Condition {
    fn add(&mut self, matches: &[(String, String)]) -> Result<(), String> {
        for (key, value) in matches {
            let group =
                |key: &str| if key.starts_with("match.path") { "path" } else { key }.to_owned();
            if self.matches.iter().any(|(other, _)| group(other) == group(key)) {
                return Err("two conditions on the same thing: a route has one".to_owned());
            }
            self.matches.push((key.clone(), value.clone()));
        }
        Ok(())
    }
}

/// `path_beg -i /api /v2`, as a match.
fn test(words: &[String]) -> Result<Vec<(String, String)>, String> {
    let Some((fetch, rest)) = words.split_first() else { return Err("it is empty".to_owned()) };
    let mut insensitive = false;
    let mut method = "";
    let mut values: Vec<String> = Vec::new();
    let mut rest = rest.iter().peekable();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-i" => insensitive = true,
            "-m" => method = rest.next().map_or("", String::as_str),
            "--" | "eq" => {}
            "-f" => return Err("values in a file of their own cannot be carried over".to_owned()),
            other => values.push(other.to_owned()),
        }
    }
    let (fetch, converters) = fetch.split_once(',').unwrap_or((fetch, ""));
    if !matches!(converters, "" | "lower" | "field(1,:)" | "host_only" | "lower,field(1,:)") {
        return Err(format!("`{converters}` has no equal in a route's match"));
    }
    let (name, argument) = match fetch.split_once('(') {
        Some((name, rest)) => (name, rest.trim_end_matches(')')),
        None => (fetch, ""),
    };
    // `path_beg` is `path -m beg`.
    let (name, method) = match name.rsplit_once('_') {
        Some((base, ending)) if METHODS.contains(&ending) && method.is_empty() => (base, ending),
        _ => (name, method),
    };
    known(name, argument, method, insensitive, &values)
}

const METHODS: [&str; 7] = ["beg", "end", "sub", "dir", "reg", "dom", "str"];

fn known(
    name: &str,
    argument: &str,
    method: &str,
    insensitive: bool,
    values: &[String],
) -> Result<Vec<(String, String)>, String> {
    let one = |key: &str, value: String| Ok(vec![(key.to_owned(), value)]);
    let argument = argument.split(',').next().unwrap_or_default().to_ascii_lowercase();
    match (name, argument.as_str()) {
        ("path" | "url" | "capture.req.uri" | "pathq", _) => path(method, insensitive, values),
        ("method" | "meth", _) => {
            let upper: Vec<String> = values.iter().map(|it| it.to_ascii_uppercase()).collect();
            one("match.method", values::texts(&upper))
        }
        ("src", _) => one("match.client", values::texts(values)),
        ("hdr" | "req.hdr" | "req.fhdr" | "hdr_host", "host") => host(method, values),
        ("ssl_fc_sni" | "req.ssl_sni" | "req_ssl_sni", _) => host(method, values),
        ("hdr" | "req.hdr" | "req.fhdr", field) if !field.is_empty() => one(
            &format!("match.header.{}", values::key(field)),
            condition(method, insensitive, values)?,
        ),
        ("req.cook" | "cook", cookie) if !cookie.is_empty() => one(
            &format!("match.cookie.{}", values::key(cookie)),
            condition(method, insensitive, values)?,
        ),
        ("urlp" | "url_param" | "req.url_param", query) if !query.is_empty() => one(
            &format!("match.query.{}", values::key(query)),
            condition(method, insensitive, values)?,
        ),
        _ => Err(format!("`{name}` has no equal in a route's match")),
    }
}

fn path(
    method: &str,
    insensitive: bool,
    values: &[String],
) -> Result<Vec<(String, String)>, String> {
    let one = match (method, values) {
        ("" | "str", [value]) if !insensitive => Path::Exact(value.clone()),
        ("beg", [value]) if !insensitive => Path::beginning(value),
        _ => Path::Regex(pattern(method, insensitive, values)?),
    };
    let condition = one.condition().into_iter();
    Ok(condition.map(|(key, value)| (key.to_owned(), value)).collect())
}

fn host(method: &str, values: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut hosts = Vec::new();
    for value in values {
        let value = value.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match method {
            "" | "str" => hosts.push(value),
            "end" if value.starts_with('.') => hosts.push(format!("*{value}")),
            "dom" if value.contains('.') => hosts.extend([value.clone(), format!("*.{value}")]),
            "beg" if value.ends_with('.') => {
                let regex = format!("(?i)^{}", values::escaped(&value));
                let value = format!("{{ regex = {} }}", values::text(&regex));
                return Ok(vec![("match.header.host".to_owned(), value)]);
            }
            _ => {
                return Err(format!(
                    "a host is a name, or `*.` and a name, and `{method}` is neither"
                ));
            }
        }
    }
    Ok(vec![("match.host".to_owned(), values::texts(&hosts))])
}

fn condition(method: &str, insensitive: bool, values: &[String]) -> Result<String, String> {
    match method {
        "found" => Ok("{ present = true }".to_owned()),
        "" | "str" if !insensitive && !values.is_empty() => Ok(values::texts(values)),
        _ => {
            let regex = pattern(method, insensitive, values)?;
            let anchored = if method == "reg" { regex } else { format!("^(?:{regex})$") };
            Ok(format!("{{ regex = {} }}", values::text(&anchored)))
        }
    }
}

/// A pattern for the whole text.
fn pattern(method: &str, insensitive: bool, all: &[String]) -> Result<String, String> {
    let mut patterns = Vec::new();
    for value in all {
        let plain = values::escaped(value);
        patterns.push(match method {
            "" | "str" => plain,
            "beg" => format!("{plain}.*"),
            "end" => format!(".*{plain}"),
            "sub" => format!(".*{plain}.*"),
            "dir" => format!("(?:.*/)?{}(?:/.*)?", values::escaped(value.trim_matches('/'))),
            "reg" => match Path::regex(value) {
                Path::Regex(regex) => regex,
                Path::Any | Path::Exact(_) | Path::Prefix(_) => value.clone(),
            },
            other => return Err(format!("`-m {other}` has no equal in a route's match")),
        });
    }
    let flag = if insensitive { "(?i)" } else { "" };
    match patterns.as_slice() {
        [] => Err("it names no value".to_owned()),
        [one] => Ok(format!("{flag}{one}")),
        more => Ok(format!("{flag}(?:{})", more.join("|"))),
    }
}
