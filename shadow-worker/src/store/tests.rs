//! What was known is known again, whatever happens to the file.

use std::sync::atomic::{AtomicBool, AtomicU32};

use gnomon_config::model::Keep;

use super::*;
use crate::{
    difference::{Difference, Kind},
    finding::{MarkKind, Verdict},
    ledger::{
        Baseline, Command,
        tests::{Scene, differs},
    },
};

const KEEP: Keep = Keep { samples: 3, age: Duration::from_secs(3600), size: 1 << 20 };
const SAME: Baseline<'static> = Baseline::Found(&[]);

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Relaxed);
        Self(std::env::temp_dir().join(format!("gnomon-store-{}-{nth}", std::process::id())))
    }

    /// Below a folder that is not there yet.
    fn file(&self) -> PathBuf {
        self.0.join("deep").join("shadow.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A ledger with a real difference, a noisy path, a mark and examples.
fn scene(saved: Saved) -> Scene {
    let mut scene = Scene::new(saved, KEEP);
    let noisy = differs("$.a", "string");
    for nth in 0..40 {
        let baseline = if nth % 2 == 0 { vec![noisy.clone()] } else { vec![] };
        let found = [differs("status", "200 → 500"), noisy.clone()];
        scene.pair("GET /", &found[..1 + nth % 2], Baseline::Found(&baseline));
    }
    let mark = Command::Mark {
        pattern: "$.b".into(),
        kind: MarkKind::Noise,
        by: "ann".into(),
        why: "clock".into(),
    };
    scene.ledger.command("s", mark, 5).unwrap();
    scene
}

fn write(store: &mut Option<Store>, path: &Path, scene: &mut Scene, status: &Status) {
    let report = scene.ledger.report(scene.at);
    turn(path, store, &report, scene.at, status);
}

#[test]
fn what_was_learnt_survives_a_restart() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    let mut before = scene(Saved::default());
    write(&mut store, &folder.file(), &mut before, &status);
    assert_eq!(status.last_error(), None);
    // As after a kill: nothing is closed, and the next process finds database and log as they are.
    let saved = load(&folder.file(), 1, &status).unwrap();
    let mut after = Scene::new(saved, KEEP);
    after.at = before.at;
    let (old, new) = (before.report(), after.report());
    assert_eq!((&old.totals, &old.marks, &old.examples), (&new.totals, &new.marks, &new.examples));
    assert_eq!(old.share.to_bits(), new.share.to_bits());
    assert_eq!(old.paths.len(), new.paths.len());
    for (old, new) in old.paths.iter().zip(&new.paths) {
        assert_eq!((&old.path, old.rates, old.verdict), (&new.path, new.rates, new.verdict));
        assert!((old.log_e - new.log_e).abs() < 1e-9);
    }
    for (old, new) in old.findings.iter().zip(&new.findings) {
        assert_eq!((&old.id, old.count, old.verdict), (&new.id, new.count, new.verdict));
        assert_eq!((old.first_seen, &old.examples), (new.first_seen, &new.examples));
    }
    assert_eq!(new.findings[0].verdict, Verdict::Real);
    after.pair("GET /", &[differs("status", "200 → 500")], SAME);
    assert_eq!(after.report().findings[0].count, 41);
}

#[test]
fn only_what_changed_is_written_and_what_is_gone_is_deleted() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    let mut scene = scene(Saved::default());
    write(&mut store, &folder.file(), &mut scene, &status);
    let changes = |store: &Option<Store>| store.as_ref().unwrap().connection.total_changes();
    let all = changes(&store);
    write(&mut store, &folder.file(), &mut scene, &status);
    assert_eq!((changes(&store), status.writes.load(Relaxed)), (all, 1));
    scene.pair("GET /", &[], SAME);
    write(&mut store, &folder.file(), &mut scene, &status);
    assert!(changes(&store) - all <= 4, "{}", changes(&store) - all);
    scene.at += 2 * 3_600_000;
    write(&mut store, &folder.file(), &mut scene, &status);
    let saved = load(&folder.file(), 1, &status).unwrap();
    assert_eq!((saved.shadows[0].findings.len(), saved.shadows[0].examples.len()), (0, 0));
    assert!(!saved.shadows[0].paths.is_empty());
    assert_eq!(status.last_error(), None);
    // Of a shadow that nobody has configured for long, nothing is left.
    drop(Store::open(&folder.file(), scene.at + (40 << 30)).unwrap());
    assert_eq!(load(&folder.file(), 1, &status).unwrap(), Saved::default());
}

