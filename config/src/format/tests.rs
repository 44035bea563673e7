//! Formatting: samples stay as they are, and nothing changes its meaning.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn tidy(text: &str) -> String {
    format("test", text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn becomes(text: &str, wanted: &str) {
    let now = tidy(text);
    assert_eq!(now, wanted, "\n{now}");
    assert_eq!(tidy(&now), now, "a second time");
}

#[track_caller]
fn stays(text: &str) {
    becomes(text, text);
}

/// Every TOML file that we ship.
fn samples() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for folder in ["sample", "../scripts/ops"] {
        for file in std::fs::read_dir(root.join(folder)).unwrap().flatten() {
            if file.path().extension().is_some_and(|ending| ending == "toml") {
                let text = std::fs::read_to_string(file.path()).unwrap();
                all.push((file.path().display().to_string(), text));
            }
        }
    }
    assert!(all.len() >= 8, "{}", all.len());
    all
}

#[test]
fn the_samples_are_the_style() {
    for (name, text) in samples() {
        let now = tidy(&text);
        let differs = text.lines().zip(now.lines()).find(|(then, now)| then != now);
        assert!(now == text, "{name}: {differs:#?}");
    }
}

#[test]
fn what_is_no_toml_is_refused_as_a_check_does() {
    let text = "lsten = 1\nlisten = \n[[[";
    let problems = format("test", text).unwrap_err();
    assert_eq!(Err(problems), crate::parse("test", text, &Options::default()).map(drop));
    for twice in ["a = 1\na = 2\n", "[a]\n[a]\n", "a = { b = 1, b = 2 }\n"] {
        assert!(format("test", twice).is_err(), "{twice}");
    }
}

#[test]
fn the_wrong_meaning_is_no_matter_of_form() {
    becomes("unknown   = 1", "unknown = 1\n");
}

#[test]
fn spaces_are_one_around_signs_and_none_at_ends() {
    becomes("a=1  \n  b\t=  [ 1,2 , 3,]\t\n", "a = 1\nb = [1, 2, 3]\n");
    becomes("c={x=1,  y = { }}\nd = [ ]\n", "c = { x = 1, y = {} }\nd = []\n");
    becomes("a . \"b c\" . d=1", "a.\"b c\".d = 1\n");
    becomes("[ a . b ]#c\n\n\nx=1\n", "[a.b] #c\nx = 1\n");
    becomes("[[ a ]]\nx = 0x1F\ny = 1_000\nz = 'l'\n", "[[a]]\nx = 0x1F\ny = 1_000\nz = 'l'\n");
    becomes("a = 1\r\nb = 2\r\n", "a = 1\nb = 2\n");
    becomes("\u{feff}a = 1", "a = 1\n");
    becomes("", "");
    becomes("\n\n", "");
    becomes("# only words   ", "# only words\n");
}

#[test]
fn a_blank_line_parts_tables_and_comments_belong_to_what_follows() {
    becomes(
        "\n# top\n[a]\n\nx = 1\n# about b\n[b]\n[b.c]\n\n\n# last of c\n\n[d]\n# about y\ny = 1\n\n\n\nz = 2\n\n",
        "# top\n[a]\nx = 1\n\n# about b\n[b]\n\n[b.c]\n\n# last of c\n\n[d]\n# about y\ny = 1\n\nz = 2\n",
    );
    becomes("[a]\n\n# about x\nx = 1\n", "[a]\n# about x\nx = 1\n");
    stays("[a]\nx = 1\n# y = 2\n\n# about b\n[b]\n");
}

#[test]
fn equals_signs_line_up_where_somebody_began_to() {
    stays("[a]\nlonger = 1\nx = 2\n");
    becomes("[a]\nlonger = 1\nx   = 2\n", "[a]\nlonger = 1\nx      = 2\n");
    becomes(
        "a  = 1\n# words\nlonger = 2\n\nb = 3\nlong = 4\n",
        "a      = 1\n# words\nlonger = 2\n\nb = 3\nlong = 4\n",
    );
    // What takes several lines ends a block.
    stays("a      = 1\nlonger = [\n  1,\n]\nb = 1\ncc = 1\n");
    becomes("alone     = 1\n", "alone = 1\n");
}

#[test]
fn remarks_of_neighbours_stand_below_each_other() {
    becomes(
        "a = 1 # x\nbbb = 22 # y\nc = 3\nd = 4  # z\n",
        "a = 1    # x\nbbb = 22 # y\nc = 3\nd = 4  # z\n",
    );
    becomes(
        "a = 1 #x\n[b]#y\nc = [\n1,# z\n22, # zz\n] # end\nd = 1 # e\n",
        "a = 1 #x\n\n[b] #y\nc = [\n  1,  # z\n  22, # zz\n] # end\nd = 1 # e\n",
    );
}

