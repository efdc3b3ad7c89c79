//! Where keys come from: what a caller sends or names, as the bytes that a slot's key is derived from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrets_local::files;
use secrets_proto::vault::KeyDoubt;
use secrets_proto::{FieldErrorType, Invalid, SensitiveString};
use zeroize::Zeroizing;

use crate::crypto::recovery::RecoveryKey;
use crate::crypto::slot::SlotKind;
use crate::key_provider::{MATERIAL_MAX, MATERIAL_MIN, ProviderCommand};

use super::{Error, Key, KeyField};

/// The most bytes of a passphrase.
const PASSPHRASE_MAX: usize = 1_024;

/// An offered key.
pub(super) struct Offered {
    /// The kind of slot that it may open.
    pub(super) kind: SlotKind,
    /// Its bytes.
    pub(super) secret: Zeroizing<Vec<u8>>,
    /// The key provider that gave it.
    pub(super) provider: Option<String>,
}

impl Offered {
    fn new(kind: SlotKind, secret: Zeroizing<Vec<u8>>) -> Self {
        Self { kind, secret, provider: None }
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
    /// The same for a key that a slot is to be made for. A key provider command is run twice: one that prints something
    /// else each time, as a signature does, would make a slot that nothing ever opens.
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
            Key::Passphrase(passphrase) => {
                Ok(Offered::new(SlotKind::Passphrase, passphrase_bytes(&passphrase)?))
            }
            Key::Recovery(text) => {
                let key = RecoveryKey::parse(&text)
                    .map_err(|invalid| Error::UnusableKey(KeyField::RecoveryKey, invalid))?;
                Ok(Offered::new(SlotKind::Recovery, Zeroizing::new(key.expose().to_vec())))
            }
            Key::File(path) => Ok(Offered::new(SlotKind::KeyFile, file_bytes(&path, KeyField::KeyFile)?)),
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
                Ok(Offered { kind: SlotKind::Provider, secret, provider: Some(name) })
            }
        }
    }
}

fn unusable(field: KeyField, message: &'static str) -> Error {
    Error::UnusableKey(field, Invalid::new(FieldErrorType::ValueError, message))
}

fn passphrase_bytes(passphrase: &SensitiveString) -> Result<Zeroizing<Vec<u8>>, Error> {
    let refused = |kind, message| Error::UnusableKey(KeyField::Passphrase, Invalid::new(kind, message));
    match passphrase.expose().len() {
        0 => Err(refused(FieldErrorType::StringTooShort, "a passphrase has at least 1 byte")),
        1..=PASSPHRASE_MAX => Ok(Zeroizing::new(passphrase.expose().as_bytes().to_vec())),
        _ => Err(refused(FieldErrorType::StringTooLong, "a passphrase has at most 1024 bytes")),
    }
}

fn file_bytes(path: &Path, field: KeyField) -> Result<Zeroizing<Vec<u8>>, Error> {
    let content = files::read_private(path, MATERIAL_MAX as u64).map_err(|error| {
        if error.is_shortage() {
            return Error::from(error);
        }
        // The caller is not told more, which would tell of files that it cannot see itself; the log is not told the
        // path, which is the caller's text.
        tracing::info!(reason = error.reason(), "a key file cannot be used");
        unusable(
            field,
            "the key file cannot be used; name a regular file of yours by its absolute path, with mode 0600 and at most 4096 bytes",
        )
    })?;
    if content.len() < MATERIAL_MIN {
        return Err(unusable(field, "a key file has at least 32 bytes"));
    }
    Ok(content)
}
