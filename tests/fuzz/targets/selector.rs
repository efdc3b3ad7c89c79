//! Arbitrary text as name, glob and selector; and two readings of each accepted glob: the real matcher, and one
//! that is slow and plain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use secrets_proto::{Glob, Provider, SecretName, Selector};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, name) = text.split_once('\n').unwrap_or((text, "SOME_NAME"));

    let _ = Provider::parse(pattern);
    if let Ok(selector) = Selector::parse(pattern) {
        assert_eq!(Selector::parse(&selector.to_string()), Ok(selector), "a selector reads itself otherwise");
    }
    let Ok(name) = SecretName::parse(name) else { return };
    assert_eq!(SecretName::parse(name.as_str()).as_ref(), Ok(&name));
    let Ok(glob) = Glob::parse(pattern) else { return };
    assert_eq!(Glob::parse(glob.as_str()).as_ref(), Ok(&glob));
    let matched = glob.matches(&name);
    let expected = matches(glob.as_str().as_bytes(), name.as_str().as_bytes());
    assert_eq!(matched, expected, "{glob:?} and {name}");
});

/// `*` is any text, `?` one character, `[…]` one of these or, after `!` or `^`, none of these.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Which prefixes of the name the pattern so far matches.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    let mut rest = pattern;
    while let Some((&first, after)) = rest.split_first() {
        let mut next = vec![false; name.len() + 1];
        rest = after;
        if first == b'*' {
            let mut any = false;
            for (to, from) in next.iter_mut().zip(&reached) {
                any |= *from;
                *to = any;
            }
        } else {
            let mut class: Option<&[u8]> = None;
            if first == b'[' {
                let end = after.iter().position(|byte| *byte == b']').expect("an unclosed class");
                class = Some(&after[..end]);
                rest = &after[end + 1..];
            }
            for (at, byte) in name.iter().enumerate() {
                let fits = match class {
                    Some(class) => in_class(class, *byte),
                    None => first == b'?' || first == *byte,
                };
                next[at + 1] = reached[at] && fits;
            }
        }
        reached = next;
    }
    reached[name.len()]
}

fn in_class(class: &[u8], byte: u8) -> bool {
    let (negated, mut members) = match class {
        [b'!' | b'^', members @ ..] => (true, members),
        members => (false, members),
    };
    let mut found = false;
    loop {
        members = match members {
            [] => return found != negated,
            [from, b'-', to, rest @ ..] => {
                found |= (*from..=*to).contains(&byte);
                rest
            }
            [one, rest @ ..] => {
                found |= *one == byte;
                rest
            }
        };
    }
}
