//! A router's rule: `Host(`a`) && (PathPrefix(`/x`) || Path(`/y`))` as alternatives of matches.

use super::super::values::{self, Path};

/// Most routes that one rule becomes.
const ALTERNATIVES_MAX: usize = 64;
/// How deep parentheses may lie in each other.
const DEPTH_MAX: usize = 32;

/// Matches of a route, key and TOML; all must hold.
pub(super) type Matches = Vec<(String, String)>;

/// The alternatives that a rule stands for; a route for each.
///
/// # Errors
///
/// Why it cannot be said with matches of routes.
pub(super) fn alternatives(rule: &str) -> Result<Vec<Matches>, String> {
    if rule.contains("{{") {
        return Err("templates are not filled in: write what they stand for".to_owned());
    }
    let mut parser = Parser { rest: rule.trim(), depth: 0 };
    let all = parser.either()?;
    if !parser.rest.is_empty() {
        return Err(format!("the rule is not understood from `{}` on", parser.rest));
    }
    Ok(all)
}

struct Parser<'r> {
    rest: &'r str,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, sign: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(sign) else { return false };
        self.rest = rest.trim_start();
        true
    }

    fn either(&mut self) -> Result<Vec<Matches>, String> {
        let mut all = self.both()?;
        while self.take("||") {
            all.extend(self.both()?);
            bounded(&all)?;
        }
        Ok(all)
    }

    fn both(&mut self) -> Result<Vec<Matches>, String> {
        let mut all = self.one()?;
        while self.take("&&") {
            let more = self.one()?;
            let mut joined = Vec::new();
            for one in &all {
                for other in &more {
                    joined.push(merged(one, other)?);
                }
            }
            bounded(&joined)?;
            all = joined;
        }
        Ok(all)
    }

    fn one(&mut self) -> Result<Vec<Matches>, String> {
        if self.take("!") {
            return Err("routes have no `not`: write the route for what is meant".to_owned());
        }
        if self.take("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err("its parentheses lie too deep".to_owned());
            }
            let all = self.either()?;
            self.depth -= 1;
            if !self.take(")") {
                return Err("a `)` is missing".to_owned());
            }
            return Ok(all);
        }
        let end = self.rest.find(|it: char| !it.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let name = self.rest[..end].to_owned();
        self.rest = self.rest[end..].trim_start();
        if name.is_empty() || !self.take("(") {
            return Err("it is no rule".to_owned());
        }
        let mut arguments = Vec::new();
        while !self.take(")") {
            arguments.push(self.argument()?);
            self.take(",");
        }
        matcher(&name, &arguments)
    }

    fn argument(&mut self) -> Result<String, String> {
        let quote = self.rest.chars().next().filter(|it| matches!(it, '`' | '"' | '\''));
        let Some(quote) = quote else { return Err("a quoted text is missing".to_owned()) };
        let Some((text, rest)) = self.rest[1..].split_once(quote) else {
            return Err("a quoted text does not end".to_owned());
        };
        self.rest = rest.trim_start();
        Ok(text.to_owned())
    }
}

fn bounded(all: &[Matches]) -> Result<(), String> {
    if all.len() > ALTERNATIVES_MAX {
        return Err("it has too many alternatives".to_owned());
    }
    Ok(())
}

fn merged(one: &Matches, other: &Matches) -> Result<Matches, String> {
    let group = |key: &str| if key.starts_with("match.path") { "path" } else { key }.to_owned();
    if one.iter().any(|(a, _)| other.iter().any(|(b, _)| group(a) == group(b))) {
        return Err("two conditions on the same thing: a route has one".to_owned());
    }
    Ok(one.iter().chain(other).cloned().collect())
}

fn matcher(name: &str, arguments: &[String]) -> Result<Vec<Matches>, String> {
    let one = |key: &str, value: String| Ok(vec![vec![(key.to_owned(), value)]]);
    let each = |path: fn(&str) -> Path| {
        let all = arguments.iter().map(|it| {
            let condition = path(it).condition();
            condition.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
        });
        Ok(all.collect())
    };
    // Version 2 has variables in braces where version 3 has regular expressions.
    if arguments.iter().any(|it| it.contains('{')) && !name.ends_with("Regexp") {
        return Err("variables in paths: write `path_regex`".to_owned());
    }
    match (name, arguments) {
        ("Host", [_, ..]) => one("match.host", values::texts(arguments)),
        ("HostRegexp", [pattern]) => host(pattern),
        ("PathPrefix", [_, ..]) => each(Path::beginning),
        ("Path", [_, ..]) => each(|path| Path::Exact(path.to_owned())),
        ("PathRegexp", [_]) => each(Path::regex),
        ("Method", [_, ..]) => one("match.method", values::texts(arguments)),
        ("ClientIP", [_, ..]) => one("match.client", values::texts(arguments)),
        ("Header" | "Headers", [name, value]) => one(
            &format!("match.header.{}", values::key(&name.to_ascii_lowercase())),
            values::text(value),
        ),
        ("HeaderRegexp" | "HeadersRegexp", [name, regex]) => one(
            &format!("match.header.{}", values::key(&name.to_ascii_lowercase())),
            format!("{{ regex = {} }}", values::text(regex)),
        ),
        ("Query", [name, value]) => {
            one(&format!("match.query.{}", values::key(name)), values::text(value))
        }
        ("Query", [pair]) => match pair.split_once('=') {
            Some((name, value)) => {
                one(&format!("match.query.{}", values::key(name)), values::text(value))
            }
            None => {
                one(&format!("match.query.{}", values::key(pair)), "{ present = true }".to_owned())
            }
        },
        _ => Err(format!("`{name}` has no equal in a route's match")),
    }
}

/// `^.+\.example\.com$` and `{sub:[a-z]+}.example.com` are `*.example.com`.
fn host(pattern: &str) -> Result<Vec<Matches>, String> {
    let below = pattern
        .strip_prefix("^.+\\.")
        .and_then(|it| it.strip_suffix('$'))
        .map(|it| it.replace("\\.", "."))
        .or_else(|| {
            pattern
                .strip_prefix('{')
                .and_then(|it| it.split_once("}."))
                .map(|(_, it)| it.to_owned())
        });
    match below {
        Some(below) if !below.contains(['{', '\\', '(', '[', '*', '+']) => {
            Ok(vec![vec![("match.host".to_owned(), values::text(&format!("*.{below}")))]])
        }
        Some(_) | None => Err("a host is a name, or `*.` and a name".to_owned()),
    }
}
