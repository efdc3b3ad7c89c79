//! A user's name with a secret, as one value: the JSON object `{"Username":"…","Secret":"…"}`, in docker's words. A value
//! that is none is the secret itself, whose user the note may say.

use secrets_proto::reveal::Remark;
use secrets_proto::{SecretValue, SensitiveString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::note;
use crate::failure::{Exit, Failure};

/// A user and their secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Login {
    /// The user, if that is known.
    pub(crate) user: Option<String>,
    /// The secret.
    pub(crate) secret: SecretValue,
}

#[derive(Serialize, Deserialize)]
struct Kept<U, S> {
    #[serde(rename = "Username", alias = "username", alias = "user")]
    user: U,
    #[serde(rename = "Secret", alias = "secret", alias = "password", alias = "Password")]
    secret: S,
}

impl Login {
    /// Reads a value with the note beside it.
    pub(crate) fn of(value: SecretValue, note: Option<&Remark>) -> Self {
        match serde_json::from_str::<Kept<String, SecretValue>>(value.expose()) {
            Ok(kept) => Self { user: Some(kept.user), secret: kept.secret },
            Err(_) => Self { user: note::field(note, "user").map(str::to_owned), secret: value },
        }
    }

    /// The value that holds both.
    pub(crate) fn value(user: &str, secret: &SensitiveString) -> Result<SecretValue, Failure> {
        let secret = secret.expose();
        if user.is_empty() || user.contains(|c: char| c.is_control()) {
            return Err(Failure::new(Exit::Invalid, "the user name is empty or has control characters"));
        }
        if secret.is_empty() || secret.contains('\0') {
            return Err(Failure::new(Exit::Invalid, "the secret is empty or has a NUL byte"));
        }
        // Never grows, so that no copy is left behind.
        let mut text = Zeroizing::new(Vec::with_capacity(6 * (user.len() + secret.len()) + 64));
        serde_json::to_writer(&mut *text, &Kept { user, secret })
            .map_err(|_| Failure::new(Exit::Other, "the user and the secret cannot be written as JSON"))?;
        Ok(SecretValue::from_bytes(text.to_vec())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(user: &str, secret: &str) -> Result<SecretValue, Failure> {
        Login::value(user, &SensitiveString::new(secret.to_owned()))
    }

    fn read(value: &str, note: Option<&str>) -> (Option<String>, String) {
        let note = note.map(|note| Remark::parse(note).unwrap());
        let login = Login::of(SecretValue::new(value.into()).unwrap(), note.as_ref());
        (login.user, login.secret.expose().to_owned())
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (user, secret) in [("me", "a\"b\\c\nd"), ("<token>", "{\"Username\":1}"), ("é", " ")] {
            let value = written(user, secret).unwrap();
            assert_eq!(read(value.expose(), Some("user=other")), (Some(user.to_owned()), secret.to_owned()));
        }
        for (user, secret) in [("", "x"), ("a\nb", "x"), ("me", ""), ("me", "a\0b")] {
            assert_eq!(written(user, secret).unwrap_err().exit(), Exit::Invalid);
        }
        assert_eq!(written("me", &"x".repeat(SecretValue::MAX)).unwrap_err().exit(), Exit::Invalid);
    }

    #[test]
    fn a_plain_value_is_the_secret_itself() {
        assert_eq!(read("tok", Some("CI user=bot")), (Some("bot".into()), "tok".into()));
        for plain in ["tok", "{\"Username\":\"me\"}", "{", "[]"] {
            assert_eq!(read(plain, None), (None, plain.into()));
        }
        assert_eq!(read("{\"username\":\"me\",\"password\":\"p\",\"x\":1}", None).0, Some("me".into()));
    }
}
