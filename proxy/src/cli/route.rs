//! `gnomon route`: what would become of a request, told from a file alone or by a running proxy.

use std::sync::Arc;

use gnomon_policy::{Availability, Table};
use serde_json::Value as Json;

use super::{
    BAD_CONFIG, Console, FAILED, Failure, arguments::RouteArguments, live::Door, source, url,
};
use crate::{
    control::api::series::Routed,
    told::{self, Asked, Tables, Told, Untold},
};

/// Says which route takes the request, which version, and why.
pub(super) fn route(arguments: &RouteArguments, door: &Door) -> Result<(), Failure> {
    let console = door.console;
    let told =
        if arguments.running { running(arguments, door)? } else { from_file(arguments, console)? };
    if door.json {
        return console.json(&told.decision);
    }
    console.line(&told.line)?;
    if arguments.explain {
        console.data(format_args!("\n{}", told.reasons))?;
    } else {
        console.hint("the same with --explain, for the reasons");
    }
    Ok(())
}

fn from_file(arguments: &RouteArguments, console: Console) -> Result<Told, Failure> {
    let loaded = source::load_any(&arguments.source.config, &arguments.source.set)?
        .map_err(|problems| Failure::problems(&problems, console.message_colour()))?;
    let config = Arc::new(loaded.config);
    let table = Table::compile(config.clone(), &[])
        .map_err(|bad| Failure::new(BAD_CONFIG, format!("the configuration: {bad}")))?;
    let asked = Asked {
        method: arguments.method.clone(),
        url: arguments.url.clone(),
        headers: arguments.headers.clone(),
        client: arguments.client,
    };
    let available = Availability::of(&config);
    let tables = Tables { config: &config, table: &table, available: &available, flags: None };
    told::tell(&asked, tables).map_err(|untold| match untold {
        Untold::Unclear(error, help) => Failure::usage(error).help(help),
        Untold::Rejected(status, why) => {
            Failure::new(FAILED, format!("gnomon would refuse this request with {status}: {why}"))
        }
    })
}

/// As the running proxy would decide now.
fn running(arguments: &RouteArguments, door: &Door) -> Result<Told, Failure> {
    let client = arguments.client.to_string();
    let mut pairs = vec![
        ("method", arguments.method.as_str()),
        ("url", arguments.url.as_str()),
        ("client", client.as_str()),
    ];
    pairs.extend(arguments.headers.iter().map(|line| ("header", line.as_str())));
    let routed: Routed<Json> = door.read(&format!("/v1/route?{}", url::query(&pairs)))?;
    let (line, reasons) = routed.text.split_once("\n\n").unwrap_or((&routed.text, ""));
    Ok(Told { line: line.to_owned(), reasons: reasons.to_owned(), decision: routed.decision })
}
