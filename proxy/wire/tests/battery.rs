//! The black-box battery, asked of the codec alone: what it decides by itself, it decides as the
//! strictest allowed outcome says, whether the bytes come whole or one by one.
//!
//! Cases that want a socket (time-outs, resets, pools, tunnels) are the finished proxy's to pass.

#![expect(clippy::unwrap_used, reason = "a malformed battery is a failed test")]

use std::path::Path;

use gnomon_wire::{
    BodyLimits, BodyReader, Forwarding, HeadLimits, Progress, Request, RequestHead, RequestRewrite,
    Response, ResponseHead, Side, write_request,
};
use serde_json::Value;

/// What came out of one direction of a connection.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    messages: Vec<Message>,
    /// The status of the reject that ended it.
    reject: Option<u16>,
    /// Whether the last message, or the next, is unfinished.
    is_waiting: bool,
    /// Whether the codec said that nothing more is to be read.
    is_closed: bool,
}

#[derive(Debug, Default, PartialEq)]
struct Message {
    method: String,
    target: String,
    status: u16,
    body: Vec<u8>,
    /// The head as it is sent on.
    sent: Vec<u8>,
}

/// Reads requests as a server would. `step` bytes come at a time.
fn hear_requests(input: &[u8], step: usize) -> Heard {
    let mut heard = Heard::default();
    let mut head = RequestHead::default();
    let mut buffer = Vec::new();
    let mut input = input.chunks(step);
    loop {
        head.clear();
        let end = loop {
            match head.read(&buffer, &HeadLimits::REQUEST) {
                Ok(Progress::Done(end)) => break end,
                Ok(Progress::More) => match input.next() {
                    Some(more) => buffer.extend_from_slice(more),
                    None => {
                        heard.is_waiting = RequestHead::is_begun(&buffer);
                        return heard;
                    }
                },
                Err(reject) => {
                    heard.reject = Some(reject.status());
                    return heard;
                }
            }
        };
        let request = Request { head: &head, bytes: &buffer[..end] };
        let mut message = Message {
            method: String::from_utf8_lossy(request.method()).into(),
            ..Message::default()
        };
        let rewrite = RequestRewrite {
            client: Forwarding { ip: b"127.0.0.1", proto: b"http", ..Forwarding::default() },
            framing: request.framing(),
            ..RequestRewrite::default()
        };
        write_request(&mut message.sent, request, &rewrite);
        let sent = String::from_utf8_lossy(&message.sent);
        message.target = sent.split(' ').nth(1).unwrap().into();
        let (framing, persistent) = (request.framing(), request.persistent());
        buffer.drain(..end);
        let body = BodyReader::new(Side::Request, framing, &BodyLimits::DEFAULT);
        let is_whole = read_body(body.unwrap(), &mut buffer, &mut input, &mut message, &mut heard);
        if !is_whole {
            return heard;
        }
        heard.messages.push(message);
        if !persistent {
            heard.is_closed = true;
            return heard;
        }
    }
}

fn read_body<'i>(
    mut body: BodyReader,
    buffer: &mut Vec<u8>,
    input: &mut impl Iterator<Item = &'i [u8]>,
    message: &mut Message,
    heard: &mut Heard,
) -> bool {
    loop {
        match body.read(buffer) {
            Ok(piece) => {
                message.body.extend_from_slice(&buffer[piece.data]);
                buffer.drain(..piece.consumed);
                if piece.end {
                    return true;
                }
            }
            Err(reject) => {
                heard.reject = Some(reject.status());
                return false;
            }
        }
        match input.next() {
            Some(more) => buffer.extend_from_slice(more),
            None => {
                heard.is_waiting = body.finish_input().is_err();
                return !heard.is_waiting;
            }
        }
    }
}

