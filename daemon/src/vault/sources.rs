//! Where keys come from: what a caller sends or names, as the bytes that a slot's key is derived from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrets_local::key_file;
use secrets_proto::vault::KeyDoubt;
use secrets_proto::{FieldErrorType, Invalid, SensitiveString};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::crypto::keys::{DataKey, Identity};
use crate::crypto::recovery::RecoveryKey;
use crate::crypto::slot::SlotKind;
use crate::key_provider::{MATERIAL_MAX, MATERIAL_MIN, ProviderCommand};

use super::format::slots;
use super::{Error, Key, KeyField};
use crate::store::SlotRow;

/// The most bytes of a passphrase.
const PASSPHRASE_MAX: usize = 1_024;

/// How long a pipe in the place of a key file is waited for.
const PIPE_PATIENCE: Duration = Duration::from_secs(10);

/// An offered key.
pub(super) struct Offered {
    /// The kind of slot that it may open.
    pub(super) kind: SlotKind,
    /// The key's bytes.
    pub(super) secret: Zeroizing<Vec<u8>>,
    /// The key's bytes as slots may have been made with them too.
    others: Vec<Zeroizing<Vec<u8>>>,
    /// The key provider that gave it.
    pub(super) provider: Option<String>,
}

impl Offered {
    fn new(kind: SlotKind, secret: Zeroizing<Vec<u8>>) -> Self {
        Self { kind, secret, others: Vec::new(), provider: None }
    }

    /// The data key, if one of the slots opens with this key. Takes one derivation a slot and spelling of a passphrase.
    pub(super) fn open(
        &self,
        slots: &[SlotRow],
        identity: Identity,
        still_wanted: impl Fn() -> Result<(), Error>,
    ) -> Result<DataKey, Error> {
        let mut outcome = slots::open_one(slots, identity, self.kind, &self.secret, &still_wanted);
        for other in &self.others {
            if !matches!(outcome, Err(Error::WrongKey)) {
                break;
            }
            outcome = slots::open_one(slots, identity, self.kind, other, &still_wanted);
        }
        outcome
    }

    /// Why what a command printed may be no key. Its slot has no slow hash: what can be guessed opens the vault.
    pub(super) fn doubt(&self) -> Option<KeyDoubt> {
        self.provider.as_ref()?;
        if self.secret.windows(2).all(|pair| pair.first() == pair.last()) {
            return Some(KeyDoubt::OneByte);
        }
        str::from_utf8(&self.secret).is_ok_and(|text| text.contains(' ')).then_some(KeyDoubt::Text)
    }
}

/// What the settings say of keys that callers only name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeySources {
    /// The credential that systemd hands to the daemon, if it does.
    pub(crate) credential: Option<PathBuf>,
    /// Commands that print a key, by name.
    pub(crate) providers: BTreeMap<String, ProviderCommand>,
}

impl KeySources {
    /// Reads a key that a slot is to be made for, as `secret_of` reads one that is to open the vault. A key provider command
    /// is run twice: one that prints something else each time, as a signature does, would make a slot that nothing ever
    /// opens.
    pub(super) async fn lasting_secret_of(&self, key: Key) -> Result<Offered, Error> {
        let first = self.secret_of(key).await?;
        if let Some(name) = &first.provider
            && self.secret_of(Key::Provider(name.clone())).await?.secret != first.secret
        {
            return Err(unusable(
                KeyField::KeyProvider,
                "the command printed something else when run again; it must print the same key each time",
            ));
        }
        Ok(first)
    }

    /// The bytes of an offered key, and the kind of slot that they may open.
    pub(super) async fn secret_of(&self, key: Key) -> Result<Offered, Error> {
        match key {
            Key::Passphrase(passphrase) => offered_passphrase(&passphrase),
            Key::Recovery(text) => {
                let key = RecoveryKey::parse(&text)
                    .map_err(|invalid| Error::UnusableKey(KeyField::RecoveryKey, invalid))?;
                Ok(Offered::new(SlotKind::Recovery, Zeroizing::new(key.expose().to_vec())))
            }
            Key::File(path) => {
                // It may be a pipe, which must not hold up others.
                let read = move || file_bytes(&path, KeyField::KeyFile);
                let secret = tokio::task::spawn_blocking(read).await;
                let secret = secret.map_err(|_| Error::Internal("reading a key file panicked"))??;
                Ok(Offered::new(SlotKind::KeyFile, secret))
            }
            Key::Credential => {
                let path = self.credential.as_ref().ok_or(unusable(
                    KeyField::Credential,
                    "systemd passed no credential named secretsd.key to the daemon",
                ))?;
                Ok(Offered::new(SlotKind::Credential, file_bytes(path, KeyField::Credential)?))
            }
            Key::Provider(name) => {
                let command = self.providers.get(&name).ok_or(Error::UnusableKey(
                    KeyField::KeyProvider,
                    Invalid::new(
                        FieldErrorType::Enum,
                        "unknown key provider; it must be in the daemon's settings",
                    ),
                ))?;
                let secret = command.key(&name).await?;
                Ok(Offered { provider: Some(name), ..Offered::new(SlotKind::Provider, secret) })
            }
        }
    }
}

