//! Arbitrary output with a value in it, in pieces and as a whole: the same comes out, of the same length, and no value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_scrub::{Forms, Masker};

fuzz_target!(|data: &[u8]| {
    let Some((&[length, piece], rest)) = data.split_first_chunk::<2>() else { return };
    let (value, text) = rest.split_at(usize::from(length).min(rest.len()));
    let Ok(value) = std::str::from_utf8(value) else { return };
    let forms = Forms::new([value]);
    let masked = |size: usize| {
        let (mut masker, mut out) = (Masker::new(&forms).keeping_length(""), Vec::new());
        for part in text.chunks(size.max(1)) {
            masker.push(part, &mut out);
        }
        masker.finish(&mut out);
        out
    };
    let whole = masked(text.len());
    assert_eq!(whole.len(), text.len(), "what comes out is as long");
    assert_eq!(masked(usize::from(piece)), whole, "pieces are as the whole");
    if secrets_scrub::is_masked(value) && !value.contains('*') {
        let found = whole.windows(value.len()).any(|window| window == value.as_bytes());
        assert!(!found, "a value is shown");
    }
});
