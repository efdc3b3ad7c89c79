//! Writing. Of the ways to quote, the one that most readers agree on:
//!
//! - single quotes, in which nothing has a meaning. dotenvy looks for the closing one as if a backslash took the
//!   next character along, and python-dotenv makes one of two backslashes, so that not every backslash can be there;
//! - double quotes with `\\`, `\"` and `\$`, which dotenvy and shells read alike;
//! - pieces of both, if there is a backquote: a shell would execute it in double quotes, and dotenvy knows no escape
//!   for it.
//!
//! Line breaks are always themselves: `\n` would be two characters to a shell.

/// Appends `NAME=VALUE` and ends the line.
pub(crate) fn write(name: &str, value: &str, into: &mut String) {
    into.push_str(name);
    into.push('=');
    if is_plain(value) {
        into.push('\'');
        into.push_str(value);
        into.push('\'');
    } else if value.contains('`') {
        write_pieces(value, into);
    } else {
        into.push('"');
        for c in value.chars() {
            if matches!(c, '\\' | '"' | '$') {
                into.push('\\');
            }
            into.push(c);
        }
        into.push('"');
    }
    into.push('\n');
}

fn is_plain(value: &str) -> bool {
    !value.contains('\'') && !value.contains(r"\\") && !value.ends_with('\\')
}

fn write_pieces(value: &str, into: &mut String) {
    let mut quoted = false;
    for c in value.chars() {
        let special = matches!(c, '\'' | '\\');
        if special == quoted {
            into.push('\'');
            quoted = !quoted;
        }
        match c {
            '\'' => into.push_str("\"'\""),
            '\\' => into.push_str(r#""\\""#),
            c => into.push(c),
        }
    }
    if quoted {
        into.push('\'');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: &str) -> String {
        let mut text = String::new();
        write("A", value, &mut text);
        text
    }

    #[test]
    fn the_plainest_quotes_that_will_do() {
        for (value, expected) in [
            ("x", "A='x'\n"),
            ("$2a$10$x", "A='$2a$10$x'\n"),
            (" a\"#=\\b\r\n", "A=' a\"#=\\b\r\n'\n"),
            ("it's $5", "A=\"it's \\$5\"\n"),
            ("a\\", "A=\"a\\\\\"\n"),
            ("`'\\", "A='`'\"'\"\"\\\\\"\n"),
            ("'`x`", "A=\"'\"'`x`'\n"),
        ] {
            assert_eq!(line(value), expected);
        }
    }
}
