//! Finds a request's route at a cost that does not grow with the number of routes.
//!
//! Of all routes that match, the one with the greatest [`Specificity`] wins. Routes are filed
//! under (host pattern, path pattern). A request's host and path are walked once, label by label
//! and segment by segment, each byte hashed once; that gives the most specific host pattern and
//! path prefix that any route knows, and links lead from there to the less specific ones. So a
//! request costs as many probes as its host has labels and its path has segments, neither counted
//! further than the deepest pattern.
//!
//! Linear are only the routes filed in one place (same host and path, told apart by other
//! conditions) and the regular expressions of one host pattern. Where priorities differ, a less
//! specific place may hold the winner: then all places on the way are looked at, still no more of
//! them than labels and segments.

use std::{cmp::Reverse, collections::BTreeMap};

use gnomon_config::model::{self, Condition, HostPattern, Match, PathPattern, Route};
use regex::bytes::Regex;

use crate::{
    index::{Hash, Index, Texts},
    plan::RouteIx,
    subject::Subject,
};

/// How specific a match is: the order of precedence, most important first.
///
/// `priority` overrides everything. Then the host: exact, the longest `*.` suffix, any. Then the
/// path: exact, regular expression (the longest text), the longest prefix; no path is a prefix of
/// no length. Then whether methods are named, how many conditions on fields, query, cookies and
/// client there are, flags among them, and last the order of declaration. As the Gateway API has it, which leaves
/// the place of regular expressions open; Envoy Gateway and nginx too prefer them to prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Specificity {
    priority: i32,
    host: (u8, usize),
    path: (u8, usize),
    method: bool,
    conditions: usize,
    declared: Reverse<u32>,
}

impl Specificity {
    pub(crate) fn of(route: &Route, ix: RouteIx, host: Option<&HostPattern>) -> Self {
        let matches = &route.matches;
        let host = match host {
            Some(HostPattern::Exact(host)) => (2, host.len()),
            Some(HostPattern::Below(suffix)) => (1, suffix.len()),
            None => (0, 0),
        };
        let path = match &matches.path {
            PathPattern::Exact(path) => (2, path.len()),
            PathPattern::Regex(regex) => (1, regex.0.as_str().len()),
            PathPattern::Prefix(prefix) => (0, trim(prefix).len()),
            PathPattern::Any => (0, 0),
        };
        let lists = matches.headers.len() + matches.query.len() + matches.cookies.len();
        Self {
            priority: route.priority,
            host,
            path,
            method: !matches.methods.is_empty(),
            conditions: lists + usize::from(!matches.clients.is_empty()) + matches.flags.len(),
            declared: Reverse(ix.0),
        }
    }
}

/// Why a route whose host and path match does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    Method,
    Header(usize),
    Query(usize),
    Cookie(usize),
    Client,
    Flag(usize),
}

/// The routes, filed.
#[derive(Debug)]
pub(crate) struct Matcher {
    // Hosts: class 0 is any host; a class leads to the next less specific one.
    exact_hosts: Texts,
    suffixes: Texts,
    suffix_labels_max: usize,
    host_parents: Vec<Option<u32>>,
    // Paths: prefix 0 is the empty one; a prefix leads to the next shorter one.
    exact_paths: Texts,
    prefixes: Texts,
    prefix_segments_max: usize,
    prefix_parents: Vec<Option<u32>>,
    // Routes by host class and path.
    at_exact: Index<Bucket>,
    at_prefix: Index<Bucket>,
    /// By host class.
    at_regex: Vec<Bucket>,
    /// Of all buckets, side by side.
    entries: Box<[Entry]>,
    /// Anchored, by route.
    regexes: Vec<Option<Regex>>,
    /// Whether a less specific place may hold the winner.
    priorities_differ: bool,
}

/// Routes filed in one place, the most specific first.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Host class and path, where that is how it is found.
    pair: u64,
    /// Where its entries begin among all, and how many there are.
    first: u32,
    count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Place in the order of specificity of all entries, 0 the most specific.
    rank: u32,
    route: RouteIx,
    /// Whether being filed here is all that the route asks for.
    by_place: bool,
}

impl Matcher {
    pub(crate) fn new(routes: &[Route]) -> Self {
        let mut draft = Draft::default();
        draft.name(routes);
        for (route, number) in routes.iter().zip(0..) {
            draft.file(route, RouteIx(number));
        }
        draft.build(routes)
    }