#[test]
fn a_locked_file_is_written_when_it_is_free_again() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    let mut scene = scene(Saved::default());
    write(&mut store, &folder.file(), &mut scene, &status);
    let other = Connection::open(folder.file()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    scene.pair("GET /", &[differs("status", "new")], SAME);
    write(&mut store, &folder.file(), &mut scene, &status);
    assert!(status.last_error().unwrap().1.contains("locked"));
    assert!(status.pending.load(Relaxed) > 0);
    other.execute_batch("ROLLBACK").unwrap();
    write(&mut store, &folder.file(), &mut scene, &status);
    assert_eq!((status.pending.load(Relaxed), status.writes.load(Relaxed)), (0, 2));
    let saved = load(&folder.file(), 1, &status).unwrap();
    assert_eq!(saved.shadows[0].findings.len(), 3);
}

#[test]
fn a_full_disk_loses_nothing_but_time() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    let mut scene = scene(Saved::default());
    write(&mut store, &folder.file(), &mut scene, &status);
    let limit = |store: &Option<Store>, pages: u32| {
        let connection = &store.as_ref().unwrap().connection;
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    limit(&store, 1);
    for nth in 0..100 {
        scene.pair("GET /", &[differs(&format!("$.x{nth}"), "x")], SAME);
    }
    write(&mut store, &folder.file(), &mut scene, &status);
    assert!(status.last_error().unwrap().1.contains("full"));
    assert_eq!(load(&folder.file(), 1, &status).unwrap().shadows[0].findings.len(), 2);
    limit(&store, 1 << 20);
    write(&mut store, &folder.file(), &mut scene, &status);
    assert_eq!(load(&folder.file(), 1, &status).unwrap().shadows[0].findings.len(), 102);
}

#[test]
fn a_corrupt_file_is_moved_aside_and_said_so() {
    let (folder, status) = (Folder::new(), Status::default());
    fs::create_dir_all(folder.file().parent().unwrap()).unwrap();
    fs::write(folder.file(), [7; 9000]).unwrap();
    assert_eq!(load(&folder.file(), 42, &status).unwrap(), Saved::default());
    assert!(status.last_error().unwrap().1.contains(".corrupt-42"));
    assert!(!folder.file().exists());
    // The same under way: the next turn begins a new file and writes all.
    let (mut store, mut scene) = (None, scene(Saved::default()));
    fs::write(folder.file(), [7; 9000]).unwrap();
    write(&mut store, &folder.file(), &mut scene, &status);
    write(&mut store, &folder.file(), &mut scene, &status);
    assert_eq!(load(&folder.file(), 43, &status).unwrap().shadows.len(), 1);
    let names = fs::read_dir(folder.file().parent().unwrap()).unwrap().flatten();
    let aside = names.filter(|file| file.file_name().to_string_lossy().contains(".corrupt-"));
    assert_eq!(aside.count(), 2);
}

#[test]
fn a_file_that_was_taken_away_is_made_anew() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    let mut scene = scene(Saved::default());
    write(&mut store, &folder.file(), &mut scene, &status);
    fs::remove_dir_all(&folder.0).unwrap();
    scene.pair("GET /", &[], SAME);
    write(&mut store, &folder.file(), &mut scene, &status);
    assert_eq!(load(&folder.file(), 1, &status).unwrap().shadows[0].findings.len(), 2);
    assert_eq!(status.last_error(), None);
}

