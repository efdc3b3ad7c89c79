mod hostile;
mod search;

use std::time::Instant;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use proptest::prelude::*;

use super::*;

fn forms(values: &[&str]) -> Forms {
    Forms::new(values.iter().copied())
}

fn in_pieces<'a>(forms: &Forms, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut masker = Masker::new(forms);
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut out);
    }
    masker.finish(&mut out);
    out
}

fn masked(forms: &Forms, text: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(&in_pieces(forms, [text.as_ref()])).into_owned()
}

/// What the masker must do, done slowly: every form is looked for everywhere, and each byte of one is covered.
fn slowly(forms: &Forms, text: &[u8]) -> Vec<u8> {
    let mut covered = vec![false; text.len()];
    let mut marks = vec![false; text.len()];
    let mut masked = 0;
    for at in 0..text.len() {
        let ends = forms.forms.iter().filter_map(|form| match form.find(&text[at..], ignore) {
            Begin::To(end) => Some((end, form)),
            Begin::No | Begin::Perhaps => None,
        });
        let Some((end, form)) = ends.max_by_key(|(end, _)| *end) else { continue };
        marks[at] = at >= masked;
        masked = masked.max(at + end);
        let mut inside = vec![true; end];
        form.find(&text[at..], |start, stop| inside[start..stop].fill(false));
        for (index, inside) in inside.into_iter().enumerate() {
            covered[at + index] |= inside;
        }
    }
    let mut out = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        if marks[at] {
            out.extend_from_slice(MARK.as_bytes());
        }
        if !covered[at] {
            out.push(*byte);
        }
    }
    out
}

fn url(value: &str, upper: bool, plus: bool) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        b' ' if plus => "+".to_owned(),
        _ if upper => format!("%{byte:02X}"),
        _ => format!("%{byte:02x}"),
    };
    value.bytes().map(escape).collect()
}

/// Character references: by number where all is one, and otherwise by name where a sign has one.
fn html(value: &str, number: Option<fn(u32) -> String>) -> String {
    let name = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => "&apos;".to_owned(),
        '/' => "&sol;".to_owned(),
        '+' => "&plus;".to_owned(),
        '=' => "&equals;".to_owned(),
        '_' => "&lowbar;".to_owned(),
        '\n' => "&NewLine;".to_owned(),
        '\t' => "&Tab;".to_owned(),
        c => c.to_string(),
    };
    value.chars().map(|c| number.map_or_else(|| name(c), |number| number(u32::from(c)))).collect()
}

