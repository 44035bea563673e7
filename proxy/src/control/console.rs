//! The web console: files that are part of the program, served beside the API that they ask.
//!
//! Nothing is built and nothing comes from elsewhere: `console/` holds modules as they were written
//! and, in `console/vendor/`, three files of others as they were published.

use std::{borrow::Cow, io::Write as _, sync::OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};

use super::{
    admin::refuse,
    api::{Kind, Refused},
};

/// A file of the console.
struct Asset {
    /// Its path below `/console/`.
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// Made when it is first asked for.
    packed: OnceLock<Packed>,
}

/// A file as it is sent.
struct Packed {
    plain: Cow<'static, [u8]>,
    gzip: Vec<u8>,
    /// Other bytes have another one.
    tag: String,
}

impl Asset {
    const fn new(name: &'static str, kind: &'static str, bytes: &'static [u8]) -> Self {
        Self { name, kind, bytes, packed: OnceLock::new() }
    }

    fn packed(&self) -> &Packed {
        self.packed.get_or_init(|| {
            let is_ours = !self.name.starts_with("vendor/");
            let plain = match std::str::from_utf8(self.bytes) {
                Ok(text) if is_ours && self.kind != HTML => Cow::Owned(lean(text).into_bytes()),
                _ => Cow::Borrowed(self.bytes),
            };
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            // Into memory: the bytes are sent unpacked if that should ever fail.
            let gzip = gzip.write_all(&plain).and_then(|()| gzip.finish()).unwrap_or_default();
            let hash = digest(&SHA256, self.bytes);
            let tag = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}"));
            Packed { plain, gzip, tag: format!("\"{}\"", tag.collect::<String>()) }
        })
    }

    fn answer(&'static self, asked: &HeaderMap) -> Response {
        let Packed { plain, gzip, tag } = self.packed();
        let text = |name| asked.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let same = [
            (header::ETAG, tag.as_str()),
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "accept-encoding"),
        ];
        if text(header::IF_NONE_MATCH).split(',').any(|known| is_same(known, tag)) {
            return (StatusCode::NOT_MODIFIED, same).into_response();
        }
        let kind = [(header::CONTENT_TYPE, self.kind)];
        let takes_gzip = text(header::ACCEPT_ENCODING).split(',').any(is_gzip);
        if takes_gzip && !gzip.is_empty() {
            let encoding = [(header::CONTENT_ENCODING, "gzip")];
            return (same, kind, encoding, gzip.as_slice()).into_response();
        }
        (same, kind, &**plain).into_response()
    }
}

/// A text of ours without the comments that have lines of their own, and without what stands before
/// lines. The lines stay, so that a browser's complaint leads to the right one.
fn lean(text: &str) -> String {
    let mut is_comment = false;
    let mut lean = String::with_capacity(text.len());
    for line in text.lines().map(str::trim) {
        is_comment |= line.starts_with("/*");
        if !is_comment && !line.starts_with("//") {
            lean.push_str(line);
        }
        lean.push('\n');
        is_comment &= !line.ends_with("*/");
    }
    lean
}

/// Where the console is, on any door of the admin API.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(|asked: HeaderMap| async move { find("index.html", &asked) }))
        .route("/console/{*path}", get(file))
}

async fn file(Path(path): Path<String>, asked: HeaderMap) -> Response {
    find(&path, &asked)
}

fn find(name: &str, asked: &HeaderMap) -> Response {
    ASSETS.iter().find(|asset| asset.name == name).map_or_else(
        || {
            let error = format!("the console has no file `{name}`");
            refuse(&Refused::new(Kind::Unknown, error).help("the console is at /"))
        },
        |asset| asset.answer(asked),
    )
}

/// Whether an entry of `If-None-Match` is this tag. Weak ones say the same here.
fn is_same(known: &str, tag: &str) -> bool {
    let known = known.trim();
    known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
}

/// Whether an entry of `Accept-Encoding` asks for gzip.
fn is_gzip(entry: &str) -> bool {
    let mut parts = entry.split(';').map(str::trim);
    let is_named = parts.next().is_some_and(|name| name == "gzip" || name == "*");
    let is_refused = |part: &str| {
        part.strip_prefix("q=").is_some_and(|share| share.parse::<f64>().is_ok_and(|it| it <= 0.0))
    };
    is_named && !parts.any(is_refused)
}

macro_rules! assets {
    ($($name:literal $kind:ident),+ $(,)?) => {
        /// All of them. The licences are there to be read, and asked for by nobody else.
        static ASSETS: [Asset; [$($name),+].len()] =
            [$(Asset::new($name, $kind, include_bytes!(concat!("../../console/", $name)))),+];
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

assets![
    "index.html" HTML,
    "style.css" CSS,
    "pages.css" CSS,
    "icon.svg" SVG,
    "theme.js" SCRIPT,
    "app.js" SCRIPT,
    "api.js" SCRIPT,
    "store.js" SCRIPT,
    "hour.js" SCRIPT,
    "format.js" SCRIPT,
    "ui.js" SCRIPT,
    "chart.js" SCRIPT,
    "pages/cores.js" SCRIPT,
    "pages/events.js" SCRIPT,
    "pages/overview.js" SCRIPT,
    "pages/phase.js" SCRIPT,
    "pages/balance.js" SCRIPT,
    "pages/flags.js" SCRIPT,
    "pages/pair.js" SCRIPT,
    "pages/rollout.js" SCRIPT,
    "pages/routes.js" SCRIPT,
    "pages/shadow.js" SCRIPT,
    "pages/sides.js" SCRIPT,
    "pages/tree.js" SCRIPT,
    "pages/verdicts.js" SCRIPT,
    "pages/why.js" SCRIPT,
    "pages/wrongs.js" SCRIPT,
    "vendor/htm-preact.js" SCRIPT,
    "vendor/uplot.js" SCRIPT,
    "vendor/uplot.css" CSS,
    "vendor/htm.LICENSE" TEXT,
    "vendor/preact.LICENSE" TEXT,
    "vendor/uplot.LICENSE" TEXT,
];

#[cfg(test)]
mod tests;
