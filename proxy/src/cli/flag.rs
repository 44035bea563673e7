//! `gnomon flag`: who gets which feature, and what to do about it.

mod shown;

use std::net::IpAddr;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{Failure, arguments::pair, flag_compare, live::Door};
use crate::control::api::{
    Page,
    flag::{ChangeAsked, Flag, Flags, Record, Why, WhyAsked},
};

/// What to do with flags.
#[derive(Subcommand, Debug)]
pub(crate) enum FlagCommand {
    /// The flags, what each is for whom, and what is other than in the files
    List {
        /// Only those that may be taken out: unused, the same for everybody, or past their time
        #[arg(long)]
        stale: bool,
    },
    /// One flag in full
    Get {
        /// The flag
        name: String,
    },
    /// Change a flag beside its file: gnomon flag set new-cart percent=20 --reason "release 42"
    Set {
        /// The flag
        name: String,
        /// percent=20, the share of its rule that has one; default=on; enabled=false
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = pair)]
        changes: Vec<(String, String)>,
        #[command(flatten)]
        order: OrderArguments,
    },
    /// Turn a flag off for everybody, at once: applications use what is in their code
    Kill {
        /// The flag
        name: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
        /// Who, besides what the proxy knows of you
        #[arg(long, default_value = "")]
        by: String,
    },
    /// Turn a flag on again
    Revive {
        /// The flag
        name: String,
        #[command(flatten)]
        order: OrderArguments,
    },
    /// As the file says: forget what was changed beside it
    Reset {
        /// The flag
        name: String,
        #[command(flatten)]
        order: OrderArguments,
    },
    /// What flags come to for somebody, and why: gnomon flag why --user ann -H 'x-staff: 1'
    Why(WhyArguments),
    /// What a flag's variant did to requests, beside its default
    Compare {
        /// The flag
        name: String,
    },
    /// What was changed, who did it and why, newest first
    History {
        /// Only this flag
        name: Option<String>,
        /// So many at most
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Leave out so many at the beginning
        #[arg(long, default_value_t = 0)]
        offset: usize,
    },
}

/// Why, and who.
#[derive(Args, Debug)]
pub(crate) struct OrderArguments {
    /// Why, for the record
    #[arg(long, default_value = "")]
    reason: String,
    /// Who, besides what the proxy knows of you
    #[arg(long, default_value = "")]
    by: String,
}

/// For whom.
#[derive(Args, Debug)]
pub(crate) struct WhyArguments {
    /// Only this flag
    name: Option<String>,
    /// What tells the user apart; put where `flags.by` says
    #[arg(long, value_name = "KEY")]
    user: Option<String>,
    /// A field of the request, such as 'x-staff: 1'
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The request's URL, or /PATH?QUERY
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The request's method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// A claim, as if a token that says so had been verified; JSON or text
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    claim: Vec<(String, String)>,
    /// What an application would say, instead of a request; JSON or text
    #[arg(
        long,
        value_name = "NAME=VALUE",
        value_parser = pair,
        conflicts_with_all = ["headers", "url", "method", "client", "claim"]
    )]
    context: Vec<(String, String)>,
}

/// Does it.
pub(super) fn flag(door: &Door, command: FlagCommand) -> Result<(), Failure> {
    match command {
        FlagCommand::List { stale } => list(door, stale),
        FlagCommand::Get { name } => get(door, &name),
        FlagCommand::Set { name, changes, order } => {
            let body = ChangeAsked { reason: order.reason, by: order.by, ..changed(&changes)? };
            act(door, &name, "set", &body)
        }
        FlagCommand::Kill { name, reason, by } => {
            act(door, &name, "kill", &ChangeAsked { reason, by, ..ChangeAsked::default() })
        }
        FlagCommand::Revive { name, order } => act(door, &name, "revive", &order.into()),
        FlagCommand::Reset { name, order } => act(door, &name, "reset", &order.into()),
        FlagCommand::Why(it) => why(door, it),
        FlagCommand::Compare { name } => flag_compare::compare(door, &escaped(&name)),
        FlagCommand::History { name, limit, offset } => {
            let of = name.map_or_else(String::new, |name| format!("&flag={}", escaped(&name)));
            let path = format!("/v1/flag-history?limit={limit}&offset={offset}{of}");
            history(door, &path)
        }
    }
}

impl From<OrderArguments> for ChangeAsked {
    fn from(OrderArguments { reason, by }: OrderArguments) -> Self {
        Self { reason, by, ..Self::default() }
    }
}