#[test]
fn lists_keep_their_lines_and_long_ones_get_some() {
    stays("a = [\n  1,\n  2,\n]\n");
    becomes("a = [1,\n  2]\n", "a = [1, 2]\n");
    becomes("a = [ # why\n 1 # one\n , 2]\n", "a = [\n  # why\n  1, # one\n  2,\n]\n");
    becomes("a = [\n\n\n 1,\n\n\n 2,\n\n]\n", "a = [\n  1,\n\n  2,\n]\n");
    becomes("a = [[\n1], 2]\n", "a = [\n  [\n    1,\n  ],\n  2,\n]\n");
    becomes("a = { b = [\n1] }\n", "a = { b = [\n  1,\n] }\n");
    let items = ["\"10.0.0.11:8080\""; 6];
    becomes(
        &format!("endpoints = [{}]", items.join(",")),
        &format!("endpoints = [\n  {},\n]\n", items.join(",\n  ")),
    );
    let wide = format!(
        "a = {{ {} }}\n",
        ["bbbbbbbbbbbbbbbbbbbbbb"; 6]
            .iter()
            .enumerate()
            .map(|(ix, it)| format!("{it}{ix} = 1"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    stays(&wide);
}

#[test]
fn texts_over_lines_are_left_alone() {
    stays("a = \"\"\"\n  x   \n# no comment\n\n\n y\"\"\"\nb = '''\n[z]\n'''\n");
    stays("a = [\"\"\"\nx\"\"\", 1]\n");
}

#[test]
fn keys_keep_their_order_however_dotted() {
    stays("a.x = 1 # one\nb = 2\na.y = 3\n[c]\n".replace("[c]", "\n[c]").as_str());
    stays("[b.c]\nx = 1\n\n[a]\ny = 1\n\n[b]\nz = 1\n");
}

/// Pieces that a text with anything in it is made of.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        "  ",
        "\t",
        "\n",
        "\n\n",
        "\r\n",
        "# words \n",
        "#\n",
        "a",
        "b.c",
        "\"q.u\"",
        "=",
        " = ",
        "1",
        "-2.5",
        "nan",
        "true",
        "\"t # x\"",
        "'l'",
        "\"\"\"m\n  l \"\"\"",
        "2026-12-01",
        "[",
        "]",
        "{",
        "}",
        ",",
        "[a]\n",
        "[[t]]\n",
        "[b.c]\n",
        "d = [1,2]\n",
        "e = { x = 1 }\n",
        "f = [\n1, # one\n\n2]\n",
        "g   = 1 # g\n",
    ])
}

/// A sample after a few accidents.
fn harmed() -> impl Strategy<Value = String> {
    let texts: Vec<String> = samples().into_iter().map(|(_, text)| text).collect();
    let accident = (any::<prop::sample::Index>(), 0_usize..4, piece());
    (prop::sample::select(texts), prop::collection::vec(accident, 0..12)).prop_map(
        |(mut text, accidents)| {
            for (place, removed, piece) in accidents {
                let mut at = place.index(text.len() + 1);
                let mut end = (at + removed).min(text.len());
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                while !text.is_char_boundary(end) {
                    end += 1;
                }
                text.replace_range(at..end, piece);
            }
            text
        },
    )
}

/// Says whether the text was TOML.
fn holds(text: &str) -> bool {
    let Ok(once) = format("test", text) else { return false };
    let twice = format("test", &once).expect("what we write is TOML");
    assert_eq!(once, twice, "of {text:?}");
    assert_eq!(meaning(&once), meaning(text), "of {text:?}");
    let comments = |text: &str| text.matches('#').count();
    assert_eq!(comments(&once), comments(text), "of {text:?}");
    // It was not given up on.
    assert_eq!(once, layout::lay_out(lines::read(text)), "of {text:?}");
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_second_time_changes_nothing(text in prop::collection::vec(piece(), 0..24)) {
        holds(&text.concat());
    }

    #[test]
    fn accidents_with_spaces_do_no_harm(lines in prop::collection::vec(
        prop::sample::select(vec![
            "a = 1\n", "  b= [ 1 ,2]  # two\n", "cc   =  {x=1 }\n", "# words\n", "\n", "\t\n", "dd.e = \"\"\"\n x \n\"\"\" # t\n",
            "f = [ # why\n [1,\n2], # in\n\n\n {k = [\n'v' # w\n]}\n]\n", "g = '''x'''    # far\n", "[t] # t\n", "[[u]]\n",
        ]), 0..12))
    {
        // Keys may not come twice: each line gets its own.
        let mut text = String::new();
        for (ix, line) in lines.iter().enumerate() {
            let line = line.replacen("a =", &format!("a{ix} ="), 1).replacen("b=", &format!("b{ix}="), 1);
            let line = line.replacen("cc ", &format!("c{ix} "), 1).replacen("dd.", &format!("d{ix}."), 1);
            let line = line.replacen("f = [", &format!("f{ix} = ["), 1).replacen("g =", &format!("g{ix} ="), 1);
            text.push_str(&line.replacen("[t]", &format!("[t{ix}]"), 1));
        }
        prop_assert!(holds(&text), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn harmed_samples_are_refused_or_formatted(text in harmed()) {
        holds(&text);
    }
}
