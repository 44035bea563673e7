//! What is drawn of a proxy that is known, whatever the size and whatever its texts hold.

mod known;

use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, layout::Rect};

use self::known::{NOW, finding, picture};
use super::{
    draw::draw,
    glyph::Glyphs,
    keys::Action,
    order::{Ask, Do},
    pane::Pane,
    picture::{Look, News, Picture},
    snapshot::plain,
    tone::{Tints, Tone},
    view::{Effect, Mode, View},
};
use crate::{
    cli::top::ask::Wish,
    control::api::series::{Beat, Entry, History, Role, VersionBeat, Whoami},
};

fn view(pane: Pane) -> View {
    View::new(pane, false, Glyphs::Braille, Tints::None)
}

/// As the terminal shows it.
fn shown(picture: &Picture, view: &View, columns: u16, rows: u16) -> String {
    let mut view = view.clone();
    view.columns = columns;
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let drawn = |frame: &mut ratatui::Frame<'_>| {
        let area = frame.area();
        draw(picture, &view, area, frame.buffer_mut());
    };
    terminal.draw(drawn).unwrap();
    plain(terminal.backend().buffer())
}

/// Holds a frame against the one that is kept; `UPDATE=1` keeps it instead.
#[track_caller]
fn is_as_kept(name: &str, text: &str) {
    let path = format!("{}/src/cli/top/tests/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if crate::environment::variable("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "not as in {path} (UPDATE=1 keeps it):\n{text}\nkept:\n{kept}");
}

#[test]
fn each_pane_is_drawn_as_it_was() {
    let picture = picture();
    for pane in Pane::ALL {
        is_as_kept(pane.title(), &shown(&picture, &view(pane), 80, 24));
    }
    is_as_kept("overview-wide", &shown(&picture, &view(Pane::Overview), 160, 20));
    is_as_kept("rollouts-wide", &shown(&picture, &view(Pane::Rollouts), 160, 30));
    let mut plain = view(Pane::Rollouts);
    plain.glyphs = Glyphs::Ascii;
    let text = shown(&picture, &plain, 80, 24);
    assert!(text.is_ascii(), "{text}");
    is_as_kept("rollouts-ascii", &text);
}

#[test]
fn questions_and_pages_are_drawn_as_they_were() {
    let picture = picture();
    let mut asking = view(Pane::Rollouts);
    asking.obey(Action::Begin(Do::Abort), &picture);
    for letter in "it is slow".chars() {
        asking.obey(Action::Type(letter), &picture);
    }
    is_as_kept("abort", &shown(&picture, &asking, 80, 24));
    let mut helped = view(Pane::Overview);
    helped.obey(Action::Help, &picture);
    is_as_kept("help", &shown(&picture, &helped, 80, 44));
}

#[test]
fn any_size_is_drawn() {
    let picture = picture();
    for (columns, rows) in [(1, 1), (39, 9), (40, 10), (41, 11), (60, 12), (80, 24), (300, 100)] {
        for pane in Pane::ALL {
            let mut view = view(pane);
            for mode in [Mode::Pane, Mode::Help, Mode::Details, Mode::Filter] {
                view.mode = mode;
                let text = shown(&picture, &view, columns, rows);
                assert_eq!(text.lines().count(), usize::from(rows));
            }
            let _ = view.obey(Action::Back, &picture);
            view.obey(Action::Begin(Do::Weight), &picture);
            let _ = shown(&picture, &view, columns, rows);
        }
    }
    // And of a proxy of which nothing is known.
    for pane in Pane::ALL {
        let _ = shown(&Picture::default(), &view(pane), 80, 24);
    }
}

