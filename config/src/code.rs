//! The kinds of problem: a code that never changes its meaning, and a paragraph for people.

/// Declares each code once: a constant to refer to it by, and its paragraph.
macro_rules! codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        $(pub(crate) const $name: &str = $code;)*

        /// Every code with its paragraph, in order.
        pub(crate) const ALL: &[(&str, &str)] = &[$(($code, $text)),*];
    };
}

codes! {
    UNREADABLE = "G001", "A file could not be read. gnomon reads the file it was given and every file named by its `include`; each must exist, be readable by the user that gnomon runs as, be UTF-8 text and be smaller than 4 MiB.";
    SYNTAX = "G002", "The text is not TOML 1.0. All such places of all files are shown in one run, and unknown keys with them; what the values mean is checked once they can be read.";
    UNKNOWN_KEY = "G003", "The key means nothing to gnomon. Unknown keys are errors and not ignored, because a mistyped `split` that is ignored sends traffic where nobody wanted it. Every key is listed in docs/CONFIG.md and in config/sample/reference.toml.";
    LATER = "G004", "The key or value belongs to the file format, but this version of gnomon does not act on it yet. It is refused rather than ignored: a file must never promise what the program does not do. Take it out until you run a version that has it.";
    TYPE = "G005", "The value has the wrong type, such as a number where a table is expected. The message says what is expected.";
    QUANTITY = "G006", "A quantity with a unit is a string that carries its unit: \"250ms\", \"1h30m\", \"16KiB\", \"10%\". A bare number is a count, so that nobody has to guess whether 5 means seconds or milliseconds. Only `split` takes bare numbers for percent.";
    RANGE = "G007", "The value is well formed but lies outside of what is allowed; the message names the bounds. Bounds exist where a smaller or larger value cannot work or would let one client exhaust the machine.";
    CHOICE = "G008", "The value is none of the words that this key accepts; the message lists them.";
    OUTSIDE = "G009", "A value that comes from outside of the file could not be had: the environment variable is not set and there is no `default`, the file cannot be read, or a secret is written into the configuration. A scalar may be `{ env = \"NAME\", default = \"...\" }` or `{ file = \"path\" }`; a secret may only be `{ file = \"path\" }`, since configurations and environments are copied, logged and shown.";
    TWICE = "G010", "The same thing is defined twice: in two files that were joined by `include`, or in a short and a long form (`listen` and [listener.default]). Nothing overrides silently, because the order in which files are read should not matter.";
    INCLUDE = "G011", "An entry of `include` cannot be used. An entry is a path, or a path whose last part holds `*`, relative to the file it stands in. A path without `*` must exist; a pattern may match nothing. Included files do not include others.";
    SPLIT_NAME = "G012", "`split` gives a share to a version that its upstream does not have. Versions are the keys of [upstream.NAME.versions].";
    SPLIT_SUM = "G013", "The shares of `split` must add up to 100 percent. One version may be left out and takes the rest; if several are left out while a rest remains, gnomon cannot know which one is to have it.";
    NAME = "G014", "Listeners, upstreams, versions, routes, shadows, rollouts, KPIs, groups, flags and their variants are named with letters, digits, `_` and `-`, at most 64 of them. Names appear in metrics, logs, cookies and URLs of the admin API, where other characters would need quoting.";
    REFERENCE = "G015", "A route, a shadow, a rollout or a KPI names an upstream, or with `upstream@version` a version, that does not exist or cannot be meant; a gate names a KPI that its upstream does not have; or a group, a flag or a variant of a flag is named that does not exist. With `flags.source` nobody can say which other flags there are, so that their names are not checked.";
    MISSING = "G016", "A key that has no default is missing.";
    EXCLUSIVE = "G017", "Keys that exclude each other stand together, or none of them is there while one is needed. A route has exactly one of `to`, `redirect` and `respond`; its match has at most one of `path` and `path_regex`; a rewrite does one thing.";
    ADDRESS = "G018", "An address is \"IP:PORT\", \"[IPv6]:PORT\" or \"unix:/absolute/path\"; an endpoint may also be \"name:PORT\". The scheme is not part of it.";
    SAME_ADDRESS = "G019", "Two of the listeners, the admin API and [metrics] would bind the same address; connections would go to either at random.";
    HOST = "G020", "A host is a name without port, such as \"shop.example.com\", or \"*.example.com\" for every host below it. A `*` elsewhere has no meaning.";
    PATH = "G021", "A path starts with `/`. In `match` it stands for itself, or for itself and all below it when it ends in `/*`. For anything else there is `path_regex`.";
    REGEX = "G022", "The regular expression cannot be used. The syntax is that of the Rust crate `regex`: no look-around and no back-references, which is why matching takes linear time. Its compiled size is capped at 1 MiB and its text at 4 KiB. `path_regex` in `match` is anchored on both sides; others are not.";
    HEADER = "G023", "A field name is an HTTP token and a field value holds visible ASCII characters, spaces and tabs. Anything else could end the field early and inject another.";
    HEADER_RESERVED = "G024", "The field concerns one connection or delimits the message (`connection`, `content-length`, `transfer-encoding`, `te`, `trailer`, `upgrade`, ...). gnomon writes these itself; editing them would break framing and allow request smuggling. `host` towards an origin is set by `upstream.NAME.host`.";
    SAME_ROUTE = "G025", "Two routes have the same `match` and the same `priority`, so one of them would never be used.";
    NEVER_REACHED = "G026", "A route is never used, because another of higher `priority` takes every request that it would match. This is a warning: the file works, but hardly as intended.";
    AMBIGUOUS = "G027", "A `path_regex` and another path of the same hosts and the same `priority` match the same requests. An exact path wins over a prefix, and a prefix over a regular expression; between two regular expressions the order of declaration decides. Say what you mean with `priority`. This is a warning.";
    NO_ENDPOINT = "G028", "A version that receives traffic has no endpoint, so its share of requests could only fail. Give it endpoints, or take its share away. An upstream needs at least one version.";
    KEY = "G029", "What picks a request's user apart is written `cookie:NAME`, `header:NAME`, `query:NAME` or `client_ip`. For flags and groups it may also be `claim:NAME`, `host`, `path` or `method`. `sticky` also knows `cookie` (a cookie that gnomon mints) and `none`.";
    STATUS = "G030", "A status code is out of place: a redirect has 301, 302, 303, 307 or 308, a response 200 to 599, a health check a code or range such as \"200-399\" within 100 to 599.";
    CIDR = "G031", "A network is written in CIDR notation: \"10.0.0.0/8\", \"::1/128\". A single address stands for itself.";
    ADMIN = "G032", "The admin API can change where traffic goes. In this version it answers on its unix socket and on loopback addresses only; tokens and TLS, which other addresses need, come later. `ssh -L 9099:/run/gnomon/admin.sock HOST` reaches it from elsewhere today.";
    REWRITE = "G033", "A rewrite does not fit the route's match: `replace_prefix` needs a path ending in `/*`, and `strip_prefix` does nothing to requests whose path does not begin with the prefix.";
    SET = "G034", "An override is written KEY=VALUE with a dotted key: `--set upstream.shop.split.v2=10`. The value is read as TOML if it is TOML, and as a string otherwise.";
    NOTHING = "G035", "There is nothing to listen on, or no route, so the proxy could only answer 404.";
    UNUSED = "G036", "An upstream that no route leads to is probably a slip. So is a group that no flag and no other group names, or a flag that no route and no shadow matches on, that is neither judged nor sent, and that no application asks for, since there is no [flags.ofrep]. This is a warning: a reload may add the use later.";
    VALUE = "G037", "The text is not of the form that this key expects; the message says which.";
    TIMING = "G038", "Two times do not go together: a check that may take longer than the pause between two checks, or a request that may take less time than the wait for its reply. This is a warning.";
    SAME_ENDPOINT = "G039", "The same endpoint is listed twice in a version, which doubles its share of requests. This is a warning.";
    METHOD = "G040", "A method is an HTTP token. Methods are case-sensitive: `get` is not `GET`.";
    JSON_PATH = "G041", "A JSON path names places in a document: `$` is the whole, `.name` or `['any name']` a field, `[3]` an item, `*` any, and `..` any number of steps down. `$.items[*].price` is every item's price, `$..token` every field `token` at any depth.";
    SHADOW_WRITES = "G042", "A shadow's `match.method` names a method that changes things. The copy does at the shadow what the request does in production: an order is placed twice, a mail is sent twice. Only do this if the version under test has stores and partners of its own. This is a warning.";
    ROLLOUT = "G043", "A rollout cannot be meant. It takes users from the stable version of an upstream to another version of the same upstream, and an upstream has one rollout at a time. The stable version is the one left out of `split`, else the one that `split` names first, else the first declared.";
    OWNED = "G044", "`split` and a rollout both say how many users a version gets. The rollout owns that: in the file the version it brings in has no share, and what it has at the moment is the rollout's state, which a reload does not move. Leave `split` to the stable version, or take the rollout out.";
    STEPS = "G045", "The steps of a rollout do not add up to a way. A step is `\"5% for 20m\"`, or `{ weight = \"5%\", hold = \"20m\", approve = true }`, or `{ shadow = \"5%\", hold = \"30m\" }`, which gives copies and no users. Weights rise from step to step, shadow steps come before all weights, and a step is held for less than `max`. The last weight need not be 100 %.";
    ALLOWANCE = "G046", "How much worse than stable a canary may be is written in percent of what stable has (`\"25%\"`), in percentage points (`\"0.2pp\"`), or as both (`\"25% + 0.01pp\"`), which helps where stable hardly ever fails. For a latency it is in percent: requests are counted in buckets 4.4 % wide, and an allowance becomes a shift by whole buckets. A bound for the canary alone, whatever stable does, is `max`.";
    URL = "G047", "A webhook, or a source of flags, is `http://HOST:PORT/PATH` or `https://HOST/PATH`; a server of flags that speaks OFREP has `ofrep+` before that. The first is asked in the clear, so keep it on the same host or network; the second must show a certificate for its name that a root of the system vouches for. User and password do not belong into a URL, which is logged and shown.";
    KPI = "G048", "A KPI cannot be had as it is written. It comes from a field of the reply (`\"header:x-order\"`), from a place in its JSON (`\"json:/order/total\"`, a JSON pointer), or `\"late\"` from whoever knows it afterwards. There are at most 4, since each takes room in the evidence of every core. Percentage points are for a KPI that is there or not; an amount is allowed percent.";
    WINDOW = "G049", "When a rollout may raise a weight is written as days and times of the day in UTC: `\"mon-fri 09:00-17:00\"`, `\"mon,wed 10:00-12:00\"`, `\"* 00:00-24:00\"`. Times lie within one day; over midnight there are two windows.";
    CERTIFICATE = "G055", "A file of `tls` does not hold what it should. `cert` and `ca` are certificates in PEM (`-----BEGIN CERTIFICATE-----`): the certificate itself first, then each the issuer of the one before, without the root, which clients have. A certificate must be in force: a client refuses one that has expired, and gnomon refuses to load it, so that the old one stays. `ocsp` is an OCSP response in DER, good for the certificate beside it.";
    PRIVATE_KEY = "G056", "A private key cannot be used. `key` is PEM without a passphrase (PKCS#8, PKCS#1 or SEC1), belongs to the first certificate of `cert`, and is RSA of at least 2048 bits, ECDSA over P-256, P-384 or P-521, or Ed25519. It should be readable by the user that gnomon runs as and by nobody else.";
    COVERS = "G057", "A certificate works, but hardly as it should: it expires soon, no certificate of a listener is for a host that a route expects, or two are for the same name. Clients that ask for a name that no certificate has get the first of `certs`, and refuse it. This is a warning.";
    UNVERIFIED = "G058", "With `verify = false` an origin may show any certificate, or one that expired: what goes over the wire is enciphered, but to whom is not known, and whoever can get between reads and changes all of it. Give `ca` the origin's own certificate or its issuer instead. This is a warning.";
    FLAG = "G059", "A flag cannot be meant as it is written. Its `variants` are one to 32 values, all booleans, all texts, all numbers or all JSON; `default` names one of them; it has at most 64 `rules`, of which the first that holds decides, and each serves one variant or several with weights. `percent`, `allow` and `deny` are short for rules, for a flag that is true or false.";
    GROUP = "G060", "A group cannot be meant as it is written. It says at least one thing about whoever is in it, and all that it says must hold; its users come from `users` or from `users_file`; by `any` it may refer to other groups, but not in a circle. There are at most 64 groups.";
    MOMENT = "G061", "A moment is written as RFC 3339 says, as a text or without quotes: `2026-12-01T08:00:00Z`, `2026-12-01T09:00:00+01:00`. A date alone is its midnight in UTC. Without an offset nobody could say when it is, since hosts of one fleet have different zones.";
    TARGETING = "G062", "A flag or a group gives something to a share of users, to some of them by name, or different things to different users, and nothing says what tells users apart. Say so with `flags.by`, or with `by` of the flag or the group: `\"cookie:uid\"`, `\"claim:sub\"`.";
    CLAIM = "G063", "A claim is what a JSON Web Token says of its bearer. gnomon believes it only if the token's signature is good for a key that it knows, so that claims need [flags.jwt] with `keys`.";
    UNREACHED = "G064", "A rule is never reached, because a rule before it takes everybody that it would be for. The shares of one flag's rules are not added up: users have one position for the whole flag, so that `percent = 20` behind `percent = 50` is for nobody; write one rule that serves several variants with weights. This is a warning.";
    EXPIRED = "G065", "A flag has outlived the date that its `expires` gives. Flags that stay are branches that nobody tests: take the flag out of the code and out of the file, or give it another date. This is a warning.";
    OFREP = "G066", "What decides about users, and for whom, is not for everybody. Where [flags.ofrep] listens on an address that is not loopback, applications have to show a token out of `tokens`.";
    TOKEN_KEYS = "G068", "The keys that JSON Web Tokens are verified with cannot be used, or hardly as they should. They are a JSON Web Key Set, or one public key in PEM (`-----BEGIN PUBLIC KEY-----`): RSA of 2048 to 8192 bits, ECDSA over P-256 or P-384, Ed25519, or a secret of at least as many bytes as its hash has. Each key is good for one algorithm: its `alg`, or RS256, ES256, ES384, EdDSA and HS256 where it says none. Keys that are not meant to verify, or are of a sort that nobody here knows, are passed over with a warning.";
}

/// The paragraph that explains a code such as `G012`.
#[must_use]
pub fn explain(code: &str) -> Option<&'static str> {
    ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, text)| *text)
}