fn json_ascii(value: &str) -> String {
    value.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// Every named form, alone and inside of something longer.
fn spelled(value: &str) -> Vec<String> {
    let json = serde_json::to_string(value).unwrap();
    // One quote at each end: the value may end in one of its own.
    let json = json[1..json.len() - 1].to_owned();
    let mut all = vec![
        value.to_owned(),
        value.replace('\n', "\r\n"),
        HEXLOWER.encode(value.as_bytes()),
        HEXUPPER.encode(value.as_bytes()),
        url(value, true, true),
        url(value, true, false),
        url(value, false, true),
        url(value, false, false),
        url(&url(value, true, true), true, true),
        url(&url(value, false, false), false, false),
        // Of what the first left as it is, the second may encode something.
        url(&value.replace('%', "%25"), true, false),
        html(value, None),
        html(value, Some(|number| format!("&#{number};"))),
        html(value, Some(|number| format!("&#0{number};"))),
        html(value, Some(|number| format!("&#x{number:x};"))),
        html(value, Some(|number| format!("&#X{number:04X};"))),
        value.replace('&', "&amp;").replace('"', "&#34;").replace('/', "&#x2F;"),
        json.replace('/', "\\/"),
        json,
        json_ascii(value),
        json_ascii(value).to_uppercase().replace("\\U", "\\u"),
    ];
    for encoding in [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD] {
        for before in ["", "x", "xy"] {
            for after in ["", "z", "zz"] {
                all.push(encoding.encode(format!("{before}{value}{after}").as_bytes()));
            }
        }
    }
    all
}

/// The part of a base64 text that tells of the value: without the characters that only tell of what is around it.
fn is_gone(forms: &Forms, text: &str) {
    let out = masked(forms, format!("a={text};b"));
    let kept = out.replace(MARK, "");
    // Around a value in base64 stand at most what encodes two neighbours on either side, and the padding.
    assert!(out.contains(MARK) && kept.len() <= 4 + 9, "{text:?} becomes {out:?}");
}

#[test]
fn every_named_form_is_masked() {
    for value in [
        "sk-canary/4711+x",
        "pass word & ümlaut 🦀",
        "a\"quote\\and\ttab",
        "-----K\nline one two\nend-----",
        "\"quoted\"",
        "100%free&<b>'it'=50%25_of/%2F",
    ] {
        let forms = forms(&[value]);
        for text in spelled(value) {
            is_gone(&forms, &text);
        }
    }
}

#[test]
fn what_is_around_a_value_stays() {
    let forms = forms(&["canary-value", "canary-value-longer", "longer-tail"]);
    for (text, shown) in [
        ("", ""),
        ("c", "c"),
        ("canary-valu", "canary-valu"),
        ("x canary-value y", "x •••• y"),
        ("canary-value-longer!", "••••!"),
        ("canary-value-long", "••••-long"),
        ("canary-value-longer-tail.", "••••."),
        ("canary-valuecanary-value", "••••••••"),
        ("\"canary\\u002dvalue\"", "\"••••\""),
        ("can\x1b[1;31mary-va\x1b[mlue\x1b[K", "••••\x1b[1;31m\x1b[m\x1b[K"),
        ("canary-\r\nvalue", "••••\r\n"),
        ("63 61 6e 61 72 79 2d 76 61 6c 75 65", "••••"),
    ] {
        assert_eq!(masked(&forms, text), shown, "{text:?}");
    }
}

#[test]
fn lines_are_masked_by_themselves_and_short_ones_are_not() {
    let key = "-----BEGIN KEY-----\nMIIEvAIBADANBg\nkqhkiG9w0BAQEF\nAA==\n-----END KEY-----\n";
    let forms = forms(&[key, "short"]);
    assert_eq!(masked(&forms, format!("{key}.")), "••••.");
    assert_eq!(masked(&forms, format!("{}.", key.replace('\n', "\r\n"))), "••••.");
    assert_eq!(
        masked(&forms, "1 MIIEvAIBADANBg\n2 kqhkiG9w0BAQEF\n4 AA== short"),
        "1 ••••\n2 ••••\n4 AA== short"
    );
    assert!(!is_masked("1234567"));
    assert!(is_masked("12345678"));
    assert!(!is_masked("äöüäöüä"));
}

#[test]
fn what_was_shown_for_want_of_time_does_not_give_the_rest_away() {
    let forms = forms(&["canary-value"]);
    let (mut masker, mut out) = (Masker::new(&forms), Vec::new());
    masker.push(b"x can", &mut out);
    assert_eq!(out, b"x ");
    assert_eq!(masker.holds(), 3);
    masker.release(&mut out);
    assert_eq!(out, b"x can");
    assert_eq!(masker.holds(), 0);
    masker.push(b"ary-value y", &mut out);
    masker.finish(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "x can•••• y");
}

#[test]
fn a_complete_value_is_not_shown_though_it_may_begin_a_longer_one() {
    for (values, text, shown) in [
        (&["hunter2hu", "hunter2huNEW!"][..], "old: hunter2hu\n", "old: ••••\n"),
        (&["first-line\nsecond-line"], "first-line\n", "••••\n"),
        (&["db://me:password1@host", "password1"], "db://me:password1", "db://me:••••"),
        (&["hunter2hu", "hunter2huNEW!"], "68756e7465723268752e", "••••2e"),
    ] {
        let forms = forms(values);
        let (mut masker, mut out) = (Masker::new(&forms), Vec::new());
        masker.push(text.as_bytes(), &mut out);
        masker.release(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), shown, "{text:?}");
        masker.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), shown, "{text:?}");
    }
}

