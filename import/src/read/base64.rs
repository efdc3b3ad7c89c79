//! Text in base64, as programs put user names and passwords into their settings.

use data_encoding::{BASE64, BASE64_NOPAD};
use zeroize::Zeroizing;

/// The text, if it is one.
pub(crate) fn decoded(text: &str) -> Option<Zeroizing<String>> {
    let bytes = text.trim().trim_end_matches('=');
    let bytes =
        BASE64_NOPAD.decode(bytes.as_bytes()).or_else(|_| BASE64.decode(text.trim().as_bytes())).ok()?;
    String::from_utf8(bytes).ok().map(Zeroizing::new)
}

/// User and password of `user:password` in base64; a password may hold colons.
pub(crate) fn user_and_password(text: &str) -> Option<(String, Zeroizing<String>)> {
    let both = decoded(text)?;
    let (user, password) = both.split_once(':')?;
    // Docker fills the end with zeros.
    Some((user.to_owned(), Zeroizing::new(password.trim_end_matches('\0').to_owned())))
}
