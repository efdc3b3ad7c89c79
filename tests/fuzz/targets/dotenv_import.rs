//! Arbitrary bytes as a file to import: what is taken from it is what dotenvy reads there, and is written so that both
//! read it again.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;

type Pairs = Vec<(String, String)>;

fuzz_target!(|data: &[u8]| {
    let Some(read) = secretctl::fuzzing::import(data) else { return };
    let text = std::str::from_utf8(data).expect("what is no text was read");
    if !text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        let expected = dotenvy(text).expect("dotenvy refuses this");
        let expected: Pairs = expected.into_iter().map(|(name, value)| (name.to_uppercase(), value)).collect();
        assert_eq!(read, expected, "dotenvy reads something else");
    }
    let names: BTreeMap<&str, &str> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(names.len(), read.len(), "a name comes twice");

    let written: String = read.iter().map(|(name, value)| secretctl::fuzzing::export(name, value)).collect();
    assert_eq!(secretctl::fuzzing::import(written.as_bytes()).as_ref(), Some(&read), "it is written otherwise");
    assert_eq!(dotenvy(&written).ok(), Some(read), "dotenvy reads otherwise what is written");
});

/// It takes a byte order mark away elsewhere, and a blank at the very end for an open quote.
fn dotenvy(text: &str) -> Result<Pairs, dotenvy::Error> {
    let text = format!("{}\n", text.strip_prefix('\u{feff}').unwrap_or(text));
    dotenvy::from_read_iter(text.as_bytes()).collect()
}
