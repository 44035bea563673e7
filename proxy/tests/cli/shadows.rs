//! `gnomon shadow`: what is found, what is said to it, and what went wrong.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use serde_json::Value as Json;

use crate::{AT_ONCE, Proxy, eventually};

/// A service that says its price and who asked, on a thread of its own.
fn shop(price: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move |stream: TcpStream| -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let (mut stream, mut nth) = (stream, 0);
        loop {
            let mut told = String::new();
            loop {
                let mut line = String::new();
                if lines.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if line == "\r\n" {
                    break;
                }
                told += line.trim();
            }
            nth += 1;
            let at = format!("{price}{nth}{:?}", stream.peer_addr()?);
            let body = serde_json::json!({ "price": price, "at": at, "told": told }).to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes())?;
        }
    };
    let listen = move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up has had enough.
            let call = move || drop(serve(stream));
            thread::Builder::new().spawn(call).unwrap();
        }
    };
    thread::Builder::new().spawn(listen).unwrap();
    address
}

/// A proxy with two shops, the second of which is asked in the shadow, after so many requests.
fn shadowing(count: u64) -> Proxy {
    let proxy = Proxy::start_with("hello", AT_ONCE, |folder| {
        format!(
            "[upstream.store]\nversions.v1 = [\"{}\"]\nversions.v2 = [\"{}\"]\n\
             split = {{ v1 = 100 }}\n[route.store]\nmatch = {{ host = \"store.test\" }}\n\
             to = \"store\"\n[shadow.new]\nfrom = \"store@v1\"\nto = \"store@v2\"\n\
             noise = true\nshed_at = \"100%\"\nin_flight = 4096\n[state]\ndir = \"{}\"\n",
            shop(1),
            shop(2),
            folder.join("state").display()
        )
    });
    let address = proxy.address();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = "GET /item/7?token=sesame-open HTTP/1.1\r\nhost: store.test\r\n\
                       authorization: Bearer open-sesame\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
    eventually("all are found", || {
        let found = proxy.ask(&["shadow", "diffs", "--all", "--json"]).is(0).json();
        let price = item(&found, "$.price")?;
        (price["rates"]["compared"] == count).then_some(())
    });
    proxy
}

/// The finding at this path.
fn item<'a>(page: &'a Json, path: &str) -> Option<&'a Json> {
    page["items"].as_array()?.iter().find(|item| item["path"] == path)
}

#[test]
fn what_a_shadow_does_differently_is_told() {
    let proxy = shadowing(40);
    let list = proxy.ask(&["shadow", "list"]).is(0).data;
    assert!(list.contains("store@v1 → store@v2") && list.contains("compared 40"), "{list}");
    let list = proxy.ask(&["shadow", "list", "--json"]).is(0).json();
    assert_eq!((&list[0]["name"], &list[0]["accounting"]["compared"]), (&"new".into(), &40.into()));
    let diffs = proxy.ask(&["shadow", "diffs"]).is(0);
    assert!(diffs.data.contains("● real") && diffs.data.contains("$.price"), "{diffs:?}");
    assert!(!diffs.data.contains("$.at") && diffs.messages.contains("--all"), "{diffs:?}");
    let all = proxy.ask(&["shadow", "diffs", "new", "--all"]).is(0).data;
    assert!(all.contains("~ noise") && all.contains("$.at"), "{all}");
    let page = proxy.ask(&["shadow", "diffs", "--all", "--limit", "1"]).is(0);
    assert!(page.messages.contains("--offset 1"), "{page:?}");
    let json = proxy.ask(&["shadow", "diffs", "--all", "--json"]).is(0).json();
    let price = item(&json, "$.price").unwrap();
    assert_eq!((&price["verdict"], &price["count"]), (&"real".into(), &40.into()));
    let id = price["id"].as_str().unwrap();
    let shown = proxy.ask(&["shadow", "show", &id[..10]]).is(0).data;
    assert!(shown.contains("GET /item/7") && shown.contains("in 40 of 40 pairs"), "{shown}");
    let detail = proxy.ask(&["shadow", "show", id, "--json"]).is(0).json();
    assert_eq!(detail["example"]["differences"][0]["path"], "$.at");
    let noise = proxy.ask(&["shadow", "noise"]).is(0).data;
    assert!(noise.contains("$.at") && !noise.contains("$.price"), "{noise}");
    let noise = proxy.ask(&["shadow", "noise", "new", "--json"]).is(0).json();
    assert_eq!(noise["paths"]["items"][0]["path"], "$.at");
    let bundle = proxy.ask(&["shadow", "export", id]).is(0).json();
    assert_eq!((&bundle["gnomon_bundle"], &bundle["finding"]), (&1.into(), &id.into()));
    let to = proxy.folder.0.join("bundle.json").display().to_string();
    let told = proxy.ask(&["shadow", "export", id, "--to", &to]).is(0);
    assert!(told.messages.contains("bundle.json") || told.data.contains("bundle.json"), "{told:?}");
    let written: Json = serde_json::from_str(&fs::read_to_string(&to).unwrap()).unwrap();
    assert_eq!(written["finding"], id);
    let told = proxy.ask(&["shadow", "export", id, "--to", &to, "--json"]).is(0).json();
    assert_eq!(told["written"], to.as_str());
    for text in [&list.to_string(), &all, &shown, &detail.to_string(), &bundle.to_string()] {
        assert!(!text.contains("sesame"), "{text}");
    }
}

