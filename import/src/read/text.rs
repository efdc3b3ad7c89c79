//! What a file's bytes are before any format: text in UTF-8, or something that has a name and cannot be read.

/// How what is encrypted, or no UTF-8, begins; and what to do with it.
const MARKS: [(&[u8], &str); 11] = [
    (b"\xff\xfe", "UTF-16 text; convert it first: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text; convert it first: iconv -f UTF-16 -t UTF-8"),
    (
        b"PK\x03\x04",
        "a zip archive; if it is a 1PUX export: unzip -p FILE export.data | secretctl import - --format 1password",
    ),
    (b"\x1f\x8b", "compressed by gzip; pipe what zcat prints"),
    (b"$ANSIBLE_VAULT;", "encrypted by ansible-vault; pipe what ansible-vault view prints"),
    (b"age-encryption.org/", "encrypted by age; pipe what age --decrypt prints"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "encrypted by age; pipe what age --decrypt prints"),
    (b"-----BEGIN PGP MESSAGE-----", "encrypted by gpg; pipe what gpg --decrypt prints"),
    (b"\0GITCRYPT\0", "encrypted by git-crypt; run git-crypt unlock first"),
    (
        b"\x03\xd9\xa2\x9a",
        "a KeePass database; its values can be piped one by one: keepassxc-cli show -s -a Password FILE ENTRY | secretctl set NAME",
    ),
    (b"SQLite format 3\0", "a database, not an export"),
];

/// Why these bytes are no text, if that can be seen. UTF-16 without a mark has a zero in every second byte.
pub(crate) fn unreadable(bytes: &[u8]) -> Option<&'static str> {
    let marked = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, reason)| *reason);
    let is_wide = || matches!(bytes, [0, 1..=255, 0, 1..=255, ..] | [1..=255, 0, 1..=255, 0, ..]);
    let is_packet = || bytes.first().is_some_and(|first| matches!(first, 0x84 | 0x85 | 0x8c));
    marked
        .or_else(|| is_wide().then_some("UTF-16 text; convert it first: iconv -f UTF-16LE -t UTF-8"))
        .or_else(|| {
            is_packet().then_some("not text; if it is encrypted by gpg, pipe what gpg --decrypt prints")
        })
}

/// The text without its byte order mark, or the line that is not UTF-8.
pub(crate) fn decoded(bytes: &[u8]) -> Result<&str, usize> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        1 + good.iter().filter(|byte| **byte == b'\n').count()
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Why a value is not the secret itself, if it was encrypted one by one.
pub(crate) fn encrypted_value(value: &str) -> Option<&'static str> {
    value
        .starts_with("ENC[AES256_GCM,data:")
        .then_some("encrypted by sops; pipe what sops -d prints")
        .or_else(|| {
            value.starts_with("$ANSIBLE_VAULT;").then_some("encrypted by ansible-vault; decrypt it first")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_by_its_name() {
        for (bytes, word) in [
            (&b"\xff\xfeA\0=\0"[..], "UTF-16"),
            (b"\xfe\xff\0A\0=", "UTF-16"),
            (b"A\0=\0x\0", "UTF-16"),
            (b"\0A\0=\0x", "UTF-16"),
            (b"PK\x03\x04", "1PUX"),
            (b"$ANSIBLE_VAULT;1.1;AES256\n", "ansible"),
            (b"age-encryption.org/v1\n", "age"),
            (b"-----BEGIN PGP MESSAGE-----\n", "gpg"),
        ] {
            assert!(unreadable(bytes).is_some_and(|reason| reason.contains(word)), "{word}");
        }
        for bytes in [&b"A=x"[..], b"", b"{", "é=1".as_bytes()] {
            assert_eq!(unreadable(bytes), None);
        }
        assert_eq!(decoded(b"\xef\xbb\xbfA"), Ok("A"));
        assert_eq!(decoded(b"A\nB\n\xff"), Err(3));
    }
}