    /// The route that `request` belongs to. Adds to `probes` how often a table was looked into.
    pub(crate) fn find(
        &self,
        routes: &[Route],
        subject: &Subject<'_>,
        probes: &mut u32,
    ) -> Option<RouteIx> {
        let path = subject.request.path();
        let (prefix, path_hash) = self.longest_prefix(path, probes);
        let exact = self.exact_paths.find(path_hash, path, probes);
        let mut best: Option<Entry> = None;
        let mut consider = |bucket: Option<&Bucket>| {
            for entry in bucket.map_or(&[][..], |bucket| self.entries_of(bucket)) {
                if best.is_some_and(|best| best.rank < entry.rank) {
                    break;
                }
                if entry.by_place || self.holds(routes, entry.route, subject) {
                    best = Some(*entry);
                    break;
                }
            }
            best.is_some() && !self.priorities_differ
        };
        for host in chain(&self.host_parents, self.host_class(subject.request.host(), probes)) {
            let exact = exact.and_then(|path| at(&self.at_exact, host, path, probes));
            if consider(exact) || consider(self.at_regex.get(host as usize)) {
                break;
            }
            let mut prefixes = chain(&self.prefix_parents, prefix);
            if prefixes.any(|prefix| consider(at(&self.at_prefix, host, prefix, probes))) {
                break;
            }
        }
        best.map(|entry| entry.route)
    }

    fn entries_of(&self, bucket: &Bucket) -> &[Entry] {
        &self.entries[bucket.first as usize..][..bucket.count as usize]
    }

    /// Whether a route found by its place matches in all else.
    fn holds(&self, routes: &[Route], ix: RouteIx, subject: &Subject<'_>) -> bool {
        let matches = &routes[ix.0 as usize].matches;
        self.path_holds(matches, ix, subject.request.path()) && check(matches, subject).is_ok()
    }

    /// Whether the path matches, for what the place alone does not say.
    pub(crate) fn path_holds(&self, matches: &Match, ix: RouteIx, path: &[u8]) -> bool {
        path_fits(&matches.path, self.regexes.get(ix.0 as usize).and_then(Option::as_ref), path)
    }

    /// The most specific class that holds `host`.
    fn host_class(&self, host: &[u8], probes: &mut u32) -> u32 {
        if self.host_parents.len() == 1 {
            return ANY_HOST;
        }
        if is_lower(host) {
            return self.class_of(host, probes);
        }
        let mut buffer = [0; HOST_BYTES_MAX];
        lower(host, &mut buffer).map_or(ANY_HOST, |host| self.class_of(host, probes))
    }

    fn class_of(&self, host: &[u8], probes: &mut u32) -> u32 {
        let (mut hash, mut class, mut end, mut labels) = (Hash::new(), ANY_HOST, host.len(), 0);
        while let Some(dot) = host[..end].iter().rposition(|&byte| byte == b'.') {
            hash.absorb(&host[dot + 1..end]);
            (end, labels) = (dot, labels + 1);
            if labels <= self.suffix_labels_max {
                class = self.suffixes.find(hash, &host[dot + 1..], probes).unwrap_or(class);
            }
        }
        hash.absorb(&host[..end]);
        self.exact_hosts.find(hash, host, probes).unwrap_or(class)
    }

    /// The longest prefix of `path`, by whole segments, that any route knows; and the hash of all
    /// of it, if any route knows exact paths.
    fn longest_prefix(&self, path: &[u8], probes: &mut u32) -> (u32, Hash) {
        // Without exact paths nobody asks for the hash of what no prefix reaches.
        let segments_max =
            if self.exact_paths.is_empty() { self.prefix_segments_max } else { usize::MAX };
        let (mut hash, mut longest, mut segments) = (Hash::new(), NO_PREFIX, 0);
        let mut start = 0;
        while start < path.len() && segments < segments_max {
            let end = segment_end(path, start);
            hash.absorb(&path[start..end]);
            (start, segments) = (end, segments + 1);
            if segments <= self.prefix_segments_max {
                longest = self.prefixes.find(hash, &path[..end], probes).unwrap_or(longest);
            }
        }
        (longest, hash)
    }
}

