//! Values that overlap, in texts that are made of their spellings: cut, wrapped, coloured and released anywhere. What
//! is shown is compared with what a matcher shows that knows nothing of automata.

use proptest::prelude::*;

use super::{in_pieces, pieces, slowly, spelled};
use crate::{Forms, MARK, Masker};

/// What stands between characters, whole or not.
const GAPS: [&str; 14] = [
    "\n",
    "\r\n",
    "\r",
    " \r",
    " ",
    ":",
    "\x1b[m",
    "\x1b[1;31m",
    "\x1b[",
    "\x1b",
    "\n\n  ",
    "\\",
    "%",
    "\n\x1b[0mabab\x1b[1;2;3;4;5;6;7;8;9;1;2;3;4;5;6;7;8m",
];

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]{8,10}",
        "[ab%\\\\\n]{8,12}",
        "[ab \r+\n]{8,12}",
        "[12]{8,9}",
        "[ab\x1b\\[1m]{8,12}",
        "a{7,9}[é🦀\"/][ab]{0,4}",
        "(ab){4,20}",
        "[ -~]{8,24}",
        "[ -~\n]{8,24}",
        "[a-f0-9:]{8,24}",
        "sk-[A-Za-z0-9_/+-]{8,24}",
    ]
    .prop_filter("long enough", |value| crate::is_masked(value))
}

/// What holds no value, and is long enough to be passed over.
const FILLERS: [&str; 4] = [
    "2026-11-24T10:58:41Z INFO server: GET /static/app-5f3a.js 200 in 12 ms; cache=hit; peer=10.0.0.7\n",
    "{\"content\":\" said \\\"hello\\\" to\\nthe world of %d\",\"index\":0,\"finish_reason\":null}",
    "00000000  63 61 6e 61 72 79 2d 76  61 6c 75 65 0a",
    "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpBQkNERUZHSElK%20and+so+on",
];

/// A part of a spelling of one of the values, a gap, or something else.
type Part = (usize, prop::sample::Index, prop::sample::Index, prop::sample::Index, usize);

fn text(values: &[String], parts: &[Part], gaps: &[(prop::sample::Index, usize)]) -> Vec<u8> {
    let mut text: Vec<u8> = Vec::new();
    for (value, spelling, from, to, other) in parts {
        let all = spelled(&values[value % values.len()]);
        let bytes = spelling.get(&all).as_bytes();
        match other % 6 {
            0 => text.extend(&bytes[from.index(bytes.len())..]),
            1 => text.extend(&bytes[..to.index(bytes.len())]),
            2 => text.extend(GAPS[other / 6 % GAPS.len()].as_bytes()),
            3 => text.extend(FILLERS[other / 6 % FILLERS.len()].as_bytes()),
            _ => text.extend(bytes),
        }
    }
    for (at, gap) in gaps {
        let at = at.index(text.len() + 1);
        text.splice(at..at, GAPS[gap % GAPS.len()].bytes());
    }
    text
}

fn index() -> impl Strategy<Value = prop::sample::Index> {
    any::<prop::sample::Index>()
}

fn part() -> impl Strategy<Value = Part> {
    (any::<usize>(), index(), index(), index(), any::<usize>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 256 } else { 20_000 }))]

    #[test]
    fn many_values_are_masked_as_one_after_the_other(
        values in prop::collection::vec(value(), 1..12),
        parts in prop::collection::vec(part(), 1..5),
        gaps in prop::collection::vec((index(), any::<usize>()), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let text = text(&values, &parts, &gaps);
        let forms = Forms::new(values.iter().map(String::as_str));
        let expected = slowly(&forms, &text);
        let shown = in_pieces(&forms, pieces(&text, &cuts));
        let [shown, expected, text] = [&shown, &expected, &text].map(|text| String::from_utf8_lossy(text));
        prop_assert_eq!(shown, expected, "{:?}", text);
    }

    #[test]
    fn what_stands_in_a_text_is_found_there(
        text in "[ -~\n\r\x1b%\\\\+aé🦀]{8,300}",
        places in prop::collection::vec((index(), 8..60usize), 1..6),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let characters: Vec<char> = text.chars().collect();
        let value = |(at, length): &(prop::sample::Index, usize)| -> String {
            characters[at.index(characters.len())..].iter().take(*length).collect()
        };
        let values: Vec<String> = places.iter().map(value).collect();
        let forms = Forms::new(values.iter().map(String::as_str));
        let shown = in_pieces(&forms, pieces(text.as_bytes(), &cuts));
        prop_assert_eq!(&shown, &slowly(&forms, text.as_bytes()), "{:?}", values);
        let shown = String::from_utf8_lossy(&shown);
        prop_assert!(!values.iter().any(|value| crate::is_masked(value) && shown.contains(value.as_str())));
    }

    #[test]
    fn whenever_waiting_ends_no_complete_form_is_shown(
        values in prop::collection::vec(value(), 1..8),
        parts in prop::collection::vec(part(), 1..4),
        gaps in prop::collection::vec((index(), any::<usize>()), 0..4),
        cuts in prop::collection::vec((any::<usize>(), any::<bool>()), 0..6),
    ) {
        let text = text(&values, &parts, &gaps);
        let forms = Forms::new(values.iter().map(String::as_str));
        let (mut masker, mut out) = (Masker::new(&forms), Vec::new());
        let places: Vec<usize> = cuts.iter().map(|(at, _)| *at).collect();
        for (index, piece) in pieces(&text, &places).into_iter().enumerate() {
            masker.push(piece, &mut out);
            // Whatever is complete in what has arrived is covered, when the rest must not wait.
            let held: usize = masker.holds();
            if cuts.get(index).is_some_and(|(_, is_released)| *is_released) {
                let before = out.len();
                masker.release(&mut out);
                prop_assert_eq!(masker.holds(), 0);
                prop_assert!(out.len() - before <= held + held / 8 * MARK.len() + MARK.len());
            }
        }
        masker.finish(&mut out);
        for part in String::from_utf8_lossy(&out).split(MARK) {
            let shown = slowly(&forms, part.as_bytes());
            prop_assert_eq!(String::from_utf8_lossy(&shown), part);
        }
    }
}
