//! Templates: where `{{ secret:NAME }}` stands among bytes that mean nothing here, in any encoding that leaves ASCII
//! alone. It knows no values and no files.

use std::ops::Range;

use secrets_proto::SecretName;

/// A place that a value takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placeholder {
    /// Which bytes of the template it is.
    pub(crate) range: Range<usize>,
    /// The line it is on, from 1.
    pub(crate) line: usize,
    /// Whose value.
    pub(crate) name: SecretName,
}

/// A place that looks like a placeholder and is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The line it is on, from 1.
    pub(crate) line: usize,
    /// What is wrong with it.
    pub(crate) reason: &'static str,
}

const FORM: &str = "a placeholder must look like {{ secret:NAME }}";
const OPEN_END: &str = "a placeholder must end with }} on the same line";
const NO_NAME: &str =
    "the name in a placeholder must be letters, digits and underscores, not starting with a digit";

/// All placeholders in their order, and what was perhaps meant as one. Other uses of `{{` are left alone.
pub(crate) fn scan(template: &[u8]) -> (Vec<Placeholder>, Vec<Malformed>) {
    let mut found = Vec::new();
    let mut malformed = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while let Some(rest) = template.get(at..).filter(|rest| !rest.is_empty()) {
        let length = match opening(rest).map(|marker| (marker.length, complete(rest, &marker))) {
            Some((_, Ok((length, name)))) => {
                found.push(Placeholder { range: at..at + length, line, name });
                length
            }
            Some((length, Err(reason))) => {
                malformed.push(Malformed { line, reason });
                length
            }
            None => {
                line += usize::from(rest.first() == Some(&b'\n'));
                1
            }
        };
        at += length;
    }
    (found, malformed)
}

/// `{{ secret:`, more or less.
struct Marker {
    length: usize,
    exact: bool,
}

/// The marker that these bytes begin with, also if it is not quite right.
fn opening(bytes: &[u8]) -> Option<Marker> {
    let inside = bytes.strip_prefix(b"{{")?;
    // Other template languages trim white space by such a sign; here it would stay in the output.
    let (trims, inside) = match inside {
        [b'-' | b'~', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let inside = trim_start(inside);
    let (word, rest) = inside.split_at_checked(6)?;
    let after = trim_start(rest).strip_prefix(b":")?;
    let exact = !trims && word == b"secret" && rest.first() == Some(&b':');
    word.eq_ignore_ascii_case(b"secret").then_some(Marker { length: bytes.len() - after.len(), exact })
}

/// The length of the whole and its name.
fn complete(bytes: &[u8], marker: &Marker) -> Result<(usize, SecretName), &'static str> {
    let after = bytes.get(marker.length..).unwrap_or_default();
    let ends = |pair: &[u8]| pair == b"}}" || pair == b"{{" || pair.first() == Some(&b'\n');
    let end = after.windows(2).position(ends).ok_or(OPEN_END)?;
    let (inside, tail) = after.split_at(end);
    if !tail.starts_with(b"}}") {
        return Err(OPEN_END);
    }
    if !marker.exact {
        return Err(FORM);
    }
    let text = std::str::from_utf8(inside).map_err(|_| NO_NAME)?.trim_matches([' ', '\t']);
    let name = SecretName::parse(text).map_err(|_| NO_NAME)?;
    Ok((marker.length + end + 2, name))
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    bytes.get(blank..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(template: &str) -> Vec<(usize, String)> {
        let (found, malformed) = scan(template.as_bytes());
        assert_eq!(malformed, [], "{template}");
        found.iter().map(|place| (place.line, place.name.to_string())).collect()
    }

    fn faults(template: &str) -> Vec<(usize, &'static str)> {
        let (found, malformed) = scan(template.as_bytes());
        assert_eq!(found, [], "{template}");
        malformed.iter().map(|fault| (fault.line, fault.reason)).collect()
    }

    #[test]
    fn finds_placeholders_with_their_lines() {
        assert_eq!(names("{{secret:a}}\n\n x {{\tsecret: B_1 }}{{ secret:C }}").len(), 3);
        assert_eq!(names("\n{{ secret:a }}"), [(2, "A".to_owned())]);
        // Braces around it stay where they are.
        let (found, _) = scan(b"{{{ secret:A }}}");
        assert_eq!(found[0].range, 1..15);
        let (found, _) = scan(b"\xff{{secret:A}}\xfe");
        assert_eq!(found[0].range, 1..13);
    }

    #[test]
    fn leaves_other_templates_alone() {
        for other in [
            "",
            "{",
            "{{",
            "{{ secrets.A }}",
            "{{ x:secret }}",
            "{ { secret:A }}",
            "${{ secret }}",
            "{{ secret",
        ] {
            assert_eq!(names(other), []);
        }
    }

    #[test]
    fn tells_what_was_meant_as_one_and_is_none() {
        for (template, reason) in [
            ("\n{{ secret:A", OPEN_END),
            ("\n{{ secret:A }", OPEN_END),
            ("\n{{ secret:A\n}}", OPEN_END),
            ("\n{{ secret:A {{", OPEN_END),
            ("\n{{ secret: }}", NO_NAME),
            ("\n{{ secret:A-B }}", NO_NAME),
            ("\n{{ secret:A B }}", NO_NAME),
            ("\n{{ Secret:A }}", FORM),
            ("\n{{ secret :A }}", FORM),
            ("\n{{- secret:A -}}", FORM),
        ] {
            assert_eq!(faults(template), [(2, reason)], "{template}");
        }
    }

    #[test]
    fn a_fault_hides_no_other_place() {
        let (found, malformed) = scan(b"{{ secret:A {{ secret:B }}\n{{ secret:- }}\n{{ secret:C }}");
        let names: Vec<&str> = found.iter().map(|place| place.name.as_str()).collect();
        assert_eq!(names, ["B", "C"]);
        assert_eq!(malformed.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 2]);
    }
}