/// Whether a path is as the pattern says; of a regular expression, as the anchored one says.
pub(crate) fn path_fits(pattern: &PathPattern, anchored: Option<&Regex>, path: &[u8]) -> bool {
    match pattern {
        PathPattern::Any => true,
        PathPattern::Exact(exact) => exact.as_bytes() == path,
        PathPattern::Prefix(prefix) => below_prefix(path, trim(prefix).as_bytes()),
        PathPattern::Regex(regex) => anchored.unwrap_or(&regex.0).is_match(path),
    }
}

/// Whether all conditions but host and path hold.
pub(crate) fn check(matches: &Match, subject: &Subject<'_>) -> Result<(), Miss> {
    let request = subject.request;
    let method = request.method();
    if !matches.methods.is_empty() && !matches.methods.iter().any(|one| one.as_bytes() == method) {
        return Err(Miss::Method);
    }
    for (place, (name, condition)) in matches.headers.iter().enumerate() {
        if !meets(condition, || request.values(name)) {
            return Err(Miss::Header(place));
        }
    }
    for (place, (name, condition)) in matches.query.iter().enumerate() {
        if !meets(condition, || request.query_value(name).into_iter()) {
            return Err(Miss::Query(place));
        }
    }
    for (place, (name, condition)) in matches.cookies.iter().enumerate() {
        if !meets(condition, || request.cookie(name).into_iter()) {
            return Err(Miss::Cookie(place));
        }
    }
    let client = subject.client.to_canonical();
    if !matches.clients.is_empty() && !matches.clients.iter().any(|net| net.contains(&client)) {
        return Err(Miss::Client);
    }
    // Last: an exposure counts only where the flag decides.
    match matches.flags.iter().position(|condition| !subject.meets(condition)) {
        Some(place) => Err(Miss::Flag(place)),
        None => Ok(()),
    }
}

/// Whether a route's place alone decides. The empty prefix is also the place of `*`, which is no path.
fn by_place(matches: &Match) -> bool {
    let path_is = match &matches.path {
        PathPattern::Any | PathPattern::Exact(_) => true,
        PathPattern::Prefix(prefix) => !trim(prefix).is_empty(),
        PathPattern::Regex(_) => false,
    };
    path_is
        && matches.methods.is_empty()
        && matches.headers.is_empty()
        && matches.query.is_empty()
        && matches.cookies.is_empty()
        && matches.clients.is_empty()
        && matches.flags.is_empty()
}

/// Whether any of `hosts` matches, and the most specific that does; `None` in `Some` stands for
/// "any host".
pub(crate) fn best_host<'m>(matches: &'m Match, host: &[u8]) -> Option<Option<&'m HostPattern>> {
    if matches.hosts.is_empty() {
        return Some(None);
    }
    let mut buffer = [0; HOST_BYTES_MAX];
    let host = lower(host, &mut buffer)?;
    let fitting = matches.hosts.iter().filter(|pattern| match pattern {
        HostPattern::Exact(exact) => exact.as_bytes() == host,
        HostPattern::Below(suffix) => {
            host.strip_suffix(suffix.as_bytes()).is_some_and(|rest| rest.ends_with(b"."))
        }
    });
    let best = fitting.max_by_key(|pattern| match pattern {
        HostPattern::Exact(exact) => (1, exact.len()),
        HostPattern::Below(suffix) => (0, suffix.len()),
    });
    best.map(Some)
}

/// Whether a condition holds of any of the values.
fn meets<'v, I: Iterator<Item = &'v [u8]>>(condition: &Condition, values: impl Fn() -> I) -> bool {
    match condition {
        Condition::Present(present) => values().next().is_some() == *present,
        Condition::OneOf(any) => {
            values().any(|value| any.iter().any(|one| one.as_bytes() == value))
        }
        Condition::Regex(regex) => values().any(|value| regex.0.is_match(value)),
    }
}

/// `host` in lower case and without the dot that ends a fully qualified name. `None` where no
/// pattern could match: longer than a name can be.
fn lower<'b>(host: &[u8], buffer: &'b mut [u8; HOST_BYTES_MAX]) -> Option<&'b [u8]> {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let place = buffer.get_mut(..host.len())?;
    place.copy_from_slice(host);
    place.make_ascii_lowercase();
    Some(place)
}

/// Whether `lower` would change nothing, as it nearly always would.
fn is_lower(host: &[u8]) -> bool {
    // Never stops early, so that the compiler can look at many bytes at once.
    let has_upper = host.iter().fold(false, |upper, byte| upper | byte.is_ascii_uppercase());
    !has_upper && host.last() != Some(&b'.') && host.len() <= HOST_BYTES_MAX
}

