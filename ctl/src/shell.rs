//! Values as a word of a shell.

pub(crate) use secrets_local::files::quoted;

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
