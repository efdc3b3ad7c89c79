//! Values as a word of a shell.

/// Appends a value in single quotes, in which nothing has a meaning but the closing one.
pub(crate) fn quote<'a>(value: &'a str, mut push: impl FnMut(&'a str)) {
    push("'");
    for (index, piece) in value.split('\'').enumerate() {
        if index > 0 {
            push(r"'\''");
        }
        push(piece);
    }
    push("'");
}
