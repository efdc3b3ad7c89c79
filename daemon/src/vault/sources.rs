//! Where keys come from: what a caller sends or names, as the bytes that a slot's key is derived from.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
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
    /// The same for a key that a slot is to be made for. A key provider command is run twice: one that prints something
    /// else each time, as a signature does, would make a slot that nothing ever opens.
    pub(super) async fn lasting_secret_of(&self, key: Key) -> Result<(SlotKind, Zeroizing<Vec<u8>>), Error> {
        let again = match &key {
            Key::Provider(name) => Some(Key::Provider(name.clone())),
            Key::Passphrase(_) | Key::File(_) | Key::Recovery(_) | Key::Credential => None,
        };
        let first = self.secret_of(key).await?;
        if let Some(again) = again
            && self.secret_of(again).await?.1 != first.1
        {
            return Err(unusable(
                KeyField::KeyProvider,
                "the command printed something else when run again; it must print the same key each time",
            ));
        }
        Ok(first)
    }

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
                    "systemd passed no credential named secretsd.key to the daemon",
                ))?;
                Ok((SlotKind::Credential, file_bytes(path, KeyField::Credential)?))
            }
            Key::Provider(name) => {
                let command = self.providers.get(&name).ok_or(Error::UnusableKey(
                    KeyField::KeyProvider,
                    Invalid::new(
                        FieldErrorType::Enum,
                        "unknown key provider; it must be in the daemon's settings",
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
        .map_err(|error| match files::lacks_descriptors(&error) {
            true => Error::NoDescriptors,
            false => failed("it cannot be started"),
        })?;
    let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let stdout = child.stdout.take().ok_or(Error::Internal("a child has no stdout"))?;
    let mut family = Family { leader, pipe: stdout.as_fd().try_clone_to_owned().ok() };
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
        // All have closed it.
        family.pipe = None;
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

/// A command with what it has started, ended when dropped: its process group, and every process that still holds its output,
/// which may have a session of its own. What has let go of the output goes on, like an agent that stays.
struct Family {
    leader: Option<Pid>,
    /// Our end of its output, unless that has ended.
    pipe: Option<OwnedFd>,
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // None of it may be left, which is what is wanted.
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
        if let Some(pipe) = self.pipe.take() {
            // To look at every process takes some milliseconds, which nobody else should wait for.
            let _ = thread::Builder::new().spawn(move || end_holders(&pipe));
        }
    }
}

/// Ends the processes that have this pipe open, as far as the system shows their descriptors: not those of another user,
/// and none that hides itself.
fn end_holders(pipe: &OwnedFd) {
    let Ok(status) = rustix::fs::fstat(pipe) else { return };
    let link = PathBuf::from(format!("pipe:[{}]", status.st_ino));
    // One that is being ended still shows, and may have started another.
    for _ in 0..ROUNDS {
        let holders = holders_of(&link);
        if holders.is_empty() {
            return;
        }
        for holder in holders {
            let _ = rustix::process::pidfd_send_signal(holder, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
    tracing::warn!("cannot end a process that a key provider command started");
}

/// How often it is looked for those who still hold a command's output.
const ROUNDS: usize = 100;

/// The other processes that have a descriptor with this link.
fn holders_of(link: &Path) -> Vec<OwnedFd> {
    let own = Pid::from_raw(std::process::id().cast_signed());
    let holds = |pid: Pid| {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
        let mut descriptors = descriptors.into_iter().flatten().flatten();
        descriptors.any(|entry| std::fs::read_link(entry.path()).is_ok_and(|found| found == link))
    };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter(|pid| Some(*pid) != own && holds(*pid))
        .filter_map(|pid| {
            let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
            // Once more: the id may have become another's before it was held.
            holds(pid).then_some(process)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

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

    #[test]
    fn what_holds_the_output_is_ended_in_whatever_session_it_is() {
        // The first has let go of the output and goes on; the second has not, and has a session of its own.
        let script = "sleep 600 >/dev/null & echo $!; exec setsid --fork sh -c 'echo $$; exec sleep 600'";
        let mut child = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let pipe = stdout.as_fd().try_clone_to_owned().unwrap();
        let lines = BufReader::new(stdout).lines().take(2);
        let [agent, holder] = lines.map(|line| line.unwrap().parse().unwrap()).collect::<Vec<i32>>()[..]
        else {
            panic!("two are started");
        };
        child.wait().unwrap();
        let handle = |pid| pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        let (agent, holder) = (handle(agent), handle(holder));
        let ends_within = |process: &OwnedFd, tv_sec| {
            poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&Timespec { tv_sec, tv_nsec: 0 })).unwrap()
                > 0
        };
        drop(Family { leader: None, pipe: Some(pipe) });
        let ended = (ends_within(&holder, 30), ends_within(&agent, 0));
        for process in [agent, holder] {
            let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
        }
        assert_eq!(ended, (true, false));
    }
}
