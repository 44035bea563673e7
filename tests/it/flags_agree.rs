//! One answer for all who ask: the router on each core, and applications, before, while and after flags
//! are changed under them.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
};

use e2e::{Client, Origin, Running, on_each_driver};
use serde_json::{Value, json};

/// The field that tells origins.
const FIELD: &str = "x-gnomon-flags";
/// Users that are asked for, again and again.
const USERS: usize = 2500;
/// Requests in one write.
const BATCH: usize = 50;
/// Requests that are made at least while flags change, over all connections.
const REQUESTS: u64 = 100_000;
/// The two configurations' shares, in percent.
const SHARES: [u32; 2] = [50, 20];
/// How often they change at least.
const RELOADS: usize = 12;

/// Flags of several kinds, of which one changes its share.
fn config(origin: &Origin, share: u32) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\nruntime.cores = 2\nupstream.shop.versions.v1 = [\"{}\"]\nroute.all.to = \"shop\"\n\
         flags = {{ by = \"header:x-user\", send = \"all\", ofrep.listen = \"127.0.0.1:0\" }}\n\
         group.staff.header = {{ x-staff = \"1\" }}\ngroup.some.percent = 30\n\
         flag.moving.percent = {share}\n\
         flag.of-staff.rules = [{{ group = \"staff\", serve = \"on\" }}, {{ percent = {share}, serve = \"on\" }}]\n\
         flag.theme = {{ variants = {{ a = \"A\", b = \"B\", c = \"C\" }}, default = \"c\", rules = [\
         {{ group = \"some\", not = \"staff\", serve = {{ a = 1, b = {share} }} }}] }}\n\
         flag.off = {{ enabled = false, percent = 50 }}\n",
        origin.address(),
    )
}

fn is_staff(user: usize) -> bool {
    user.is_multiple_of(7)
}

/// A request of a user.
fn request(user: usize) -> String {
    let staff = if is_staff(user) { "x-staff: 1\r\n" } else { "" };
    format!("GET / HTTP/1.1\r\nhost: a\r\nx-user: u{user}\r\n{staff}\r\n")
}

/// What an application asks for the same user.
fn question(user: usize) -> String {
    let mut context = json!({ "targetingKey": format!("u{user}") });
    if is_staff(user) {
        context["header:x-staff"] = json!("1");
    }
    let body = json!({ "context": context }).to_string();
    format!(
        "POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A user's variants, by flag.
type Row = BTreeMap<String, String>;

/// What a field says: the revision, and a row.
fn told(field: &str) -> (String, Row) {
    let mut parts = field.split(';').skip(1);
    let revision = parts.next().unwrap_or_default().to_owned();
    let members = parts.filter_map(|part| part.split_once('='));
    let variant = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
    (revision, members.map(|(name, text)| (name.to_owned(), variant(text))).collect())
}

/// What applications are told of these users.
fn asked(application: &mut Client, users: &[usize]) -> Vec<Row> {
    application.send(users.iter().map(|user| question(*user)).collect::<String>());
    let read = |_: &usize| {
        let reply = application.read_reply();
        assert_eq!(reply.status(), 200, "{}", reply.text());
        let all: Value = serde_json::from_slice(&reply.body).expect("it is JSON");
        let flags = all["flags"].as_array().expect("there are some").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        flags.map(|flag| (text(&flag["key"]), text(&flag["variant"]))).collect()
    };
    users.iter().map(read).collect()
}

/// What origins are told of them.
fn routed(client: &mut Client, users: &[usize]) -> Vec<(String, Row)> {
    client.send(users.iter().map(|user| request(*user)).collect::<String>());
    users
        .iter()
        .map(|_| {
            let reply = client.read_reply();
            assert_eq!(reply.status(), 200, "{}", reply.text());
            told(&reply.text())
        })
        .collect()
}

/// An origin that answers with what it is told.
fn telling() -> Origin {
    Origin::start(|call, _| {
        while let Some(head) = call.next_head()? {
            let field = head.lines().find_map(|line| line.strip_prefix(FIELD)?.strip_prefix(": "));
            let field = field.unwrap_or_default();
            let length = field.len();
            call.reply(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{field}"))?;
        }
        Ok(())
    })
}

/// All users under both configurations, by both who ask, while nothing changes: by revision.
fn tables(proxy: &Running, origin: &Origin, users: &[usize]) -> BTreeMap<String, Vec<Row>> {
    let mut tables: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for share in SHARES {
        proxy.write(&config(origin, share));
        proxy.reload().expect("it is right");
        let mut application = Client::connect(proxy.ofrep());
        let mut client = proxy.connect();
        let mut table = Vec::new();
        for batch in users.chunks(BATCH) {
            let rows = asked(&mut application, batch);
            for (row, (revision, told)) in rows.iter().zip(routed(&mut client, batch)) {
                assert_eq!(*row, told);
                tables.entry(revision).or_default();
            }
            table.extend(rows);
        }
        let fresh: Vec<_> = tables.values_mut().filter(|table| table.is_empty()).collect();
        assert_eq!(fresh.len(), 1, "a configuration is one revision");
        fresh.into_iter().for_each(|place| place.clone_from(&table));
    }
    tables
}

#[test]
fn router_and_applications_agree_on_every_core_through_reloads() {
    on_each_driver(|driver| {
        let origin = telling();
        let proxy = Running::start(driver, &config(&origin, SHARES[0]));
        let users: Vec<usize> = (0..USERS).collect();
        let tables = tables(&proxy, &origin, &users);
        let both: Vec<&Vec<Row>> = tables.values().collect();
        let moved = users.iter().filter(|user| both[0][**user] != both[1][**user]).count();
        assert!(moved > USERS / 4, "{moved} are changed by a reload");

        let (is_over, requests, answers) =
            (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for line in 0..8 {
                let (tables, users, is_over, requests) = (&tables, &users, &is_over, &requests);
                let mut client = proxy.connect();
                scope.spawn(move || {
                    for batch in users.chunks(BATCH).cycle().skip(line * 7) {
                        for (user, (revision, row)) in batch.iter().zip(routed(&mut client, batch))
                        {
                            let table = tables.get(&revision).expect("it is one of the two");
                            assert_eq!(row, table[*user], "u{user}");
                        }
                        requests.fetch_add(batch.len() as u64, SeqCst);
                        if is_over.load(SeqCst) {
                            return;
                        }
                    }
                });
            }
            let (both, users, is_over, answers) = (&both, &users, &is_over, &answers);
            let mut application = Client::connect(proxy.ofrep());
            scope.spawn(move || {
                for batch in users.chunks(BATCH).cycle() {
                    for (user, row) in batch.iter().zip(asked(&mut application, batch)) {
                        assert!(both.iter().any(|table| table[*user] == row), "u{user}: {row:?}");
                    }
                    answers.fetch_add(batch.len() as u64, SeqCst);
                    if is_over.load(SeqCst) {
                        return;
                    }
                }
            });
            let mut reloads = 0;
            // Bounded, as who finds a fault asks no more.
            while reloads < 5000 && (reloads < RELOADS || requests.load(SeqCst) < REQUESTS) {
                proxy.write(&config(&origin, SHARES[reloads % 2]));
                proxy.reload().expect("it is right");
                reloads += 1;
            }
            is_over.store(true, SeqCst);
        });
        assert!(requests.load(SeqCst) >= REQUESTS && answers.load(SeqCst) > 0);
        let cores = proxy.status().cores;
        assert!(cores.len() == 2 && cores.iter().all(|core| core.requests > 0), "{cores:?}");
    });
}