/// A class and all less specific ones.
fn chain(parents: &[Option<u32>], first: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(first), |&one| parents.get(one as usize).copied().flatten())
}

fn at<'i>(places: &'i Index<Bucket>, host: u32, path: u32, probes: &mut u32) -> Option<&'i Bucket> {
    let pair = pair(host, path);
    places.find(Hash::of_number(pair), |bucket| bucket.pair == pair, probes)
}

fn pair(host: u32, path: u32) -> u64 {
    u64::from(host) << 32 | u64::from(path)
}

/// Whether `path` is `prefix` or below it, by whole segments.
fn below_prefix(path: &[u8], prefix: &[u8]) -> bool {
    path.first() == Some(&b'/')
        && path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// `/beta/` and `/beta` are one prefix, `/` and nothing too.
pub(crate) fn trim(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

/// The path pattern anchored on both sides. Anchoring twice is harmless; not at all would open
/// every route whose pattern occurs somewhere in a path.
pub(crate) fn anchored(regex: &model::Regex) -> Option<Regex> {
    Regex::new(&format!("^(?:{})$", regex.0.as_str())).ok()
}

/// Where a route is filed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Exact(u64),
    Regex(u32),
    Prefix(u64),
}

/// What is filed so far, in ordered maps: the same routes give the same table.
#[derive(Default)]
struct Draft {
    exact_hosts: Names,
    suffixes: Names,
    exact_paths: Names,
    prefixes: Names,
    entries: Vec<(Specificity, RouteIx, Place)>,
}

/// Texts and their numbers.
type Names = BTreeMap<Box<[u8]>, u32>;

impl Draft {
    /// Notes every text that occurs. Host classes are numbered any, suffixes, exact hosts, so
    /// all texts have to be known before the first route is filed.
    fn name(&mut self, routes: &[Route]) {
        for route in routes {
            for host in &route.matches.hosts {
                match host {
                    HostPattern::Exact(host) => self.exact_hosts.insert(host.as_bytes().into(), 0),
                    HostPattern::Below(host) => self.suffixes.insert(host.as_bytes().into(), 0),
                };
            }
            match &route.matches.path {
                PathPattern::Exact(path) => self.exact_paths.insert(path.as_bytes().into(), 0),
                PathPattern::Prefix(prefix) => {
                    self.prefixes.insert(trim(prefix).as_bytes().into(), 0)
                }
                PathPattern::Any | PathPattern::Regex(_) => None,
            };
        }
        self.prefixes.insert(Box::default(), NO_PREFIX);
        number(&mut self.prefixes, NO_PREFIX);
        number(&mut self.exact_paths, 0);
        let first_exact = number(&mut self.suffixes, ANY_HOST + 1);
        number(&mut self.exact_hosts, first_exact);
    }

    fn file(&mut self, route: &Route, ix: RouteIx) {
        let hosts = route.matches.hosts.iter().map(Some);
        let any = route.matches.hosts.is_empty().then_some(None);
        for host in hosts.chain(any) {
            let class = match host {
                Some(HostPattern::Exact(host)) => self.exact_hosts[host.as_bytes()],
                Some(HostPattern::Below(suffix)) => self.suffixes[suffix.as_bytes()],
                None => ANY_HOST,
            };
            let place = match &route.matches.path {
                PathPattern::Exact(path) => {
                    Place::Exact(pair(class, self.exact_paths[path.as_bytes()]))
                }
                PathPattern::Regex(_) => Place::Regex(class),
                PathPattern::Prefix(prefix) => {
                    Place::Prefix(pair(class, self.prefixes[trim(prefix).as_bytes()]))
                }
                PathPattern::Any => Place::Prefix(pair(class, NO_PREFIX)),
            };
            self.entries.push((Specificity::of(route, ix, host), ix, place));
        }
    }

    fn build(mut self, routes: &[Route]) -> Matcher {
        self.entries.sort_by_key(|&(specificity, ..)| Reverse(specificity));
        let ranked = self.entries.iter().zip(0..).map(|(&(_, route, place), rank)| {
            let by_place = by_place(&routes[route.0 as usize].matches);
            (place, Entry { rank, route, by_place })
        });
        let mut filed: Vec<(Place, Entry)> = ranked.collect();
        filed.sort_unstable_by_key(|(place, entry)| (*place, entry.rank));
        let host_parents = self.host_parents();
        let (mut at_exact, mut at_prefix) = (vec![], vec![]);
        let mut at_regex = vec![Bucket::default(); host_parents.len()];
        let mut first = 0;
        for filed in filed.chunk_by(|(one, _), (two, _)| one == two) {
            let count = number_of(filed);
            let bucket = Bucket { pair: 0, first, count };
            first += count;
            match filed[0].0 {
                Place::Exact(pair) => at_exact.push(Bucket { pair, ..bucket }),
                Place::Prefix(pair) => at_prefix.push(Bucket { pair, ..bucket }),
                Place::Regex(class) => at_regex[class as usize] = bucket,
            }
        }
        let hash = |bucket: &Bucket| Hash::of_number(bucket.pair);
        let priority = routes.first().map_or(0, |route| route.priority);
        Matcher {
            suffix_labels_max: deepest(&self.suffixes, b'.') + 1,
            prefix_segments_max: deepest(&self.prefixes, b'/'),
            host_parents,
            prefix_parents: self.prefix_parents(),
            exact_hosts: Texts::build(self.exact_hosts, hash_host),
            suffixes: Texts::build(self.suffixes, hash_host),
            exact_paths: Texts::build(self.exact_paths, hash_path),
            prefixes: Texts::build(self.prefixes, hash_path),
            at_exact: Index::build(at_exact, hash),
            at_prefix: Index::build(at_prefix, hash),
            at_regex,
            entries: filed.iter().map(|&(_, entry)| entry).collect(),
            regexes: routes
                .iter()
                .map(|route| route.matches.path.regex().and_then(anchored))
                .collect(),
            priorities_differ: routes.iter().any(|route| route.priority != priority),
        }
    }

    /// By class, in the order of their numbers: any, suffixes, exact hosts.
    fn host_parents(&self) -> Vec<Option<u32>> {
        let hosts = self.suffixes.iter().chain(&self.exact_hosts);
        let parent = |host: &[u8]| {
            let mut dots = (0..host.len()).filter(|&at| host[at] == b'.');
            let suffix = dots.find_map(|dot| self.suffixes.get(&host[dot + 1..]));
            Some(suffix.copied().unwrap_or(ANY_HOST))
        };
        [None].into_iter().chain(hosts.map(|(host, _)| parent(host))).collect()
    }

    fn prefix_parents(&self) -> Vec<Option<u32>> {
        let parent = |prefix: &[u8]| {
            let mut slashes = (0..prefix.len()).rev().filter(|&at| prefix[at] == b'/');
            slashes.find_map(|slash| self.prefixes.get(&prefix[..slash]).copied())
        };
        self.prefixes.keys().map(|prefix| parent(prefix)).collect()
    }
}

/// Numbers the texts in their order; gives back the next free number.
fn number(names: &mut Names, first: u32) -> u32 {
    let mut next = first;
    for number in names.values_mut() {
        *number = next;
        next += 1;
    }
    next
}

/// How many there are. Routes are numbered by a `u32`; each has as many entries as it names hosts.
fn number_of<T>(entries: &[T]) -> u32 {
    u32::try_from(entries.len()).expect("fewer entries than bytes in a configuration")
}

/// How often the separator occurs at most in one text.
fn deepest(names: &Names, separator: u8) -> usize {
    let depths = names.keys().map(|text| text.iter().filter(|&&byte| byte == separator).count());
    depths.max().unwrap_or(0)
}

fn hash_host(host: &[u8]) -> Hash {
    let mut hash = Hash::new();
    host.rsplit(|&byte| byte == b'.').for_each(|label| hash.absorb(label));
    hash
}

fn hash_path(path: &[u8]) -> Hash {
    let mut hash = Hash::new();
    let mut start = 0;
    while start < path.len() {
        let end = segment_end(path, start);
        hash.absorb(&path[start..end]);
        start = end;
    }
    hash
}

/// Where the segment ends that begins, with its slash, at `start`.
fn segment_end(path: &[u8], start: usize) -> usize {
    let slash = path[start + 1..].iter().position(|&byte| byte == b'/');
    slash.map_or(path.len(), |length| start + 1 + length)
}

/// Routes for any host.
const ANY_HOST: u32 = 0;

/// The empty prefix, of which every path is below, and the place of routes without a path.
const NO_PREFIX: u32 = 0;

/// The longest a host name can be (RFC 1035 section 3.1).
const HOST_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests;