#[test]
fn figures_below_each_other_are_no_value() {
    let forms = forms(&["12345678", "1234567a"]);
    let column: String = (1..=9).map(|figure| format!("{figure}\n")).collect();
    for text in
        [column.clone(), column.replace('\n', "\r\n"), column.replace('\n', "\r"), "1234\n5678\n".to_owned()]
    {
        assert_eq!(masked(&forms, &text), text);
    }
    for (text, shown) in [
        ("12345678", "••••"),
        // What colours, and how readline wraps.
        ("1234\x1b[1m5678", "••••\x1b[1m"),
        ("1234 \r5678", "••••"),
        // Other values are seen through line ends.
        ("1234\n567a", "••••\n"),
        ("31 32 33 34\n35 36 37 38", "••••\n"),
    ] {
        assert_eq!(masked(&forms, text), shown, "{text:?}");
    }
}

#[test]
fn what_a_program_prints_of_a_value_alone_is_masked_and_what_others_hold_is_not() {
    let account = r#"{"type": "service_account", "private_key_id": "0123456789abcdef01234567", "n": [{"k": "in\"side-1"}]}"#;
    let config = "apiVersion: v1\nclusters:\n- cluster:\n    server: https://10.0.0.1\n  name: prod\nusers:\n- name: \
                  admin\n  user:\n    token: token-of-admin\n";
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvAIBADANBg\n-----END PRIVATE KEY-----\n";
    let forms = forms(&[account, config, key]);
    for (text, shown) in [
        ("id: 0123456789abcdef01234567", "id: ••••"),
        (r#"{"k":"in\"side-1"}"#, r#"{"k":"••••"}"#),
        ("in\"side-1", "••••"),
        ("Bearer token-of-admin", "Bearer ••••"),
        ("dG9rZW4tb2YtYWRtaW4=", "••••="),
        ("1 MIIEvAIBADANBg", "1 ••••"),
        (account, "••••"),
        (config, "••••"),
        (key, "••••"),
    ] {
        assert_eq!(masked(&forms, text), shown, "{text:?}");
    }
    let others = "  \"type\": \"service_account\",\napiVersion: v1\n- cluster:\n  name: prod\n- name: admin\n    server: \
                  https://10.0.0.1\n-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";
    assert_eq!(masked(&forms, others), others);
}

#[test]
fn debug_shows_no_value() {
    let forms = forms(&["canary-value"]);
    let mut masker = Masker::new(&forms);
    masker.push(b"canary-v", &mut Vec::new());
    assert_eq!(format!("{forms:?} {masker:?}"), "[redacted] Masker { holds: 8, .. }");
}

#[test]
fn a_character_split_in_the_middle_is_put_together() {
    let forms = forms(&["ключ-от-дома"]);
    let text = "до: ключ-от-дома; ключ-от".as_bytes();
    for at in 0..text.len() {
        let out = in_pieces(&forms, [&text[..at], &text[at..]]);
        assert_eq!(String::from_utf8(out).unwrap(), "до: ••••; ключ-от");
    }
}

#[test]
fn megabytes_pass_quickly_and_little_is_held() {
    let values = ["sk-proj-0123456789abcdef", "ghp_0123456789abcdefghij", "correct horse battery"];
    let forms = forms(&values);
    let line =
        "2026-11-24T10:58:41Z INFO server: GET /static/app-5f3a.js 200 in 12 ms; cache=hit; peer=10.0.0.7\n";
    let text = line.repeat(40_000);
    let (mut masker, mut out, mut most) = (Masker::new(&forms), Vec::with_capacity(text.len()), 0);
    let start = Instant::now();
    for piece in text.as_bytes().chunks(4096) {
        masker.push(piece, &mut out);
        most = most.max(masker.held.capacity());
    }
    masker.finish(&mut out);
    let took = start.elapsed();
    assert!(out == text.as_bytes());
    assert!(most <= 16 << 10, "{most} bytes held");
    // Slow enough for a loaded machine without optimisation, and still far from the square of the length.
    assert!(took.as_secs() < 20, "{took:?}");
    eprintln!("{:.0} MB/s", text.len() as f64 / 1e6 / took.as_secs_f64());
}

/// How many bytes were looked at closely for each of a text.
fn looked(values: &[&str], text: &str) -> f64 {
    let forms = forms(values);
    let (mut masker, mut out) = (Masker::new(&forms), Vec::new());
    for piece in text.as_bytes().chunks(4096) {
        masker.push(piece, &mut out);
    }
    masker.finish(&mut out);
    assert_eq!(out, text.as_bytes());
    masker.kept.looked as f64 / text.len() as f64
}

#[test]
fn output_is_looked_at_as_often_whatever_the_values() {
    let line =
        "2026-11-24T10:58:41Z INFO server: GET /static/app-5f3a.js 200 in 12 ms; cache=hit; peer=10.0.0.7\n";
    let log: String =
        (0..2000).map(|number| line.replace("5f3a", &format!("{:x}", number * 40_503))).collect();
    let many: Vec<String> = (0..100).map(|number| format!("sk-{}-{}", number * 7919, "Qz7Lm4Xw")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for values in [&many[..1], &many] {
        let looked = looked(values, &log);
        assert!(looked < 0.3, "{} values: {looked}", values.len());
    }
    // Each place begins a value, or all but.
    for (value, text) in [
        ("a".repeat(2000) + "b", "a".repeat(100_000)),
        ("a".repeat(2000) + "b", "a\n".repeat(50_000)),
        ("ab".repeat(1000) + "c", "ab".repeat(50_000)),
        ("-".repeat(64) + "BEGIN", "-".repeat(100_000)),
    ] {
        let looked = looked(&[&value], &text);
        assert!(looked < 8.0, "{}…: {looked}", &value[..4]);
    }
}

fn pieces<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    ends.push(text.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter().map(|end| &text[std::mem::replace(&mut from, end)..end]).collect()
}

proptest! {
    // Without optimisation, making the forms takes a while.
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Few letters, so that values overlap, begin each other, and nearly occur.
    #[test]
    fn pieces_are_masked_like_the_whole(
        values in prop::collection::vec("[ab%\\\\\n&]{8,12}|[ab%&+ ]{12,16}", 1..4),
        text in "([ab%\\\\\n&+ ]{0,40}|\x1b\\[m|[24][15ac]|YW|\\\\u006[12]|%25|%(25)?6[12]|%(25)?2[05b]|&#(97|x62|38);|&amp;){0,12}",
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let forms = forms(&values);
        let expected = slowly(&forms, text.as_bytes());
        prop_assert_eq!(in_pieces(&forms, pieces(text.as_bytes(), &cuts)), expected);
    }

    #[test]
    fn no_complete_form_is_shown_when_waiting_ends(
        values in prop::collection::vec("a{8,10}[ab\n]{0,3}", 1..4),
        text in "(a{8,12}[ab\n]{0,3}){0,4}",
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let forms = forms(&values);
        let (mut masker, mut out) = (Masker::new(&forms), Vec::new());
        for piece in pieces(text.as_bytes(), &cuts) {
            masker.push(piece, &mut out);
            masker.release(&mut out);
        }
        masker.finish(&mut out);
        for part in String::from_utf8(out).unwrap().split(MARK) {
            prop_assert_eq!(String::from_utf8(slowly(&forms, part.as_bytes())).unwrap(), part);
        }
    }

    #[test]
    fn no_form_of_a_value_leaks(
        value in "[ -~é🦀\n]{8,40}",
        around in "[g-z ]{0,20}",
        index in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let forms = forms(&[&value]);
        let all = spelled(&value);
        let form = index.get(&all);
        let text = format!("{around}={form};{around}");
        let whole = in_pieces(&forms, [text.as_bytes()]);
        prop_assert_eq!(&in_pieces(&forms, pieces(text.as_bytes(), &cuts)), &whole);
        prop_assert_eq!(&slowly(&forms, text.as_bytes()), &whole);
        let shown = String::from_utf8_lossy(&whole).into_owned();
        prop_assert!(shown.contains(MARK), "{text:?} is shown");
        prop_assert!(!shown.contains(form.as_str()));
    }

    #[test]
    fn what_holds_no_value_is_shown_as_it_is(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let forms = forms(&["a value that random bytes do not hold"]);
        prop_assert_eq!(in_pieces(&forms, text.chunks(7)), text);
    }
}

/// What pages, APIs, forms and dumps have around a value, full of escapes and gaps that stand for something else.
const AROUND: [&str; 6] = [
    "<a href=\"/x?a=b&amp;c=d\">&nbsp;one &lt;b&gt;</a>\n    <p class=\"y\">\r\n",
    "{\"text\": \"line one\\nline \\\"two\\\" \\u00e9\", \"url\": \"https:\\/\\/x.example\"},\n",
    "q=%D0%BA%D0%BB&x=a%20b%2520c+d&y=%25&z=",
    "00000000  3c 61 20 68 72 65 66 3d  22 2f 78 3f 0a 0d  \n",
    "\x1b[1mINFO\x1b[0m server: 200 in 12 ms;\tpeer=10.0.0.7\n",
    "\u{0}\u{7f}\u{e9}\\x \r \r\n% %2 %zz & &# &#x &amp \\ \\u12 \x1b",
];

/// What is masked is known here by where it was put, and by no matcher.
#[test]
fn every_spelling_is_masked_amid_escapes_wherever_it_is_cut() {
    for value in ["sk-canary/4711+x", "pass word & \u{fc}mlaut", "100%free&<b>'it'=50%25_of/%2F", "12345678"]
    {
        let forms = forms(&[value]);
        for (index, spelled) in spelled(value).iter().enumerate() {
            // In base64 neighbours have a part in the first and the last characters: those are with it.
            let is_base64 = index >= 21;
            for around in [AROUND[index % 6], AROUND[(index + 1) % 6]] {
                // What may go on with it is no part of it.
                let text = format!("{around};{spelled};{around}");
                let whole = masked(&forms, &text);
                if is_base64 {
                    let is_there = whole.starts_with(around) && whole.ends_with(around);
                    assert!(
                        is_there && whole.contains(MARK) && whole.len() <= 2 * around.len() + 27,
                        "{text:?}"
                    );
                } else {
                    assert_eq!(whole, format!("{around};{MARK};{around}"), "{spelled:?}");
                }
                let from = around.len().saturating_sub(4);
                for cut in from..from + spelled.len() + 10 {
                    let cut = cut.min(text.len());
                    let pieces = in_pieces(&forms, [&text.as_bytes()[..cut], &text.as_bytes()[cut..]]);
                    assert_eq!(String::from_utf8_lossy(&pieces), whole, "{text:?} cut at {cut}");
                }
            }
        }
    }
}

/// A line end and an escape beside each other are the first of a form that is other than characters as they are.
#[test]
fn an_escape_behind_a_line_end_hides_no_value() {
    for value in ["qwertyui", "sk-canary-4711"] {
        let forms = forms(&[value]);
        for at in 1..value.len() {
            let (before, after) = value.split_at(at);
            let (escaped, rest) = after.split_at(1);
            let code = u32::from(escaped.as_bytes()[0]);
            for escape in [
                format!("%{code:02x}"),
                format!("%25{code:02x}"),
                format!("\\u{code:04x}"),
                format!("&#{code};"),
            ] {
                for around in (0..16).map(|length| "~".repeat(length)) {
                    let text = format!("{around}{before}\n{escape}{rest}{}", "~".repeat(40));
                    let shown = format!("{around}{MARK}\n{}", "~".repeat(40));
                    assert_eq!(masked(&forms, &text), shown, "{text:?}");
                }
            }
        }
    }
}

#[test]
fn a_mask_takes_a_values_place_byte_for_byte() {
    let forms = Forms::new(["canary-value-1", "other-value-22"]);
    let masked = |mask: &str, text: &str, piece: usize| {
        let (mut masker, mut out) = (Masker::new(&forms).keeping_length(mask), Vec::new());
        for piece in text.as_bytes().chunks(piece) {
            masker.push(piece, &mut out);
        }
        masker.finish(&mut out);
        let mut at_once = Vec::new();
        Masker::new(&forms).keeping_length(mask).push_last(text.as_bytes(), &mut at_once);
        assert_eq!(out, at_once, "{text}");
        String::from_utf8(out).unwrap()
    };
    for piece in [1, 5, 100] {
        for (mask, text, expected) in [
            ("short", "a canary-value-1 b", "a short********* b"),
            ("", "a canary-value-1 b", "a ************** b"),
            ("longer-than-any-value", "canary-value-1canary-value-1", "longer-than-anlonger-than-an"),
            // In another spelling it has another length.
            ("short", "\"\\u0063anary-value-1\"", "\"short**************\""),
            ("short", "canary-value", "canary-value"),
        ] {
            assert_eq!(masked(mask, text, piece), expected);
        }
    }
}