fn list(door: &Door, stale: bool) -> Result<(), Failure> {
    let mut all: Flags = door.read("/v1/flags")?;
    if stale {
        all.flags.retain(|flag| !flag.remarks.is_empty());
    }
    if door.json {
        return door.console.json(&all);
    }
    if all.flags.is_empty() {
        door.console.hint(if stale {
            "none is stale"
        } else {
            "there are none: see config/sample/flags.toml"
        });
    }
    door.console.data(shown::all(&all, door.console.paint()))
}

fn get(door: &Door, name: &str) -> Result<(), Failure> {
    let flag: Flag = door.read(&path(name, "")?)?;
    if door.json {
        return door.console.json(&flag);
    }
    door.console.data(shown::one(&flag, door.console.paint()))?;
    if flag.drift.is_empty() {
        door.console.hint(format_args!("gnomon flag why {name} --user KEY"));
    } else {
        door.console.hint(format_args!("back to the file: gnomon flag reset {name}"));
    }
    Ok(())
}

fn act(door: &Door, name: &str, verb: &str, body: &ChangeAsked) -> Result<(), Failure> {
    let done = door.act(&path(name, &format!("/{verb}"))?, body)?;
    let next = match verb {
        "kill" => format!("gnomon flag revive {name}, to turn it on again"),
        "reset" => format!("gnomon flag get {name}"),
        _ => format!("gnomon flag get {name}; back to the file: gnomon flag reset {name}"),
    };
    door.tell(&done, &next)
}

fn why(door: &Door, arguments: WhyArguments) -> Result<(), Failure> {
    let WhyArguments { name, user, headers, url, method, client, claim, context } = arguments;
    let headers = headers.iter().map(|line| {
        let field = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let no_field = || Failure::usage(format!("`{line}` is no field"));
        let (name, value) = field.ok_or_else(|| no_field().help("say -H 'name: value'"))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let table = |pairs: Vec<(String, String)>| -> Option<Map<String, Value>> {
        (!pairs.is_empty())
            .then(|| pairs.into_iter().map(|(name, text)| (name, value(text))).collect())
    };
    let asked = WhyAsked {
        flag: name,
        method,
        url,
        headers: headers.collect::<Result<_, Failure>>()?,
        client,
        claims: table(claim),
        user,
        context: table(context),
        at: None,
    };
    let why: Why = door.ask("/v1/flags/why", &asked)?;
    if door.json {
        return door.console.json(&why);
    }
    door.console.data(shown::why(&why, door.console.paint()))
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

/// What is to be other.
fn changed(changes: &[(String, String)]) -> Result<ChangeAsked, Failure> {
    let mut asked = ChangeAsked::default();
    for (key, text) in changes {
        let wrong = |what: &str| Failure::usage(format!("`{key}={text}`: {what}"));
        let is_new = match key.as_str() {
            "percent" => {
                let percent = text.trim_end_matches('%').parse();
                let percent = percent.map_err(|_| wrong("say a number, as in percent=20"))?;
                asked.percent.replace(percent).is_none()
            }
            "default" => asked.default.replace(text.clone()).is_none(),
            "enabled" => {
                let enabled = text.parse().map_err(|_| wrong("say true or false"))?;
                asked.enabled.replace(enabled).is_none()
            }
            _ => {
                let help = "percent=20, default=on or enabled=false";
                return Err(Failure::usage(format!("`{key}` cannot be set")).help(help));
            }
        };
        if !is_new {
            return Err(Failure::usage(format!("`{key}` is said twice")));
        }
    }
    Ok(asked)
}

/// A value as JSON, or as the text that it is.
fn value(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn path(name: &str, rest: &str) -> Result<String, Failure> {
    if name.is_empty() {
        return Err(Failure::usage("which flag?").help("`gnomon flag list`"));
    }
    Ok(format!("/v1/flags/{}{rest}", escaped(name)))
}

/// A name as a part of a URL: those of a source may have any letters.
fn escaped(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_or_refused() {
        let read = |words: &[&str]| {
            let pairs: Vec<_> = words.iter().map(|word| pair(word).unwrap()).collect();
            changed(&pairs)
        };
        let asked = read(&["percent=20%", "default=on", "enabled=false"]).unwrap();
        assert_eq!((asked.percent, asked.enabled), (Some(20.0), Some(false)));
        assert_eq!(asked.default.as_deref(), Some("on"));
        for bad in
            [&["percent=x"][..], &["enabled=1"], &["colour=red"], &["percent=1", "percent=2"]]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_name_goes_into_a_url() {
        assert_eq!(escaped("new-cart_2"), "new-cart_2");
        assert_eq!(escaped("a/b.ü?"), "a%2Fb%2E%C3%BC%3F");
        assert_eq!(value("7".to_owned()), Value::from(7));
        assert_eq!(value("ann".to_owned()), Value::from("ann"));
    }
}
