//! Where keys come from: what a caller sends or names, as the bytes that a slot's key is derived from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use secrets_proto::{FieldErrorType, Invalid, SensitiveString};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::crypto::recovery::RecoveryKey;
use crate::crypto::slot::SlotKind;
use crate::files;

use super::{Error, Key, KeyField};

/// Bounds on what a passphrase and other key material may hold, in bytes.
const PASSPHRASE_MAX: usize = 1_024;
const MATERIAL_MIN: usize = 32;
const MATERIAL_MAX: usize = 4_096;

/// How long a key provider command may take.
const PROVIDER_DEADLINE: Duration = Duration::from_secs(10);

/// What the settings say of keys that callers only name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeySources {
    /// The credential that systemd hands to the daemon, if it does.
    pub(crate) credential: Option<PathBuf>,
    /// Commands that print a key, by name.
    pub(crate) providers: BTreeMap<String, Vec<String>>,
}

impl KeySources {
    /// The bytes of an offered key, and the kind of slot that they may open.
    pub(super) async fn secret_of(&self, key: Key) -> Result<(SlotKind, Zeroizing<Vec<u8>>), Error> {
        match key {
            Key::Passphrase(passphrase) => Ok((SlotKind::Passphrase, passphrase_bytes(&passphrase)?)),
            Key::Recovery(text) => {
                let key = RecoveryKey::parse(&text)
                    .map_err(|invalid| Error::UnusableKey(KeyField::RecoveryKey, invalid))?;
                Ok((SlotKind::Recovery, Zeroizing::new(key.expose().to_vec())))
            }
            Key::File(path) => Ok((SlotKind::KeyFile, file_bytes(&path, KeyField::KeyFile)?)),
            Key::Credential => {
                let path = self.credential.as_ref().ok_or(unusable(
                    KeyField::Credential,
                    "systemd has handed no credential named secretsd.key to the daemon",
                ))?;
                Ok((SlotKind::Credential, file_bytes(path, KeyField::Credential)?))
            }
            Key::Provider(name) => {
                let command = self.providers.get(&name).ok_or(Error::UnusableKey(
                    KeyField::KeyProvider,
                    Invalid::new(
                        FieldErrorType::Enum,
                        "a key provider that the daemon's settings name is expected",
                    ),
                ))?;
                Ok((SlotKind::Provider, provided(command).await?))
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

/// What the command prints: all of it is the key, byte for byte.
async fn provided(command: &[String]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |reason: &'static str| {
        tracing::warn!(reason, "a key provider command has failed");
        Error::ProviderFailed
    };
    let [program, arguments @ ..] = command else { return Err(failed("no program is named")) };
    let mut command = Command::new(program);
    // What is this process's alone: tokens, and what systemd and the image before have handed to it.
    for variable in PRIVATE_VARIABLES {
        command.env_remove(variable);
    }
    let mut child = command
        .args(arguments)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // What it says may quote the key; it has a log of its own if it wants one.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|_| failed("it cannot be started"))?;
    let _group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let stdout = child.stdout.take().ok_or(Error::Internal("a child has no stdout"))?;
    let outcome = tokio::time::timeout(PROVIDER_DEADLINE, async {
        // Room for all that may come, so that no copy is left behind by growing.
        let mut key = Zeroizing::new(Vec::with_capacity(MATERIAL_MAX + 1));
        stdout
            .take(MATERIAL_MAX as u64 + 1)
            .read_to_end(&mut key)
            .await
            .map_err(|_| failed("it cannot be read"))?;
        if key.len() > MATERIAL_MAX {
            return Err(failed("it printed more than 4096 bytes"));
        }
        let status = child.wait().await.map_err(|_| failed("it cannot be waited for"))?;
        match key.len() {
            _ if !status.success() => Err(failed("it ended with another status than 0")),
            MATERIAL_MIN.. => Ok(key),
            _ => Err(failed("it printed less than 32 bytes")),
        }
    });
    outcome.await.unwrap_or_else(|_| {
        tracing::warn!("a key provider command did not end in time");
        Err(Error::ProviderTimeout)
    })
}

/// Variables that a key provider command does not get.
const PRIVATE_VARIABLES: [&str; 9] = [
    "SECRETSD_TOKEN",
    "SECRETSD_TOKEN_FILE",
    "SECRETSD_RELAUNCH",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// A command's process group, ended when dropped: also what the command itself has started.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // None of it may be left, which is what is wanted.
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str) -> Result<usize, Error> {
        let command: Vec<String> = ["/bin/sh", "-c", script].map(str::to_owned).into();
        provided(&command).await.map(|key| key.len())
    }

    #[tokio::test]
    async fn a_provider_gives_what_it_prints_and_nothing_less_or_more() {
        assert_eq!(shell("head -c 32 /dev/zero").await.unwrap(), 32);
        assert_eq!(shell("head -c 4096 /dev/zero").await.unwrap(), 4_096);
        for script in ["head -c 31 /dev/zero", "cat /dev/zero", "head -c 32 /dev/zero; exit 1", "exit 0"] {
            assert!(matches!(shell(script).await, Err(Error::ProviderFailed)), "{script}");
        }
        let absent = provided(&["/nonexistent/program".to_owned()]).await;
        assert!(matches!(absent, Err(Error::ProviderFailed)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_hangs_is_given_up() {
        // Time stands still while the child runs, and jumps to the deadline once nothing else is to be done.
        assert!(matches!(shell("exec tail -f /dev/null").await, Err(Error::ProviderTimeout)));
    }
}
