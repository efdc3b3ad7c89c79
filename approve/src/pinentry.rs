//! The window in which the passphrase is typed: a graphical pinentry, over a pipe. It knows nothing of asks.
//!
//! One that would ask on a terminal is never told to: a shell that reads there would get half of what is typed. By its name
//! it cannot be known, because `pinentry` may be any, and a graphical one falls back to a terminal where it finds no display.
//! So each is asked first what it is (`GETINFO flavor`).
//!
//! Source of the protocol: "Pinentry's Assuan Protocol" in the manual of pinentry, and of its lines that of libassuan.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrets_proto::SensitiveString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Names under which pinentries are installed: first the one that the machine has chosen.
const NAMES: [&str; 9] = [
    "pinentry",
    "pinentry-gnome3",
    "pinentry-qt",
    "pinentry-qt6",
    "pinentry-qt5",
    "pinentry-gtk-2",
    "pinentry-gtk",
    "pinentry-fltk",
    "pinentry-x11",
];

/// What those are called that ask on a terminal, or in one of an editor.
const NOT_GRAPHICAL: [&str; 3] = ["curses", "tty", "emacs"];

/// How long a person may type, in seconds.
const SECONDS: u64 = 60;

/// How long a pinentry may take to answer what nobody types.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of a line, and of a passphrase.
const LINE: usize = 1_024;
const TYPED: usize = 4_096;

/// What the window says.
pub(crate) struct Question<'a> {
    /// What it is about, in the protocol's escapes.
    pub(crate) description: &'a str,
    /// The button that goes on.
    pub(crate) yes: &'a str,
    /// What was wrong with the last answer.
    pub(crate) error: Option<&'a str>,
}

/// Why nothing was typed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("a pinentry cannot be started: {0}")]
    Start(#[from] io::Error),
    #[error(
        "no pinentry has a window; install pinentry-gnome3, pinentry-qt or pinentry-gtk2, or name one in the settings or in SECRETSD_PINENTRY"
    )]
    NoWindow,
    #[error("the pinentry does not speak its protocol")]
    Broken,
}

/// The programs that may be asked: the one that was named, or those of a search path. Whether they have a window is known
/// when they run.
pub(crate) fn candidates(named: Option<PathBuf>, search: &[PathBuf]) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named];
    }
    let paths = NAMES.iter().flat_map(|name| search.iter().map(move |dir| dir.join(name)));
    paths.filter(|path| path.is_file() && !is_for_terminals(path)).collect()
}

/// Whether its name says that it asks on a terminal.
fn is_for_terminals(path: &Path) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    NOT_GRAPHICAL.iter().any(|kind| name.contains(kind))
}

/// Asks a person for the passphrase. `None` if they do not want to, or take longer than a minute.
pub(crate) async fn ask(
    programs: &[PathBuf],
    question: &Question<'_>,
) -> Result<Option<SensitiveString>, Error> {
    let mut pinentry = graphical(programs).await?;
    // A window that does not say what it is for is none to type a passphrase in.
    pinentry.must(&format!("SETDESC {}", question.description)).await?;
    for (command, text) in [
        ("SETTITLE", "secretsd"),
        ("SETPROMPT", "Passphrase:"),
        ("SETOK", question.yes),
        ("SETCANCEL", "Not now"),
    ] {
        pinentry.must(&format!("{command} {text}")).await?;
    }
    if let Some(error) = question.error {
        pinentry.must(&format!("SETERROR {error}")).await?;
    }
    pinentry.must(&format!("SETTIMEOUT {SECONDS}")).await?;
    let typed = timeout(Duration::from_secs(SECONDS) + PATIENCE, pinentry.answer("GETPIN")).await;
    let Ok(reply) = typed else { return Ok(None) };
    let reply = reply?;
    if !reply.is_ok || reply.data.is_empty() {
        return Ok(None);
    }
    let text = str::from_utf8(&reply.data).map_err(|_| Error::Broken)?;
    Ok(Some(SensitiveString::new(text.to_owned())))
}

/// Looks whether one of these has a window.
pub(crate) async fn check(programs: &[PathBuf]) -> Result<(), Error> {
    graphical(programs).await.map(drop)
}

/// The first that has a window.
async fn graphical(programs: &[PathBuf]) -> Result<Pinentry, Error> {
    for program in programs.iter().filter(|program| !is_for_terminals(program)) {
        let Ok(mut pinentry) = Pinentry::start(program).await else { continue };
        let flavor = pinentry.command("GETINFO flavor").await;
        // One that does not know the question is none of those for terminals, which all do.
        let is_graphical = flavor.is_ok_and(|reply| {
            let flavor = String::from_utf8_lossy(&reply.data).into_owned();
            !reply.is_ok || !NOT_GRAPHICAL.iter().any(|kind| flavor.contains(kind))
        });
        if is_graphical {
            return Ok(pinentry);
        }
    }
    Err(Error::NoWindow)
}