#[test]
fn marks_are_set_and_taken_away_by_hand() {
    let proxy = shadowing(40);
    let verdict = |path: &str| {
        let page = proxy.ask(&["shadow", "diffs", "--all", "--json"]).is(0).json();
        item(&page, path).map(|item| item["verdict"].as_str().unwrap().to_owned())
    };
    let is = |path: &str, wanted: &str| assert_eq!(verdict(path).as_deref(), Some(wanted));
    is("$.price", "real");
    let told = proxy.ask(&["shadow", "ignore", "new", "$..price", "--why", "a sale"]).is(0);
    assert!(told.data.contains("$..price is ignored"), "{told:?}");
    is("$.price", "ignored");
    let noise = proxy.ask(&["shadow", "noise"]).is(0).data;
    assert!(noise.contains("pinned as ignore: $..price") && noise.contains("a sale"), "{noise}");
    let told = proxy.ask(&["shadow", "ignore", "new", "$..price", "--undo", "--json"]).is(0);
    assert_eq!(told.json()["ok"], true);
    is("$.price", "real");
    proxy.ask(&["shadow", "noise", "--pin", "$.price"]).is(0);
    is("$.price", "noise");
    proxy.ask(&["shadow", "noise", "new", "--unpin", "$.price"]).is(0);
    is("$.price", "real");
    proxy.ask(&["shadow", "noise", "--clear", "$.price"]).is(0);
    assert_eq!(verdict("$.price"), None);
    proxy.ask(&["shadow", "noise", "--clear", "all"]).is(0);
    assert_eq!(verdict("$.at"), None);
}

#[test]
fn what_is_wrong_with_shadows_is_told_with_a_way_out() {
    let proxy = shadowing(10);
    let table: [(&[&str], &str, &str); 8] = [
        (&["diffs", "old"], "`old`", "new"),
        (&["noise", "old"], "`old`", "new"),
        (&["show", "xyz"], "`xyz`", "shadow diffs"),
        (&["export", "xyz"], "`xyz`", "shadow show"),
        (&["ignore", "new", "$.a["], "`$.a[`", "$.price"),
        (&["ignore", "old", "$.a"], "`old`", "new"),
        (&["ignore", "new", "$.a", "--undo"], "`$.a`", "shadow noise new"),
        (&["noise", "--clear", "$.none"], "`$.none`", "shadow diffs"),
    ];
    for (arguments, error, help) in table {
        let told = proxy.ask(&[&["shadow"], arguments].concat()).is(1);
        assert!(told.messages.contains(error) && told.messages.contains(help), "{told:?}");
    }
    proxy.ask(&["shadow", "diffs", "--limit", "few"]).is(2);
    proxy.ask(&["shadow", "noise", "--pin", "$.a", "--unpin", "$.a"]).is(2);
    let none = Proxy::start("hello", AT_ONCE);
    assert!(none.ask(&["shadow", "list"]).is(0).messages.contains("there are none"));
    assert_eq!(none.ask(&["shadow", "list", "--json"]).is(0).json(), Json::Array(Vec::new()));
    none.ask(&["shadow", "diffs"]).is(2);
}

#[test]
fn a_store_that_fails_is_in_the_status() {
    let proxy = Proxy::start_with("hello", AT_ONCE, |folder| {
        let file = folder.join("file");
        fs::write(&file, "in the way").unwrap();
        format!(
            "[shadow.new]\nfrom = \"shop@v1\"\nto = \"shop@v2\"\n[state]\ndir = \"{}\"\n",
            file.display()
        )
    });
    let told = eventually("it was tried", || {
        let status = proxy.status();
        (status["shadow"]["store"]["keeps"] == false).then_some(status)
    });
    assert!(told["shadow"]["store"]["last_error"]["what"].is_string(), "{told}");
    let shown = proxy.ask(&["status"]).is(0).data;
    assert!(shown.contains("what is learnt ends with the process"), "{shown}");
}