#[test]
fn half_a_transaction_leaves_the_state_before_it() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    let mut scene = scene(Saved::default());
    write(&mut store, &folder.file(), &mut scene, &status);
    let before = load(&folder.file(), 1, &status).unwrap();
    scene.pair("GET /", &[differs("status", "new")], SAME);
    let report = scene.ledger.report(scene.at);
    let open = store.as_mut().unwrap();
    let transaction = open.connection.transaction().unwrap();
    rows::stage(&transaction, &report, &open.known, 1).unwrap();
    transaction.execute_batch("PRAGMA cache_spill = 1; PRAGMA cache_size = 1").unwrap();
    // What a process leaves behind that dies here: a copy of its files.
    let copy = folder.0.join("copy.db");
    for end in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        fs::copy(name(&folder.file()), name(&copy)).unwrap();
    }
    assert_eq!(load(&copy, 1, &status).unwrap(), before);
}

#[test]
fn a_newer_file_is_left_alone() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    drop(open(&folder.file()).unwrap());
    let other = Connection::open(folder.file()).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(load(&folder.file(), 1, &status), Err(Fault::Newer(99))));
    write(&mut store, &folder.file(), &mut scene(Saved::default()), &status);
    assert!(status.last_error().unwrap().1.contains("newer"));
    assert!(other.query_row("SELECT 1 FROM finding", [], |_| Ok(())).is_err());
}

#[test]
fn both_aspects_of_a_path_survive_a_restart() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    let mut before = scene(Saved::default());
    let gone = Difference { kind: Kind::Missing, ..differs("$.a", "string -") };
    for _ in 0..30 {
        let noise = [differs("$.a", "string")];
        before.pair("GET /", std::slice::from_ref(&gone), Baseline::Found(&noise));
    }
    write(&mut store, &folder.file(), &mut before, &status);
    let mut after = Scene::new(load(&folder.file(), 1, &status).unwrap(), KEEP);
    after.at = before.at;
    let of = |scene: &mut Scene| {
        let report = scene.report();
        let known = report.paths.iter().map(|one| (one.path.clone(), one.aspect, one.tally));
        known.collect::<Vec<_>>()
    };
    let known = of(&mut before);
    assert_eq!(known.iter().filter(|(path, ..)| &**path == "$.a").count(), 2);
    assert_eq!(known, of(&mut after));
    let real = after.report().findings.iter().find(|one| &*one.kind == "missing").cloned();
    assert_eq!(real.unwrap().verdict, Verdict::Real);
}

#[test]
fn a_file_of_the_first_version_is_read() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    let mut scene = scene(Saved::default());
    write(&mut store, &folder.file(), &mut scene, &status);
    let before = load(&folder.file(), 1, &status).unwrap();
    let other = Connection::open(folder.file()).unwrap();
    // What the first version made, and this one does not.
    other
        .execute_batch(
            "CREATE TABLE old AS SELECT shadow, endpoint, path, compared, different, asked, \
             noisy, log_e, verdict, doc FROM path; DROP TABLE path; \
             ALTER TABLE old RENAME TO path; PRAGMA user_version = 1",
        )
        .unwrap();
    assert_eq!(load(&folder.file(), 1, &status).unwrap(), before);
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%path%'";
    let count: i64 = other.query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn nobody_else_may_read_the_file() {
    let (folder, status, mut store) = (Folder::new(), Status::default(), None);
    write(&mut store, &folder.file(), &mut scene(Saved::default()), &status);
    for end in ["", "-wal", "-shm"] {
        let path = format!("{}{end}", folder.file().display());
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{end}");
    }
    assert_eq!(load(&folder.0.join("none"), 1, &status).unwrap(), Saved::default());
    assert!(!folder.0.join("none").exists());
}

#[test]
fn the_thread_writes_once_more_when_it_ends() {
    let (folder, status) = (Folder::new(), Arc::new(Status::default()));
    let mut scene = scene(Saved::default());
    let report = scene.ledger.report(scene.at);
    let ending = Arc::new(AtomicBool::new(false));
    let (path, theirs, end) = (folder.file(), status.clone(), ending.clone());
    let thread = thread::Builder::new()
        .spawn(move || run(&path, &|| report.clone(), &|| 77, &|| end.load(Relaxed), &theirs))
        .unwrap();
    ending.store(true, Relaxed);
    thread.thread().unpark();
    thread.join().unwrap();
    assert_eq!(status.last_write.load(Relaxed), 77);
    assert_eq!(load(&folder.file(), 1, &status).unwrap().shadows.len(), 1);
}
