//! Where flags come from beside the configuration: a file, a URL, or a server that speaks OFREP.
//!
//! Whatever it is, it becomes a text in flagd's format, of bounded size, which is read as a whole or
//! not at all. What has not changed is not read twice.

use std::{
    fs::{File, OpenOptions},
    hash::Hasher as _,
    io::Read as _,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use gnomon_config::model::flag::Source;
use gnomon_flags::flagd::{Definitions, Fault};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use siphasher::sip::SipHasher13;

use crate::{clock, control::client};

/// What is known of a source, so that it is not read twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mark {
    stamp: Option<Stamp>,
    etag: Option<String>,
    /// Of the text.
    pub(crate) hash: Option<u64>,
}

impl Mark {
    /// Of a text alone.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self { hash: Some(hash(text.as_bytes())), ..Self::default() }
    }
}

/// What a file looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970.
    written: i128,
    changed: i128,
}

/// What a look at a source came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Look {
    /// It says what it said when it was last looked at, be that right or wrong.
    Same(Mark),
    /// It says something else, which is right as far as it goes.
    New(Mark, Box<Content>),
    /// It says something else, which is wrong; or nothing at all.
    Bad(Mark, Vec<String>),
}

/// What a source says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    /// In flagd's format.
    pub(crate) text: String,
    pub(crate) definitions: Definitions,
    /// What is right, and hardly means what it says.
    pub(crate) doubts: Vec<String>,
}

/// What a source is called.
pub(crate) fn name(source: &Source) -> String {
    match source {
        Source::File(path) => path.display().to_string(),
        Source::Url(url) => url.to_string(),
        Source::Ofrep(url) => format!("ofrep+{url}"),
    }
}

/// Looks at a source.
pub(crate) async fn look(source: &Source, known: &Mark) -> Look {
    match source {
        Source::File(path) => {
            let (path, known) = (path.clone(), known.clone());
            let looking = tokio::task::spawn_blocking(move || look_at_file(&path, &known));
            looking
                .await
                .unwrap_or_else(|error| Look::Bad(Mark::default(), vec![error.to_string()]))
        }
        Source::Url(url) => look_at_url(url, None, known).await,
        Source::Ofrep(url) => {
            let url = format!("{}{OFREP}", url.trim_end_matches('/'));
            let asked = json!({"context": {"targetingKey": host()}});
            look_at_url(&url, Some(asked.to_string().into()), known).await
        }
    }
}

/// Looks at a file. Blocks.
pub(crate) fn look_at_file(path: &Path, known: &Mark) -> Look {
    let unread = |error: std::io::Error| vec![format!("it cannot be read: {error}")];
    match read_file(path, known) {
        Ok((stamp, None)) => Look::Same(Mark { stamp, ..known.clone() }),
        Ok((stamp, Some(text))) => judge(Mark { stamp, ..Mark::default() }, known, text),
        Err(error) => Look::Bad(Mark::default(), unread(error)),
    }
}

/// The file's stamp, if it says that something has changed since, and its text, if it may have changed.
fn read_file(path: &Path, known: &Mark) -> std::io::Result<(Option<Stamp>, Option<Vec<u8>>)> {
    // A pipe without a writer must keep nobody waiting.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let stamp = Stamp::of(&file)?;
    if known.hash.is_some() && known.stamp.as_ref() == Some(&stamp) {
        return Ok((Some(stamp), None));
    }
    let mut text = Vec::new();
    (&file).take(BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::other(too_long()));
    }
    // One that was written just now may be written again within the same tick of its clock.
    let now = i128::from(clock::nanos(clock::wall()));
    let is_settled = now - stamp.changed.max(stamp.written) > i128::from(clock::nanos(SETTLED))
        && Stamp::of(&file)? == stamp;
    Ok((is_settled.then_some(stamp), Some(text)))
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let seen = file.metadata()?;
        if !seen.is_file() {
            return Err(std::io::Error::other("it is no file"));
        }
        let nanos =
            |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        Ok(Self {
            inode: seen.ino(),
            size: seen.size(),
            written: nanos(seen.mtime(), seen.mtime_nsec()),
            changed: nanos(seen.ctime(), seen.ctime_nsec()),
        })
    }
}

async fn look_at_url(url: &str, body: Option<Bytes>, known: &Mark) -> Look {
    let is_ofrep = body.is_some();
    let most = usize::try_from(BYTES_MAX).unwrap_or(usize::MAX);
    let etag = known.hash.and(known.etag.as_deref());
    let fetched = match client::fetch(url, body, etag, PATIENCE, most).await {
        Ok(fetched) => fetched,
        Err(why) => return Look::Bad(known.clone(), vec![why]),
    };
    match fetched.status {
        200 => {}
        304 if etag.is_some() => return Look::Same(known.clone()),
        status => {
            return Look::Bad(known.clone(), vec![format!("it answers with status {status}")]);
        }
    }
    let mark = Mark { etag: fetched.etag, ..Mark::default() };
    if !is_ofrep {
        return judge(mark, known, fetched.body.into());
    }
    match from_ofrep(&fetched.body) {
        Ok(text) => judge(mark, known, text.into_bytes()),
        Err(why) => Look::Bad(known.clone(), vec![why]),
    }
}

/// What a text amounts to.
fn judge(mark: Mark, known: &Mark, text: Vec<u8>) -> Look {
    let mark = Mark { hash: Some(hash(&text)), ..mark };
    if mark.hash == known.hash {
        return Look::Same(mark);
    }
    match read(text) {
        Ok(content) => Look::New(mark, Box::new(content)),
        Err(faults) => Look::Bad(mark, faults),
    }
}