#[test]
fn no_text_of_the_proxy_reaches_the_terminal_as_a_command() {
    let hostile = "\u{1b}]0;x\u{7}\u{1b}[2J\r\n\u{9b}31m\u{202e}界e\u{301}\u{301}\u{301}\u{301}\u{301}👩\u{200d}👩\0";
    let long = hostile.repeat(500);
    let mut picture = picture();
    let status = picture.status.as_mut().unwrap();
    status.config.hash = hostile.to_owned();
    for upstream in &mut status.upstreams {
        upstream.name.clone_from(&long);
        for version in &mut upstream.versions {
            version.name = format!("{hostile}{}", version.name);
            version.endpoints[0].out = Some(long.clone());
            version.endpoints[0].available = false;
        }
    }
    for component in &mut status.saturation.components {
        component.which.clone_from(&long);
    }
    let rollout = &mut picture.rollouts.rollouts[0];
    for text in [&mut rollout.from, &mut rollout.to, &mut rollout.verdict, &mut rollout.state.why] {
        text.clone_from(&long);
    }
    let entry = Entry {
        id: 99,
        text: long.clone(),
        by: long.clone(),
        subject: Some(long.clone()),
        ..Entry::default()
    };
    picture.learn(News::Entry(entry), NOW);
    picture.learn(News::Silent(long.clone()), NOW);
    if let Some(who) = &mut picture.who {
        who.host.clone_from(&long);
    }
    let mut page = finding();
    page.items[0].path = long.as_str().into();
    picture.findings.insert("shadow".to_owned(), page);
    for glyphs in [Glyphs::Braille, Glyphs::Block, Glyphs::Ascii] {
        for pane in Pane::ALL {
            for mode in [Mode::Pane, Mode::Details] {
                let mut view = view(pane);
                (view.glyphs, view.mode) = (glyphs, mode);
                view.notice = Some((Tone::Bad, long.clone()));
                let area = Rect::new(0, 0, 100, 30);
                let mut buffer = Buffer::empty(area);
                draw(&picture, &view, area, &mut buffer);
                for cell in &buffer.content {
                    let symbol = cell.symbol();
                    let is_sane = |c: char| !c.is_control() && !"\u{202e}\u{200d}".contains(c);
                    assert!(symbol.chars().all(is_sane), "{symbol:?} on {pane:?}");
                    assert!(symbol.chars().count() <= 4, "{symbol:?}");
                    assert!(glyphs != Glyphs::Ascii || symbol.is_ascii(), "{symbol:?}");
                }
            }
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn an_order_says_what_will_happen_and_is_posted_with_its_reason() {
    let picture = picture();
    let posted = |pane: Pane, what: Do, answer: &str| {
        let mut view = view(pane);
        assert_eq!(view.obey(Action::Begin(what), &picture), Effect::None);
        let Mode::Ask(ask) = view.mode.clone() else { panic!("{:?}", view.notice) };
        for letter in answer.chars() {
            view.obey(Action::Type(letter), &picture);
        }
        let effect = view.obey(Action::Submit, &picture);
        let Effect::Post(path, body) = effect else { panic!("{:?}", view.mode) };
        assert!(view.is_busy && view.mode == Mode::Pane);
        (ask.title, ask.means, format!("{path} {body}"))
    };
    let table = [
        (
            Pane::Rollouts,
            Do::Promote,
            "why not",
            "into step 3 (50%)",
            "/v1/rollouts/shop/promote {\"reason\":\"why not\",\"step\":2}",
        ),
        (
            Pane::Rollouts,
            Do::Abort,
            "bad",
            "Everybody goes to shop@v1",
            "/v1/rollouts/shop/abort {\"reason\":\"bad\",\"step\":null}",
        ),
        (
            Pane::Rollouts,
            Do::Pause,
            "lunch",
            "It stays at step 2 of 4 (25%)",
            "/v1/rollouts/shop/pause {\"reason\":\"lunch\",\"step\":null}",
        ),
        (
            Pane::Rollouts,
            Do::Approve,
            "ok",
            "Step 3 (50%) follows",
            "/v1/rollouts/shop/approve {\"reason\":\"ok\",\"step\":null}",
        ),
        (
            Pane::Rollouts,
            Do::Start,
            "go",
            "From the first step",
            "/v1/rollouts/shop/start {\"reason\":\"go\",\"step\":null}",
        ),
        (
            Pane::Upstreams,
            Do::Weight,
            "12.5%",
            "v1 takes the rest",
            "/v1/upstreams/shop/weight {\"v1\":12.5}",
        ),
        (
            Pane::Upstreams,
            Do::Drain,
            "",
            "Nobody new gets it",
            "/v1/upstreams/shop/drain {\"version\":\"v1\"}",
        ),
        (
            Pane::Upstreams,
            Do::Rollback,
            "",
            "Everybody goes to v1 at once",
            "/v1/upstreams/shop/rollback {}",
        ),
        (
            Pane::Upstreams,
            Do::Freeze,
            "",
            "no command but `resume`",
            "/v1/upstreams/shop/freeze {}",
        ),
        (
            Pane::Shadows,
            Do::Noise,
            "a clock",
            "Differences at $.price",
            "/v1/shadows/next/mark {\"kind\":\"noise\",\"pattern\":\"$.price\",\"why\":\"a clock\"}",
        ),
    ];
    for (pane, what, answer, means, request) in table {
        let (title, said, asked) = posted(pane, what, answer);
        assert!(title.ends_with('?'), "{title}");
        assert!(said.contains(means), "{what:?}: {said}");
        assert_eq!(asked, request);
    }
}

#[test]
fn a_question_wants_an_answer_and_a_reason_or_to_be_told_twice() {
    let picture = picture();
    let mut asking = view(Pane::Rollouts);
    asking.obey(Action::Begin(Do::Abort), &picture);
    assert_eq!(asking.obey(Action::Submit, &picture), Effect::None);
    let Mode::Ask(ask) = &asking.mode else { panic!() };
    assert!(ask.trouble.as_ref().unwrap().contains("no reason"), "{ask:?}");
    assert!(matches!(asking.obey(Action::Submit, &picture), Effect::Post(..)));
    // One at a time.
    asking.obey(Action::Begin(Do::Abort), &picture);
    assert_eq!(asking.mode, Mode::Pane);
    asking.done(Err("it is frozen".to_owned()));
    assert_eq!(asking.notice, Some((Tone::Bad, "it is frozen".to_owned())));
    let mut weighing = view(Pane::Upstreams);
    weighing.obey(Action::Begin(Do::Weight), &picture);
    for wrong in ["", "x", "101", "-1", "NaN"] {
        weighing.obey(Action::Clear, &picture);
        for letter in wrong.chars() {
            weighing.obey(Action::Type(letter), &picture);
        }
        assert_eq!(weighing.obey(Action::Submit, &picture), Effect::None, "{wrong}");
    }
    weighing.obey(Action::Back, &picture);
    assert_eq!(weighing.mode, Mode::Pane);
    // What is pasted is no key, and a letter is no yes.
    let mut pasting = view(Pane::Upstreams);
    pasting.paste("r\n");
    assert_eq!(pasting.mode, Mode::Pane);
    pasting.obey(Action::Begin(Do::Rollback), &picture);
    pasting.obey(Action::Type('y'), &picture);
    assert_eq!(pasting.mode, Mode::Pane);
    pasting.obey(Action::Begin(Do::Weight), &picture);
    pasting.paste("5\n");
    assert!(matches!(pasting.obey(Action::Submit, &picture), Effect::Post(..)));
    // A rollout that is not under way is not promoted, and what is gone not acted upon.
    let mut over = picture.clone();
    over.rollouts.rollouts[0].state.phase = gnomon_policy::rollout::Phase::Aborted;
    assert!(Ask::begin(Do::Promote, &over, Some("shop")).unwrap_err().contains("aborted"));
    assert!(Ask::begin(Do::Start, &over, Some("shop")).is_ok());
    assert_eq!(Ask::begin(Do::Abort, &over, Some("none")), Err("it is gone".to_owned()));
}

#[test]
fn a_reader_posts_nothing_even_if_a_question_was_open() {
    let known = picture();
    let mut reader = known.clone();
    reader.who = Some(Whoami { role: Role::Read, ..Whoami::default() });
    let mut unknown = known.clone();
    unknown.who = None;
    for picture in [&reader, &unknown] {
        let mut view = view(Pane::Upstreams);
        view.obey(Action::Begin(Do::Rollback), &known);
        assert_eq!(view.obey(Action::Submit, picture), Effect::None);
        let text = shown(picture, &self::view(Pane::Upstreams), 100, 24);
        assert!(text.contains("read only") && !text.contains("rollback"), "{text}");
    }
    let mut only = view(Pane::Upstreams);
    only.is_read_only = true;
    assert!(!only.may_act(&known));
    assert!(shown(&known, &view(Pane::Upstreams), 100, 24).contains("r rollback"));
}

#[test]
fn rows_are_sorted_filtered_and_found_again() {
    let picture = picture();
    let mut view = view(Pane::Upstreams);
    let first = |view: &View| {
        let table = super::draw::table(Pane::Upstreams, &picture, view);
        table.rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(first(&view), ["shop@v1", "shop@v2", "cart@v1"]);
    view.obey(Action::Sort, &picture);
    assert_eq!(first(&view)[0], "cart@v1");
    view.obey(Action::Turn, &picture);
    assert_eq!(first(&view)[2], "cart@v1");
    view.obey(Action::Move(1), &picture);
    assert_eq!(view.chosen(&picture).as_deref(), Some("shop@v2"));
    view.obey(Action::End(false), &picture);
    assert_eq!(view.chosen(&picture).as_deref(), Some("cart@v1"));
    view.obey(Action::Filter, &picture);
    for letter in "CANARY".chars() {
        view.obey(Action::Type(letter), &picture);
    }
    assert_eq!(first(&view), ["shop@v2"]);
    assert_eq!(view.obey(Action::Submit, &picture), Effect::None);
    assert_eq!(view.chosen(&picture).as_deref(), Some("shop@v2"));
    view.obey(Action::Back, &picture);
    assert_eq!(first(&view).len(), 3);
    // The chosen row stays chosen wherever it moves to.
    assert_eq!(view.chosen(&picture).as_deref(), Some("cart@v1"));
}

#[test]
fn a_proxy_that_is_silent_is_told_of_and_comes_back() {
    let mut picture = picture();
    assert_eq!(picture.silent_since(), None);
    picture.learn(News::Silent("connection refused".to_owned()), NOW + 61_000);
    let text = shown(&picture, &view(Pane::Overview), 100, 24);
    assert!(text.contains("▼ no answer since 14:02:11 (1m 1s): connection refused"), "{text}");
    assert!(text.contains("shop"), "{text}");
    picture.learn(News::Look(Box::default()), NOW + 62_000);
    assert_eq!(picture.silent_since(), None);
    // One that hangs refuses nothing.
    picture.now += 10_000;
    assert_eq!(picture.silent_since(), Some(NOW / 1000 + 62));
}

#[test]
fn the_past_is_what_the_proxy_tells_or_what_was_seen() {
    let mut picture = Picture { interval: 1000, ..Picture::default() };
    let beat = |at: u64, rate: f64| {
        let version = VersionBeat {
            upstream: "shop".into(),
            version: "v1".into(),
            rate,
            ..VersionBeat::default()
        };
        Beat { at, versions: vec![version], ..Beat::default() }
    };
    let beats = vec![beat(1_000, 1.0), beat(11_000, 2.0), beat(12_000, 3.0), beat(13_000, 4.0)];
    picture.learn(News::Past(History { coarse_seconds: 10, beats }), 13_500);
    let rates = |picture: &Picture| picture.past.of_version("shop", "v1", |it| it.rate);
    // The older part has another pace, and is not drawn with the newer.
    assert_eq!(rates(&picture), [2.0, 3.0, 4.0]);
    picture.learn(News::Beat(beat(14_000, 5.0)), 14_000);
    picture.learn(News::Beat(beat(14_000, 9.0)), 14_001);
    assert_eq!(rates(&picture), [2.0, 3.0, 4.0, 5.0]);
    // Without them, counts are held against those before.
    let mut own = known::silent();
    assert_eq!(rates(&own), [50.0]);
    for _ in 0..2_000 {
        let mut look = Look { status: own.status.clone(), ..Look::default() };
        let status = look.status.as_mut().unwrap();
        status.uptime_seconds += 1.0;
        status.upstreams[0].versions[0].assigned += 70;
        own.learn(News::Look(Box::new(look)), own.now + 1000);
    }
    assert_eq!(rates(&own).len(), 900);
    assert_eq!(rates(&own)[899], 70.0);
    // Another process counts anew.
    let mut look = Look { status: own.status.clone(), ..Look::default() };
    look.status.as_mut().unwrap().pid = 8;
    own.learn(News::Look(Box::new(look)), own.now + 1000);
    assert_eq!(rates(&own).len(), 900);
}

#[test]
fn only_what_is_looked_at_is_asked_for() {
    assert_eq!(Wish::of(Pane::Overview), Wish::default());
    assert!(Wish::of(Pane::Rollouts).records && !Wish::of(Pane::Rollouts).findings);
    assert!(Wish::of(Pane::Events).journal);
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for (text, millis) in [
        ("1s", Some(1000)),
        ("200ms", Some(200)),
        ("2m", Some(120_000)),
        ("0s", None),
        ("1", None),
        ("s", None),
        ("1h", None),
        ("99999999999999999999s", None),
        ("18446744073709551615m", None),
    ] {
        let said = super::interval(text).ok().map(|time| time.as_millis());
        assert_eq!(said, millis, "{text}");
    }
    for (text, size) in [
        ("80x24", Some((80, 24))),
        ("40x10", Some((40, 10))),
        ("39x24", None),
        ("80", None),
        ("80x9999", None),
        ("x", None),
    ] {
        assert_eq!(super::size(text).ok(), size, "{text}");
    }
}
