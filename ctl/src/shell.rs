//! Values as a word of a shell.

use std::path::Path;

/// Appends a value as one word: in single quotes, in which nothing has a meaning but the closing one, and in fish the
/// backslash, which therefore stands outside of them like the quote, where every shell reads `\\` and `\'` alike.
pub(crate) fn quote<'a>(value: &'a str, mut push: impl FnMut(&'a str)) {
    push("'");
    for piece in value.split_inclusive(['\'', '\\']) {
        match piece.strip_suffix('\'') {
            Some(plain) => [plain, r"'\''"].map(&mut push),
            None => match piece.strip_suffix('\\') {
                Some(plain) => [plain, r"'\\'"].map(&mut push),
                None => [piece, ""].map(&mut push),
            },
        };
    }
    push("'");
}

/// A path as a word of a command line that a person may copy.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%:=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