/// Reads a text in flagd's format; all that is wrong with it.
pub(crate) fn read(text: Vec<u8>) -> Result<Content, Vec<String>> {
    let text = String::from_utf8(text).map_err(|error| vec![format!("it is no text: {error}")])?;
    let said = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect();
    let (definitions, doubts) = Definitions::read(&text).map_err(said)?;
    Ok(Content { text, definitions, doubts: said(doubts) })
}

pub(crate) fn hash(text: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text);
    hasher.finish()
}

/// What a server answers that evaluates flags in bulk.
#[derive(Deserialize)]
struct Evaluated {
    flags: Vec<Map<String, Value>>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// An answer over OFREP in flagd's format: each success is a flag with one value for everybody.
fn from_ofrep(body: &[u8]) -> Result<String, String> {
    let Evaluated { flags, metadata } = serde_json::from_slice(body)
        .map_err(|error| format!("its answer is not that of an OFREP server: {error}"))?;
    let mut all = Map::new();
    for mut flag in flags {
        let Some(Value::String(key)) = flag.remove("key") else {
            return Err("its answer has a flag without a key".to_owned());
        };
        let Some(value) = flag.remove("value").filter(|_| !flag.contains_key("errorCode")) else {
            // There is nothing that it has for everybody.
            continue;
        };
        let variant = flag.remove("variant");
        let variant = variant.as_ref().and_then(Value::as_str).filter(|name| !name.is_empty());
        let variant = variant.unwrap_or("value");
        let metadata = flag.remove("metadata").filter(Value::is_object);
        let metadata = metadata.unwrap_or_else(|| json!({}));
        let flag = json!({
            "state": "ENABLED", "variants": {variant: value}, "defaultVariant": variant,
            "metadata": metadata,
        });
        all.insert(key, flag);
    }
    Ok(json!({"flags": all, "metadata": metadata}).to_string())
}

/// What this machine calls itself.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn too_long() -> String {
    format!("it is longer than {} MiB", BYTES_MAX >> 20)
}

/// Bytes of a source at most.
const BYTES_MAX: u64 = 16 << 20;
/// How long a server may take for all of its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How old a file's stamp has to be to tell that it has not changed since.
const SETTLED: Duration = Duration::from_secs(2);
/// Where an OFREP server evaluates all flags.
const OFREP: &str = "/ofrep/v1/evaluate/flags";

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"flags": {"a": {"state": "ENABLED", "variants": {"on": true},
        "defaultVariant": "on"}}}"#;

    #[test]
    fn a_file_is_read_when_it_has_changed() {
        let folder = std::env::temp_dir().join(format!("gnomon-source-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("flags.json");
        let bad = |look: Look| match look {
            Look::Bad(_, faults) => faults,
            other @ (Look::Same(_) | Look::New(..)) => panic!("{other:?}"),
        };
        assert!(bad(look_at_file(&path, &Mark::default()))[0].contains("cannot be read"));
        assert!(bad(look_at_file(&folder, &Mark::default()))[0].contains("cannot be read"));
        std::fs::write(&path, GOOD).unwrap();
        let Look::New(mark, content) = look_at_file(&path, &Mark::default()) else { panic!() };
        assert_eq!(content.definitions.flags.len(), 1);
        assert_eq!(mark.stamp, None, "it was written just now");
        let Look::Same(mark) = look_at_file(&path, &mark) else { panic!() };
        // Written anew with the same size.
        std::fs::write(&path, GOOD.replace("\"a\"", "\"b\"")).unwrap();
        let Look::New(mark, content) = look_at_file(&path, &mark) else { panic!() };
        assert_eq!(content.definitions.flags[0].name, "b");
        std::fs::write(&path, "{\"flags\": 7}").unwrap();
        let Look::Bad(mark, _) = look_at_file(&path, &mark) else { panic!() };
        assert!(matches!(look_at_file(&path, &mark), Look::Same(_)), "what is wrong is told once");
        let old = std::time::SystemTime::UNIX_EPOCH;
        File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        assert!(matches!(look_at_file(&path, &mark), Look::Same(_)));
        let file = File::create(&path).unwrap();
        file.set_len(BYTES_MAX + 1).unwrap();
        assert!(bad(look_at_file(&path, &mark))[0].contains("longer than 16 MiB"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_evaluation_for_all_becomes_flags() {
        let answer = json!({"flags": [
            {"key": "a", "value": true, "variant": "on", "reason": "STATIC", "metadata": {"x": 1}},
            {"key": "b", "value": 7, "reason": "STATIC"},
            {"key": "c", "errorCode": "GENERAL", "errorDetails": "?"},
            {"key": "d", "reason": "DISABLED"},
        ]});
        let text = from_ofrep(answer.to_string().as_bytes()).unwrap();
        let flags = read(text.into_bytes()).unwrap().definitions.flags;
        let names: Vec<_> =
            flags.iter().map(|it| (&*it.name, it.default, &it.variants[0])).collect();
        let variant = |name: &str, value| (name.to_owned(), value);
        assert_eq!(
            names,
            [
                ("a", Some(0), &variant("on", json!(true))),
                ("b", Some(0), &variant("value", json!(7))),
            ]
        );
        assert!(from_ofrep(b"{}").is_err());
        assert!(from_ofrep(br#"{"flags": [{"value": 1}]}"#).is_err());
    }
}