/// A running pinentry, which ends when this is dropped.
struct Pinentry {
    _child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// What was read and not taken yet.
    buffer: Zeroizing<[u8; LINE]>,
    filled: usize,
}

/// What it answered.
struct Reply {
    is_ok: bool,
    data: Zeroizing<Vec<u8>>,
}

impl Pinentry {
    async fn start(program: &Path) -> Result<Self, Error> {
        let mut child = Command::new(program)
            // What is ours, and the terminal that others ask on.
            .env_remove("SECRETSD_TOKEN")
            .env_remove("GPG_TTY")
            .env_remove("PINENTRY_USER_DATA")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // In the background of any terminal, where nothing can be read from it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Broken);
        };
        let mut pinentry =
            Self { _child: child, stdin, stdout, buffer: Zeroizing::new([0; LINE]), filled: 0 };
        let greeting = timeout(PATIENCE, pinentry.reply()).await.map_err(|_| Error::Broken)??;
        if greeting.is_ok { Ok(pinentry) } else { Err(Error::Broken) }
    }

    /// Sends a command that may be refused.
    async fn command(&mut self, line: &str) -> Result<Reply, Error> {
        timeout(PATIENCE, self.answer(line)).await.map_err(|_| Error::Broken)?
    }

    /// Sends a command that may not.
    async fn must(&mut self, line: &str) -> Result<(), Error> {
        if self.command(line).await?.is_ok { Ok(()) } else { Err(Error::Broken) }
    }

    async fn answer(&mut self, line: &str) -> Result<Reply, Error> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await?;
        self.reply().await
    }

    /// Reads lines until one says how it went.
    async fn reply(&mut self) -> Result<Reply, Error> {
        let mut data = Zeroizing::new(Vec::with_capacity(TYPED));
        loop {
            let line = self.line().await?;
            match line.split_at_checked(2).unwrap_or((&line, b"")) {
                (b"D ", escaped) => unescape(escaped, &mut data)?,
                (b"OK", _) => return Ok(Reply { is_ok: true, data }),
                (b"ER", _) => return Ok(Reply { is_ok: false, data }),
                // A status, or a comment.
                (b"S " | b"# " | b"#", _) => {}
                _ => return Err(Error::Broken),
            }
        }
    }

    async fn line(&mut self) -> Result<Zeroizing<Vec<u8>>, Error> {
        loop {
            let read = self.buffer.get(..self.filled).ok_or(Error::Broken)?;
            if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line = Zeroizing::new(read.get(..end).unwrap_or_default().to_vec());
                self.buffer.copy_within(end + 1..self.filled, 0);
                self.filled -= end + 1;
                return Ok(line);
            }
            let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
            let count = self.stdout.read(free).await?;
            if count == 0 {
                return Err(Error::Broken);
            }
            self.filled += count;
        }
    }
}

/// Adds what a data line says.
fn unescape(escaped: &[u8], data: &mut Vec<u8>) -> Result<(), Error> {
    let mut bytes = escaped.iter().copied();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                return Err(Error::Broken);
            };
            u8::try_from(high * 16 + low).map_err(|_| Error::Broken)?
        } else {
            byte
        };
        // Growing would leave a copy behind.
        if data.len() == TYPED {
            return Err(Error::Broken);
        }
        data.push(byte);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_unescaped_and_bounded() {
        let mut data = Vec::with_capacity(TYPED);
        unescape(b"a%25b%0Ac+d", &mut data).unwrap();
        assert_eq!(data, b"a%b\nc+d");
        assert!(unescape(b"%2", &mut data).is_err());
        assert!(unescape(b"%zz", &mut data).is_err());
        assert!(unescape(&[b'x'; TYPED], &mut data).is_err());
    }

    #[test]
    fn what_is_for_terminals_is_no_candidate() {
        let dir = std::env::temp_dir().join(format!("pinentries-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("pinentry-curses"), "").unwrap();
        std::fs::write(dir.join("pinentry-qt"), "").unwrap();
        std::os::unix::fs::symlink("pinentry-curses", dir.join("pinentry")).unwrap();
        let found = candidates(None, std::slice::from_ref(&dir));
        assert_eq!(found, [dir.join("pinentry-qt")]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
