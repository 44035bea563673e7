//! What the origin is asked for, and where a redirect leads.
//!
//! Whatever the parts say, nothing below can end a line or a field: controls, spaces and what
//! is not ASCII are percent-encoded on their way out, and a target always begins with `/`.

use gnomon_config::model::{PathPattern, Piece, Rewrite, Route, Shadow};
use gnomon_wire::Request;

use crate::matcher::trim;

/// What became of a request's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing is to be changed, and nothing was written.
    Kept,
    /// The new one was written, path and query.
    Written,
}

/// Appends the target that `route` makes of `request`'s, the query included.
///
/// A prefix that the path does not have, by whole segments, is left alone; so is the target `*`.
pub fn rewrite_target(route: &Route, request: Request<'_>, out: &mut Vec<u8>) -> Target {
    rewrite_by(&route.rewrite, &route.matches.path, request, out)
}

/// The same for the copy of a request that `route` has matched, which a shadow may rewrite in the
/// place of the route.
pub fn rewrite_copy(
    shadow: &Shadow,
    route: &Route,
    request: Request<'_>,
    out: &mut Vec<u8>,
) -> Target {
    if matches!(shadow.rewrite, Rewrite::Keep) {
        return rewrite_target(route, request, out);
    }
    rewrite_by(&shadow.rewrite, &shadow.matches.path, request, out)
}

fn rewrite_by(
    rewrite: &Rewrite,
    matched: &PathPattern,
    request: Request<'_>,
    out: &mut Vec<u8>,
) -> Target {
    let path = request.path();
    if path.first() != Some(&b'/') {
        return Target::Kept;
    }
    if write_path(rewrite, matched, path, out).is_none() {
        return Target::Kept;
    }
    write_query(request, IN_TARGET, out);
    Target::Written
}

/// Appends the `Location` of a redirect.
///
/// A `Location` that begins with the request's path never begins with `//`, which a browser would
/// take for another host.
pub fn write_location(to: &[Piece], request: Request<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    for piece in to {
        match piece {
            Piece::Text(text) => write_clean(text.as_bytes(), IN_LOCATION, out),
            Piece::Uri => {
                write_local(request.path(), start, out);
                write_query(request, IN_LOCATION, out);
            }
            Piece::Path => write_local(request.path(), start, out),
            Piece::Query => write_clean(request.query().unwrap_or_default(), IN_LOCATION, out),
            Piece::Host => write_clean(request.host(), IN_LOCATION, out),
        }
    }
}

/// Appends the request's query with its question mark, if there is one.
fn write_query(request: Request<'_>, unsafe_too: &[u8], out: &mut Vec<u8>) {
    if let Some(query) = request.query() {
        out.push(b'?');
        write_clean(query, unsafe_too, out);
    }
}

/// Appends the new path; `None`, and nothing written, if it is to stay.
fn write_path(
    rewrite: &Rewrite,
    matched: &PathPattern,
    path: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    match rewrite {
        Rewrite::Keep => return None,
        Rewrite::StripPrefix(prefix) => {
            write_rooted(&[after_prefix(path, trim(prefix))?], out);
        }
        Rewrite::AddPrefix(prefix) => write_rooted(&[trim(prefix).as_bytes(), path], out),
        Rewrite::ReplacePrefix(new) => {
            let PathPattern::Prefix(old) = matched else { return None };
            let rest = after_prefix(path, trim(old))?;
            write_rooted(&[trim(new).as_bytes(), rest], out);
        }
        Rewrite::Path(new) => write_rooted(&[new.as_bytes()], out),
        Rewrite::Regex(regex, replacement) => {
            let captures = regex.0.captures(path)?;
            let found = captures.get(0)?;
            let mut new = Vec::with_capacity(path.len() + replacement.len());
            new.extend_from_slice(&path[..found.start()]);
            captures.expand(replacement.as_bytes(), &mut new);
            new.extend_from_slice(&path[found.end()..]);
            write_rooted(&[&new], out);
        }
    }
    Some(())
}

/// What follows `prefix`, if the path has it by whole segments.
fn after_prefix<'p>(path: &'p [u8], prefix: &str) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(prefix.as_bytes())?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

/// Appends the parts as one path that begins with `/`.
fn write_rooted(parts: &[&[u8]], out: &mut Vec<u8>) {
    let first = parts.iter().find_map(|part| part.first());
    if first != Some(&b'/') {
        out.push(b'/');
    }
    parts.iter().for_each(|part| write_clean(part, IN_TARGET, out));
}

/// Appends a path that, at the start of a `Location`, must stay on this host.
fn write_local(path: &[u8], start: usize, out: &mut Vec<u8>) {
    let mut path = path;
    if out.len() == start {
        while path.starts_with(b"//") {
            path = &path[1..];
        }
    }
    write_clean(path, IN_LOCATION, out);
}

/// Appends `bytes`, percent-encoding what is not visible ASCII and what is `unsafe_too`.
fn write_clean(bytes: &[u8], unsafe_too: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if byte.is_ascii_graphic() && !unsafe_too.contains(&byte) {
            out.push(byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// In a target, what [`is_origin_form`](gnomon_wire::is_origin_form) refuses; all else goes on as
/// the client sent it.
const IN_TARGET: &[u8] = b"#\\";

/// In a `Location`, what RFC 3986 has no place for. Browsers read a backslash as a slash.
const IN_LOCATION: &[u8] = b"\"<>\\^`{|}";

#[cfg(test)]
mod tests;