fn unusable(field: KeyField, message: &'static str) -> Error {
    Error::UnusableKey(field, Invalid::new(FieldErrorType::ValueError, message))
}

/// A passphrase in the spelling that slots are made with, NFC of Unicode's Annex 15
/// (<https://www.unicode.org/reports/tr15/>), and in others that differ: as it came and NFD, with which slots were made
/// before.
fn offered_passphrase(passphrase: &SensitiveString) -> Result<Offered, Error> {
    let refused = |kind, message| Error::UnusableKey(KeyField::Passphrase, Invalid::new(kind, message));
    let text = passphrase.expose();
    match text.len() {
        0 => return Err(refused(FieldErrorType::StringTooShort, "the passphrase is empty")),
        1..=PASSPHRASE_MAX => {}
        _ => return Err(refused(FieldErrorType::StringTooLong, "a passphrase has at most 1024 bytes")),
    }
    let as_sent = Zeroizing::new(text.as_bytes().to_vec());
    if text.is_ascii() {
        return Ok(Offered::new(SlotKind::Passphrase, as_sent));
    }
    let composed = collected(text, text.nfc());
    let mut others = vec![as_sent, collected(text, text.nfd())];
    others.dedup();
    others.retain(|other| *other != composed);
    Ok(Offered { others, ..Offered::new(SlotKind::Passphrase, composed) })
}

/// Never grows, so that no copy is left behind: at most four times as long, by Annex 15.
fn collected(text: &str, characters: impl Iterator<Item = char>) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 * text.len()));
    for character in characters {
        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    bytes
}

fn file_bytes(path: &Path, field: KeyField) -> Result<Zeroizing<Vec<u8>>, Error> {
    let content = key_file::read(path, MATERIAL_MAX as u64, PIPE_PATIENCE).map_err(|error| {
        if error.is_shortage() {
            return Error::from(error);
        }
        // The caller is not told more, which would tell of files that it cannot see itself; the log is not told the
        // path, which is the caller's text.
        tracing::info!(reason = error.reason(), "a key file cannot be used");
        unusable(
            field,
            "the key file cannot be used; name a file or pipe of yours by its absolute path, closed to others (mode 0600 or 0400), with at most 4096 bytes",
        )
    })?;
    if content.len() < MATERIAL_MIN {
        return Err(unusable(field, "a key file has at least 32 bytes"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors;
    use crate::vault::format::slots::NewSlot;

    const NFC: &str = "cr\u{e8}me \u{ac00} geheim";
    const NFD: &str = "cre\u{300}me \u{1100}\u{1161} geheim";
    const MIXED: &str = "cre\u{300}me \u{ac00} geheim";
    const CHEAP: crate::crypto::slot::KdfCost =
        crate::crypto::slot::KdfCost { memory_kib: 19_456, passes: 2, lanes: 1 };

    async fn offered(text: &str) -> Offered {
        let key = Key::Passphrase(SensitiveString::new(text.to_owned()));
        KeySources::default().secret_of(key).await.unwrap()
    }

    #[tokio::test]
    async fn a_passphrase_opens_however_its_letters_are_sent() {
        let (keys, identity) = (vectors::keys(), vectors::identity());
        // What a slot was made with: the one spelling, or what an older version was sent.
        for made in [&*offered(NFD).await.secret, NFC.as_bytes(), NFD.as_bytes()] {
            let row = NewSlot::derive(SlotKind::Passphrase, CHEAP, made).unwrap().to_row(&keys).unwrap();
            for sent in [NFC, NFD, MIXED] {
                let opened = offered(sent).await.open(std::slice::from_ref(&row), identity, || Ok(()));
                assert!(opened.is_ok(), "{sent:?}");
            }
            let wrong = offered("creme \u{ac00} geheim").await.open(&[row], identity, || Ok(()));
            assert!(matches!(wrong, Err(Error::WrongKey)));
        }
        let row = NewSlot::derive(SlotKind::Passphrase, CHEAP, MIXED.as_bytes()).unwrap();
        let row = row.to_row(&keys).unwrap();
        assert!(offered(MIXED).await.open(&[row], identity, || Ok(())).is_ok(), "as it always was sent");
    }

    #[tokio::test]
    async fn plain_letters_have_one_spelling() {
        for (text, others) in [("plain", 0), (NFC, 1), (NFD, 1), (MIXED, 2), ("\u{fb01}", 0)] {
            let offered = offered(text).await;
            assert_eq!(offered.others.len(), others, "{text:?}");
            assert_eq!(
                offered.secret.len(),
                if text == NFD || text == MIXED { NFC.len() } else { text.len() }
            );
        }
    }
}
