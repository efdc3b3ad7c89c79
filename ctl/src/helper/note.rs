//! Words of a secret's note that mean something to the protocols: `user=ci-bot`, between blanks.

use secrets_proto::reveal::Remark;

/// What the note says behind `key=`, up to a blank; the first of them counts.
pub(crate) fn field<'a>(note: Option<&'a Remark>, key: &str) -> Option<&'a str> {
    let words = note?.as_str().split_whitespace();
    let value = |word: &'a str| word.strip_prefix(key)?.strip_prefix('=');
    words.filter_map(value).find(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_word_of_its_own() {
        let note =
            Remark::parse("deploy key, user=ci-bot user=other index=a=b superuser=x account=").unwrap();
        assert_eq!(field(Some(&note), "user"), Some("ci-bot"));
        assert_eq!(field(Some(&note), "index"), Some("a=b"));
        for none in ["account", "use", "deploy", "USER"] {
            assert_eq!(field(Some(&note), none), None, "{none}");
        }
        assert_eq!(field(None, "user"), None);
    }
}
