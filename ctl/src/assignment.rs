//! Templates that a shell will read: which variable each placeholder's value is assigned to. A quoted value is data only
//! where the shell begins a word, so that anything that could be inside of quotes, or of a here-document, is refused.

use crate::template::{Malformed, Placeholder};

const FORM: &str = "with --shell a placeholder must be all that follows NAME= on its line, without quotes, and only export may come before";
const OPAQUE: &str = "with --shell a template with values cannot have a here-document (<<) or $'…'";

/// The variable of each placeholder, in their order; or every line that is not of that form.
pub(crate) fn variables<'a>(
    template: &'a [u8],
    places: &[Placeholder],
) -> Result<Vec<&'a str>, Vec<Malformed>> {
    let (starts, opaque) = unquoted_lines(template);
    let mut faults: Vec<Malformed> =
        opaque.into_iter().map(|line| Malformed { line, reason: OPAQUE }).collect();
    let mut names = Vec::with_capacity(places.len());
    for place in places {
        let is_outside = starts.binary_search(&place.line).is_ok();
        match assigned(template, place).filter(|_| is_outside) {
            Some(name) => names.push(name),
            None => faults.push(Malformed { line: place.line, reason: FORM }),
        }
    }
    if faults.is_empty() { Ok(names) } else { Err(faults) }
}

/// The variable, if the line is `NAME={{ … }}`.
fn assigned<'a>(template: &'a [u8], place: &Placeholder) -> Option<&'a str> {
    let before = template.get(..place.range.start)?;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let behind = template.get(place.range.end..)?.split(|byte| *byte == b'\n').next()?;
    if !behind.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
        return None;
    }
    let left = std::str::from_utf8(before.get(start..)?).ok()?.trim_start_matches([' ', '\t']);
    let name = match left.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start_matches([' ', '\t']),
        _ => left,
    };
    let name = name.strip_suffix('=')?;
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')).then_some(name)
}

/// The lines that begin outside of quotes, and those with something in them that this does not follow.
fn unquoted_lines(template: &[u8]) -> (Vec<usize>, Vec<usize>) {
    let (mut starts, mut opaque) = (vec![1], Vec::new());
    let (mut line, mut quote, mut at_word) = (1, None, true);
    let mut bytes = template.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.peek().copied();
        match (quote, byte) {
            (_, b'\n') => {
                line += 1;
                if quote == Some(b'#') {
                    quote = None;
                }
                if quote.is_none() {
                    starts.push(line);
                }
            }
            // A line that goes on in the next is no line of its own.
            (None | Some(b'"' | b'`'), b'\\') => {
                line += usize::from(bytes.next() == Some(b'\n'));
            }
            (None, b'#') if at_word => quote = Some(b'#'),
            (None, b'\'' | b'"' | b'`') => quote = Some(byte),
            (None, b'<') if next == Some(b'<') => opaque.push(line),
            (None, b'$') if next == Some(b'\'') => opaque.push(line),
            (Some(open), byte) if open == byte && open != b'#' => quote = None,
            _ => {}
        }
        at_word = matches!(byte, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')');
    }
    opaque.dedup();
    (starts, opaque)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;

    fn read(text: &str) -> Result<Vec<String>, Vec<usize>> {
        let (places, malformed) = template::scan(text.as_bytes());
        assert!(malformed.is_empty());
        let lines = |faults: Vec<Malformed>| faults.iter().map(|fault| fault.line).collect::<Vec<_>>();
        let names = variables(text.as_bytes(), &places).map_err(lines)?;
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn a_value_is_all_of_an_assignment() {
        let text =
            "# it's ours\nA={{ secret:X }}\n\texport  b_1={{secret:Y}} \nC='it' # isn't\nD={{ secret:X }}";
        assert_eq!(read(text).unwrap(), ["A", "b_1", "D"]);
        for text in [
            "A=\"{{ secret:X }}\"",
            "A='{{ secret:X }}'",
            "A={{ secret:X }}{{ secret:Y }}",
            "A={{ secret:X }} true",
            "A={{ secret:X }}\r\n",
            "A=x{{ secret:X }}",
            "A[1]={{ secret:X }}",
            "1A={{ secret:X }}",
            "A+={{ secret:X }}",
            "readonly A={{ secret:X }}",
            "{{ secret:X }}",
            "# A={{ secret:X }}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_line_inside_of_quotes_is_none() {
        for (text, line) in [
            ("B='\nA={{ secret:X }}\n'", 2),
            ("B=\"it's\nA={{ secret:X }}\n\"", 2),
            ("B=\"\\\"\nA={{ secret:X }}\n\"", 2),
            ("B=\\' C='\nA={{ secret:X }}\n'", 2),
            ("B=a#'\nA={{ secret:X }}\n'", 2),
            ("B=`\nA={{ secret:X }}\n`", 2),
            ("true \\\nA={{ secret:X }}", 2),
            ("cat <<E\nA={{ secret:X }}\nE", 1),
            ("B=$'\\'\nA={{ secret:X }}", 1),
        ] {
            assert_eq!(read(text).unwrap_err().first(), Some(&line), "{text}");
        }
        assert_eq!(read("B=\"a' b\" # '\nA={{ secret:X }}").unwrap(), ["A"]);
    }
}
