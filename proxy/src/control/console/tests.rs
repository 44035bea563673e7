//! What is in the console's folder is what is served, and it is small.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;

/// What a browser loads for a page, at the most.
const WIRE_BYTES_MAX: usize = 60_000;

fn files(folder: &Path, below: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            files(&path, &format!("{name}/"), found);
        } else {
            found.insert(name);
        }
    }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("console")
}

#[test]
fn every_file_of_the_folder_is_served() {
    let mut there = BTreeSet::new();
    files(&folder(), "", &mut there);
    for unserved in ["vendor/README.md", "vendor/SHA256SUMS"] {
        assert!(there.remove(unserved), "{unserved}");
    }
    let served: BTreeSet<String> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
    assert_eq!(served, there);
}

#[test]
fn what_others_wrote_is_as_they_published_it() {
    let sums = fs::read_to_string(folder().join("vendor/SHA256SUMS")).unwrap();
    let vendored = ASSETS.iter().filter(|asset| asset.name.starts_with("vendor/"));
    let mut count = 0;
    for asset in vendored {
        let hash = digest(&SHA256, asset.bytes);
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{hash}  {}", asset.name.trim_start_matches("vendor/"));
        assert!(sums.lines().any(|known| known == line), "{line}");
        count += 1;
    }
    assert_eq!(sums.lines().count(), count);
}

/// What a browser loads to show a page, from its first file on: what the files name of each other.
fn loaded(page: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut next = vec!["index.html".to_owned(), page.to_owned()];
    while let Some(name) = next.pop() {
        let asset =
            ASSETS.iter().find(|asset| asset.name == name).unwrap_or_else(|| panic!("{name}"));
        if !found.insert(asset.name) || asset.name.starts_with("vendor/") {
            continue;
        }
        let folder = asset.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        // Pages and licences are loaded when they are asked for.
        let is_lazy = |name: &str| name.starts_with("./pages/") || name.ends_with("LICENSE");
        let text = std::str::from_utf8(asset.bytes).unwrap();
        for quoted in text.split('"').skip(1).step_by(2).filter(|quoted| !is_lazy(quoted)) {
            let path = match quoted.strip_prefix("console/").or_else(|| quoted.strip_prefix("../"))
            {
                Some(path) => path.to_owned(),
                None => match quoted.strip_prefix("./") {
                    Some(path) if folder.is_empty() => path.to_owned(),
                    Some(path) => format!("{folder}/{path}"),
                    None => continue,
                },
            };
            // Sheets that some pages need are named by the frame.
            if asset.name != "app.js" || path != "pages.css" {
                next.push(path);
            }
        }
    }
    let text = std::str::from_utf8(ASSETS.iter().find(|it| it.name == "app.js").unwrap().bytes);
    if text.unwrap().lines().any(|line| line.contains(page) && line.contains("pages.css")) {
        found.insert("pages.css");
    }
    found
}

#[test]
fn each_page_is_small_on_the_wire() {
    let frame = ASSETS.iter().find(|asset| asset.name == "app.js").unwrap();
    let frame = std::str::from_utf8(frame.bytes).unwrap();
    let pages: Vec<_> =
        frame.split("import(\"./").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(pages.len() >= 4 && frame.matches("import(").count() == pages.len());
    for page in pages {
        let files = loaded(page);
        assert!(files.contains("vendor/htm-preact.js") && files.contains("store.js"), "{files:?}");
        let size = |name: &str| {
            ASSETS.iter().find(|asset| asset.name == name).unwrap().packed().gzip.len()
        };
        let sizes: Vec<_> = files.iter().map(|name| (size(name), *name)).collect();
        let all: usize = sizes.iter().map(|(size, _)| size).sum();
        assert!(all < WIRE_BYTES_MAX, "{page}: {all} bytes: {sizes:?}");
    }
    assert!(loaded("pages/rollout.js").contains("vendor/uplot.js"));
}

#[test]
fn lines_stay_where_comments_are_left_out() {
    let text = "// A word.\nconst a = 1; // stays\n\n  /** Why:\n   * so. */\n  let b;\n";
    assert_eq!(lean(text), "\nconst a = 1; // stays\n\n\n\nlet b;\n");
}

#[test]
fn nothing_is_inline_or_from_elsewhere() {
    // Addresses may be shown, as in a command for a shell; none may be loaded.
    let loads = ["src=", "href=", "from ", "import(", "fetch(", "call(", "get(", "url("];
    let inline = ["style=\"", "onclick=\"", "eval(", "innerHTML", "//cdn"];
    for asset in ASSETS.iter().filter(|asset| !asset.name.starts_with("vendor/")) {
        let text = std::str::from_utf8(asset.bytes).unwrap();
        for foreign in inline {
            assert!(!text.contains(foreign), "{} has {foreign}", asset.name);
        }
        for rest in loads.iter().flat_map(|load| text.split(load).skip(1)) {
            let rest = rest.trim_start_matches(['"', '\'', '`']);
            let is_foreign = ["http:", "https:", "//"].iter().any(|start| rest.starts_with(start));
            assert!(!is_foreign, "{} loads {}", asset.name, rest.lines().next().unwrap());
        }
    }
}

fn ask(name: &str, fields: &[(header::HeaderName, &str)]) -> Response {
    let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
    find(name, &fields.collect())
}

#[test]
fn a_file_comes_packed_and_only_once() {
    let packed = ask("app.js", &[(header::ACCEPT_ENCODING, "br, gzip;q=0.8")]);
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    let plain = ask("app.js", &[(header::ACCEPT_ENCODING, "gzip;q=0")]);
    assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
    assert_eq!(plain.headers()[header::CONTENT_TYPE], SCRIPT);
    let tag = plain.headers()[header::ETAG].to_str().unwrap();
    let again = ask("app.js", &[(header::IF_NONE_MATCH, &format!("\"other\", W/{tag}"))]);
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(ask("app.js", &[(header::IF_NONE_MATCH, "\"other\"")]).status(), StatusCode::OK);
    assert_eq!(ask("../Cargo.toml", &[]).status(), StatusCode::NOT_FOUND);
}