/// Reads one final reply as a client would, up to the end of the input.
fn hear_reply(input: &[u8], step: usize, to_head: bool) -> Heard {
    let mut heard = Heard::default();
    let mut head = ResponseHead::default();
    let mut buffer = Vec::new();
    let mut input = input.chunks(step);
    loop {
        head.clear();
        let end = loop {
            match head.read(&buffer, &HeadLimits::REPLY) {
                Ok(Progress::Done(end)) => break end,
                Ok(Progress::More) => match input.next() {
                    Some(more) => buffer.extend_from_slice(more),
                    None => {
                        heard.is_waiting = true;
                        return heard;
                    }
                },
                Err(reject) => {
                    heard.reject = Some(reject.status());
                    return heard;
                }
            }
        };
        let reply = Response { head: &head, bytes: &buffer[..end] };
        let (framing, status) = (reply.framing(to_head), reply.status());
        let is_interim = reply.is_interim();
        buffer.drain(..end);
        if is_interim {
            continue;
        }
        let mut message = Message { status, ..Message::default() };
        let body = BodyReader::new(Side::Reply, framing, &BodyLimits::DEFAULT).unwrap();
        let _ = read_body(body, &mut buffer, &mut input, &mut message, &mut heard);
        heard.messages.push(message);
        return heard;
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    let latin = |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let times = || usize::try_from(value["n"].as_u64().unwrap()).unwrap();
    if let Some(text) = value.as_str() {
        return latin(text);
    }
    if let Some(text) = value["rep"].as_str() {
        let text: Vec<u8> = latin(text);
        return text.repeat(times());
    }
    if let Some(text) = value["num"].as_str() {
        return (0..times()).flat_map(|n| latin(&text.replace("%d", &n.to_string()))).collect();
    }
    value["split"].as_str().map(latin).unwrap_or_default()
}

fn all_bytes(values: &Value) -> Vec<u8> {
    values.as_array().into_iter().flatten().flat_map(bytes).collect()
}

fn statuses(value: &Value) -> Vec<u64> {
    value.as_array().map_or_else(
        || value.as_u64().into_iter().collect(),
        |all| all.iter().filter_map(Value::as_u64).collect(),
    )
}

/// What is wrong with `heard`, if the outcome is one that a codec decides.
fn judge_requests(outcome: &Value, heard: &Heard) -> Option<String> {
    match outcome["kind"].as_str()? {
        "reject" => {
            let wanted = statuses(&outcome["status"]);
            let after = outcome["after"].as_array().map_or(0, Vec::len);
            let closed = heard.is_closed && outcome["lenient_after"] == true;
            match heard.reject {
                _ if heard.messages.len() != after => Some("requests".into()),
                Some(status) if !wanted.contains(&status.into()) => Some(format!("{status}")),
                None if !closed && !heard.is_waiting => Some("accepted".into()),
                _ => None,
            }
        }
        "forward" => judge_forward(outcome, heard),
        "wait" => (!heard.is_waiting || heard.reject.is_some()).then(|| "no wait".into()),
        _ => None,
    }
}

fn judge_forward(outcome: &Value, heard: &Heard) -> Option<String> {
    let wanted = outcome["requests"].as_array()?;
    let rejected = heard.reject.map(u64::from);
    let then = statuses(&outcome["then_reject"]);
    if rejected.is_some_and(|status| !then.contains(&status)) {
        return Some(format!("refused: {rejected:?}"));
    }
    if heard.messages.len() != wanted.len() {
        return Some(format!("{} requests", heard.messages.len()));
    }
    for (message, wanted) in heard.messages.iter().zip(wanted) {
        let one = std::slice::from_ref(&wanted["target"]);
        let targets = wanted["target"].as_array().map_or(one, Vec::as_slice);
        let body = bytes(&wanted["body"]);
        let is_target = targets.iter().any(|target| *target == message.target.as_str());
        if wanted["method"] != message.method.as_str() || !is_target || body != message.body {
            return Some(format!("{} {}", message.method, message.target));
        }
        if let Some(problem) = judge_fields(wanted, &message.sent) {
            return Some(problem);
        }
    }
    None
}

fn judge_fields(wanted: &Value, sent: &[u8]) -> Option<String> {
    let sent: String = sent.iter().map(|byte| char::from(*byte)).collect();
    let lines: Vec<(String, &str)> = sent
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    let values = |name: &str| {
        let name = name.to_lowercase();
        lines.iter().filter(move |(is, _)| *is == name).map(|(_, value)| *value).collect::<Vec<_>>()
    };
    for (name, value) in wanted["has"].as_object().into_iter().flatten() {
        let is_there = match value.as_str() {
            Some(text) => values(name) == [text],
            None => !values(name).is_empty(),
        };
        if !is_there {
            return Some(format!("lacks {name}"));
        }
    }
    for name in wanted["not"].as_array().into_iter().flatten() {
        let (name, text) = match name.as_str() {
            Some(name) => (name, ""),
            None => (name["name"].as_str()?, name["re"].as_str()?),
        };
        if values(name).iter().any(|value| value.contains(text)) {
            return Some(format!("has {name}"));
        }
    }
    None
}

fn judge_reply(outcome: &Value, heard: &Heard) -> Option<String> {
    let first = heard.messages.first();
    let failed = heard.reject.is_some() || heard.is_waiting;
    match outcome["kind"].as_str()? {
        "error" if first.is_some() || !failed => Some("accepted".into()),
        "truncated" if !failed => Some("whole".into()),
        "resp" => {
            let wanted = outcome["responses"].get(0)?;
            let status = statuses(&wanted["status"]);
            if status == [502, 500] {
                return (!failed).then(|| "accepted".into());
            }
            let Some(first) = first else { return Some("refused".into()) };
            if !status.is_empty() && !status.contains(&first.status.into()) {
                return Some(format!("status {}", first.status));
            }
            let body = wanted.get("body").map(bytes);
            body.is_some_and(|body| body != first.body).then(|| "another body".into())
        }
        _ => None,
    }
}

fn judge(case: &Value, outcome: &Value, step: usize) -> Option<String> {
    let head = case["send"][0].as_str().is_some_and(|text| text.starts_with("HEAD"));
    match case["upstream"].get(0) {
        Some(script) => judge_reply(outcome, &hear_reply(&all_bytes(&script["do"]), step, head)),
        None => judge_requests(outcome, &hear_requests(&all_bytes(&case["send"]), step)),
    }
}

/// Cases in which the deciding thing is not bytes: a reset, or what was asked for.
const IO: &[&str] = &["up-unasked-101", "up-no-conn-101", "rs-close-delim-rst"];

/// Runs a file; returns the cases that end in another outcome than the preferred one, or than any
/// allowed one where `is_strict` is not asked for.
fn run(file: &str, is_strict: bool) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/h1battery").join(file);
    let Ok(text) = std::fs::read_to_string(path) else { return Vec::new() };
    let file: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        let allowed = case["allow"].as_array().unwrap();
        let preferred = case["prefer"].as_u64().filter(|_| is_strict);
        for step in [usize::MAX, 1, 7].into_iter().filter(|_| !IO.contains(&id)) {
            let problems = allowed.iter().map(|outcome| judge(case, outcome, step));
            let problems: Vec<_> = match preferred {
                Some(index) => problems.skip(usize::try_from(index).unwrap()).take(1).collect(),
                None => problems.collect(),
            };
            if problems.iter().all(Option::is_some) {
                found.push(format!("{id} by {step}: {problems:?}"));
            }
        }
    }
    found
}

#[test]
fn our_own_cases_end_as_preferred() {
    let found = run("cases.json", true);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// llhttp prefers what it does itself, and that is often more lenient than our own battery demands:
/// fragments, a Host that contradicts the target, leading CRLF in replies.
#[test]
fn the_cases_of_llhttp_end_as_allowed() {
    let found = run("cases_llhttp.json", false);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
