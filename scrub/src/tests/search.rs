//! Looking for values in files: whole, in pieces, and broken over lines.

use super::*;

/// What is found in a text that comes in these pieces: what it is, and where.
fn found<'a>(
    forms: &Forms,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<(usize, usize, usize, Written)> {
    let mut search = Search::new(forms);
    let (mut all, mut held, mut offset) = (Vec::new(), Vec::new(), 0);
    let mut pieces = pieces.into_iter().peekable();
    while let Some(piece) = pieces.next() {
        held.extend_from_slice(piece);
        let is_all = pieces.peek().is_none();
        let done = search.look(&held, is_all, |found| {
            all.push((found.value, offset + found.start, offset + found.end, found.written));
        });
        held.drain(..done);
        offset += done;
    }
    all
}

fn in_files(values: &[&str]) -> Forms {
    Forms::in_files(values.iter().copied())
}

const JOINS: [&str; 12] = [
    "\n",
    "\r\n",
    "\n        ",
    "\n\t\t",
    "\\\n",
    "\\\n    ",
    "\" +\n      \"",
    "\"\n   + \"",
    "' .\n  '",
    "\"\n  f\"",
    "\n# ",
    "\n    // ",
];

#[test]
fn a_value_that_is_broken_anywhere_is_found_in_any_pieces() {
    let value = "sk-Ab3/x9+Qz_7Lm4Xw";
    let forms = in_files(&["another-value-0", value, "sk-Ab3/x9-else"]);
    let base64 = BASE64.encode(format!("..{value}..").as_bytes());
    for (written, text, slack) in [
        (Written::Clear, value.to_owned(), 0),
        (Written::Base64, base64, 4),
        (Written::Hex, HEXLOWER.encode(value.as_bytes()), 0),
    ] {
        for join in JOINS {
            for at in 1..text.len() {
                let broken = format!("const x = [\"{}{join}{}\"];\n", &text[..at], &text[at..]);
                let hits = found(&forms, [broken.as_bytes()]);
                let [(1, start, end, how)] = hits[..] else { panic!("{broken:?}: {hits:?}") };
                assert_eq!(how, written, "{broken:?}");
                assert!(start >= 12 && start <= 12 + slack + join.len(), "{broken:?} {start}");
                assert!(end + slack + join.len() >= broken.len() - 4, "{broken:?} {end}");
                for size in [1, 3, 7] {
                    assert_eq!(found(&forms, broken.as_bytes().chunks(size)), hits, "{broken:?} in {size}");
                }
            }
        }
    }
}

#[test]
fn a_line_end_stands_for_a_space_and_for_nothing() {
    let forms = in_files(&["correct horse battery", "no-spaces-here"]);
    for text in [
        "correct horse battery",
        "correct\nhorse battery",
        "a: >-\n   correct\n   horse\n   battery\n",
        "correct \n   horse \n  battery",
        "'correct ' +\n  'horse battery'",
        "no-spa\n  ces-here",
    ] {
        assert_eq!(found(&forms, [text.as_bytes()]).len(), 1, "{text:?}");
    }
    for text in ["correct, horse battery", "no- spaces-here", "\"no-spaces\", \"-here\""] {
        assert_eq!(found(&forms, [text.as_bytes()]), [], "{text:?}");
    }
}

#[test]
fn what_a_value_begins_with_may_also_belong_to_a_gap_before_it() {
    for (value, before, start) in
        [(" \"+aa\\\\\\", "\\\n  \\\n  ", 3), (" a\"\\+ aa", "\" \\\n  ", 1), ("\"a++aa\\+", "\"\"\\\n  ", 0)]
    {
        let (forms, text) = (in_files(&[value]), format!("{before}{value}"));
        let told = [(0, start, text.len(), Written::Clear)];
        assert_eq!(found(&forms, [text.as_bytes()]), told, "{text:?}");
        assert_eq!(found(&forms, text.as_bytes().chunks(1)), told, "{text:?} in pieces");
    }
}

#[test]
fn each_value_is_told_of_what_two_of_them_share() {
    let forms =
        in_files(&["shared-value", "shared-value", "{\"key\":\"shared-value\"}", "shared-value-longer"]);
    let told = |text: &str| {
        let mut values: Vec<_> = found(&forms, [text.as_bytes()]).into_iter().map(|found| found.0).collect();
        values.sort_unstable();
        values
    };
    assert_eq!(told("x shared-value y"), [0, 1, 2]);
    assert_eq!(told("x shared-value-longer y"), [0, 1, 2, 3]);
}

#[test]
fn output_of_programs_is_not_read_as_sources() {
    let forms = forms(&["canary-value"]);
    for text in ["canary\n  -value", "canary\" +\n\"-value", "canary\\\n-value"] {
        assert_eq!(masked(&forms, text), text);
    }
}

#[test]
fn long_lines_of_blanks_and_quotes_take_no_longer() {
    let forms = in_files(&["a         \"\"\"\"\"\"b", "\"\"\"\"\"\"\"\"\"\"c", "                d"]);
    let start = Instant::now();
    for unit in ["\" +\n", " ", "\"", "\n  ", "\\\n", "\"\n\"", "a \""] {
        let text = unit.repeat(4_000 / unit.len());
        found(&forms, text.as_bytes().chunks(4096));
    }
    // Values like these are nobody's; without bounds they would take hours.
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn what_is_found_is_what_the_forms_find(
        values in prop::collection::vec("[ab \"\\\\+\n]{8,12}", 1..4),
        text in prop::collection::vec("([ab \"\\\\+\n]{1,12}|%0A|%61|\\\\u0061|\\\\n|6162|YWJh|\" \\+\n \"|\\\\\n  |\n    )", 0..12),
        pick in any::<prop::sample::Index>(),
        size in 1..9_usize,
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let forms = in_files(&values);
        let value = pick.get(&values);
        let text = format!("{}{value}{}", text.concat(), text.concat());
        let whole = found(&forms, [text.as_bytes()]);
        prop_assert_eq!(&found(&forms, text.as_bytes().chunks(size)), &whole);
        // Each place where a form stands is in what was told of its value.
        for at in 0..text.len() {
            for (place, form) in forms.forms.iter().enumerate() {
                let Begin::To(length) = form.find(&text.as_bytes()[at..], ignore) else { continue };
                for owner in forms.owners_of(place).filter(|owner| !owner.is_part) {
                    let is_told = |hit: &(usize, usize, usize, Written)| hit.0 == owner.value && hit.1 <= at && at + length <= hit.2;
                    prop_assert!(whole.iter().any(is_told), "{:?} at {} of {:?}: {:?}", form.spelling(), at, text, whole);
                }
            }
        }
    }
}
