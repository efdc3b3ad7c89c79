//! Values and keys from files, pipes and the terminal: bounded, wiped, byte for byte.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read};
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use secrets_project::generate::Recipe;
use secrets_proto::{FieldErrorType, Invalid, SecretValue, SensitiveString};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::{output, prompt, providers, random};

/// Where a value comes from. The hidden words are taken so that they can be refused with the reason.
#[derive(Debug, Args)]
pub(crate) struct ValueArgs {
    /// Read the value from this file, byte for byte; `-` is stdin
    #[arg(long, value_name = "FILE")]
    pub(crate) value_file: Option<PathBuf>,
    /// Keep the newline at the end of a line that comes from a pipe
    #[arg(long)]
    pub(crate) exact: bool,
    /// Store a random value: 32 letters and digits, or this many
    #[arg(
        long,
        value_name = "LENGTH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "32",
        conflicts_with_all = ["value_file", "exact"]
    )]
    pub(crate) generate: Option<String>,
    #[arg(hide = true)]
    pub(crate) refused: Vec<OsString>,
}

/// Why a value is never an argument.
pub(crate) const NO_VALUES: &str = "a value cannot be an argument, others could see it; type it when asked, or pipe it in; if this was a real one, it is in your shell's history: remove it there and replace it at its provider";

/// How long a value may be that is made: fewer characters could be guessed, and more serve nothing.
const LENGTHS: RangeInclusive<usize> = 12..=1_024;

/// The most bytes a passphrase or recovery key may have, and its newline.
const KEY_LIMIT: usize = 1_024 + 2;

/// Refuses a value on the command line, before anything else is done.
pub(crate) fn refuse_arguments(args: &ValueArgs) -> Result<(), Failure> {
    if args.refused.is_empty() {
        return Ok(());
    }
    let is_length = |word: &OsString| word.len() <= 4 && word.as_bytes().iter().all(u8::is_ascii_digit);
    if args.generate.is_some() && args.refused.iter().all(is_length) {
        let text = "the length goes behind an equals sign; write: --generate=LENGTH";
        return Err(Failure::new(Exit::Usage, text));
    }
    Err(Failure::new(Exit::Usage, NO_VALUES))
}

/// Whether [`value`] will ask a person.
pub(crate) fn asks(args: &ValueArgs) -> bool {
    let from_stdin = args.value_file.as_deref().is_none_or(|path| path == Path::new("-"));
    args.generate.is_none() && from_stdin && io::stdin().is_terminal()
}

/// The value to store: the file's bytes, or all of stdin, or a line typed without echo after a question for it: `what` of
/// which secret, if that is known. Of a line from a pipe its end is left out: `echo` adds it, and a key with it is refused by
/// its provider.
pub(crate) fn value(args: &ValueArgs, name: Option<&str>, what: &str) -> Result<SecretValue, Failure> {
    SecretValue::from_bytes(bytes(args, name, what)?.to_vec()).map_err(not_a_value)
}

/// What is to be stored, as [`value`] gets it, which need not be text.
pub(crate) fn bytes(args: &ValueArgs, name: Option<&str>, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if let Some(length) = &args.generate {
        return made(length);
    }
    if asks(args) {
        let question = name.map_or_else(|| format!("{what}: "), |name| format!("{name} {what}: "));
        let typed = prompt::hidden(&question).map_err(|error| {
            let other = format!("store it from a file with: secretctl set {} < FILE", name.unwrap_or("NAME"));
            Failure::new(Exit::Other, error.told("nothing was stored", &other))
        })?;
        if typed.expose().is_empty() {
            return Err(Failure::new(Exit::Invalid, "empty; nothing was stored"));
        }
        return Ok(Zeroizing::new(typed.expose().as_bytes().to_vec()));
    }
    let is_piped = args.value_file.is_none() && !args.exact && stdin_is_piped();
    let bytes = match &args.value_file {
        Some(path) => file(path, "--value-file", SecretValue::MAX)?,
        None => bounded(io::stdin().lock(), "stdin", SecretValue::MAX + if is_piped { 2 } else { 0 })?,
    };
    match line_without_end(&bytes) {
        Some(line) if is_piped => {
            output::say("left out the newline at the end; to keep it, use --exact");
            return Ok(Zeroizing::new(line.to_vec()));
        }
        Some(_) if !args.exact => {
            output::say("the value ends with a newline, which is stored too; use printf %s to avoid it");
        }
        _ => {}
    }
    Ok(bytes)
}

/// As many random letters and digits as this text says.
fn made(length: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let length = length.parse().ok().filter(|length| LENGTHS.contains(length)).ok_or_else(|| {
        let (least, most) = (LENGTHS.start(), LENGTHS.end());
        Failure::new(Exit::Invalid, format!("--generate must be a length from {least} to {most}"))
    })?;
    let made = Recipe::Password { length, all_ascii: false }.make(random::fill)?;
    Ok(Zeroizing::new(made.as_bytes().to_vec()))
}

/// Whether stdin is no file of the user's: a shell keeps what stands behind `<<<` in one without a name.
fn stdin_is_piped() -> bool {
    rustix::fs::fstat(io::stdin())
        .is_ok_and(|stat| !FileType::from_raw_mode(stat.st_mode).is_file() || stat.st_nlink == 0)
}

/// A line without the newline that ends it, if it is one line. Text of several lines is a file's: a program may want it
/// whole.
fn line_without_end(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.strip_suffix(b"\n")?;
    (!line.contains(&b'\n')).then(|| line.strip_suffix(b"\r").unwrap_or(line))
}

/// A passphrase or recovery key from a file. One newline at its end does not count: editors put it there. Where stdin is
/// named and is a terminal, it is asked for without echo.
pub(crate) fn key(path: &Path, flag: &str) -> Result<SensitiveString, Failure> {
    if path == Path::new("-") && io::stdin().is_terminal() {
        let what = match flag {
            "--paper-key-file" | "--runner-key-file" => "key: ",
            flag if flag.contains("recovery") => "recovery key: ",
            _ => "passphrase: ",
        };
        return prompt::hidden(what).map_err(|error| error.into_failure("nothing was done", "name a file"));
    }
    let bytes = file(path, flag, KEY_LIMIT)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::new(Exit::Invalid, format!("what {flag} names is not UTF-8 text")))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::new(Exit::Invalid, format!("what {flag} names is empty")));
    }
    Ok(SensitiveString::new(text.to_owned()))
}

fn not_a_value(invalid: Invalid) -> Failure {
    let is_binary =
        matches!(invalid.kind, FieldErrorType::StringType | FieldErrorType::StringPatternMismatch);
    let advice = if is_binary { "; encode it first: base64 < FILE | secretctl set NAME" } else { "" };
    Failure::new(Exit::Invalid, format!("{invalid}{advice}"))
}

/// A path as it may be shown. A value may have been put there by mistake, and values hold slashes too: so only
/// what exists, or would lie in a directory that does and that was named.
pub(crate) fn shown(path: &Path) -> Option<String> {
    let is_key = path.components().any(|part| providers::looks_like_key(&part.as_os_str().to_string_lossy()));
    let parent = path.parent().filter(|parent| parent.components().count() > 0 && *parent != Path::new("/"));
    let is_path = path.exists() || parent.is_some_and(Path::is_dir);
    (is_path && !is_key).then(|| path.display().to_string())
}

/// Has a failure of a request with this key file name the file, if it is the file that was refused.
pub(crate) fn naming_key_file(path: Option<&str>) -> impl FnOnce(Failure) -> Failure {
    move |failure| failure.naming("key_file", path.and_then(|path| shown(Path::new(path))))
}

/// Opens a file to read it. If it is a FIFO that nobody writes to for a moment, it prints what it waits for.
pub(crate) fn open(path: &Path, what: &str) -> io::Result<File> {
    // NONBLOCK: opening a FIFO would wait for somebody to write to it, without a word.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        let is_silent =
            |timeout| poll(&mut [PollFd::new(&file, PollFlags::IN)], timeout).map(|ready| ready == 0);
        let moment = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
        if is_silent(Some(&moment)).unwrap_or(true) {
            output::say(&format!("{what} is a FIFO; waiting for a writer, Ctrl-C to stop"));
            while is_silent(None) == Err(Errno::INTR) {}
        }
    }
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Reads what a flag names.
fn file(path: &Path, flag: &str, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if path == Path::new("-") {
        return bounded(io::stdin().lock(), "stdin", limit);
    }
    let name = match shown(path) {
        Some(path) => format!("{path} ({flag})"),
        None => format!("what {flag} names"),
    };
    let opened = open(path, &name).map_err(|error| unreadable(&name, &error))?;
    bounded(opened, &name, limit)
}

/// All of it, if it is not more than `limit` bytes.
pub(crate) fn bounded(from: impl Read, what: &str, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Never grows, so that no copy is left behind.
    let mut bytes = Zeroizing::new(vec![0; limit + 1]);
    let length = fill(from, &mut bytes).map_err(|error| unreadable(what, &error))?;
    bytes.truncate(length);
    if length > limit {
        return Err(Failure::new(Exit::Invalid, format!("{what} has more than {limit} bytes")));
    }
    Ok(bytes)
}

fn fill(mut from: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn unreadable(what: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::new(Exit::Other, format!("cannot read {what}: there is no such file"));
    }
    Failure::new(Exit::Other, format!("cannot read {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn from_file(content: &[u8]) -> Result<SecretValue, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        fs::write(&path, content).unwrap();
        value(
            &ValueArgs { value_file: Some(path), exact: false, generate: None, refused: Vec::new() },
            None,
            "value",
        )
    }

    #[test]
    fn a_files_bytes_are_kept() {
        for kept in [" a \n", "a\r\n\r\n", "$x`y`", "\u{feff}é"] {
            assert_eq!(from_file(kept.as_bytes()).unwrap().expose(), kept);
        }
        assert_eq!(from_file(&vec![b'x'; SecretValue::MAX]).unwrap().expose().len(), SecretValue::MAX);
    }

    #[test]
    fn only_the_end_of_one_line_is_left_out() {
        for (bytes, line) in [("a\n", "a"), ("a\r\n", "a"), (" a \n", " a "), ("\n", "")] {
            assert_eq!(line_without_end(bytes.as_bytes()), Some(line.as_bytes()));
        }
        for kept in ["a", "a\r", "a\nb\n", "a\n\n", ""] {
            assert_eq!(line_without_end(kept.as_bytes()), None, "{kept:?}");
        }
    }

    #[test]
    fn what_is_no_value_is_invalid_input() {
        for bad in [b"".to_vec(), vec![b'x'; SecretValue::MAX + 1], vec![0xff], b"a\0b".to_vec()] {
            assert_eq!(from_file(&bad).unwrap_err().exit(), Exit::Invalid);
        }
    }

    #[test]
    fn what_is_no_text_is_to_be_encoded() {
        for bad in [&[0xff][..], b"a\0b"] {
            assert!(from_file(bad).unwrap_err().message().contains("base64 < FILE"));
        }
        assert!(!from_file(b"").unwrap_err().message().contains("base64"));
    }

    #[test]
    fn a_path_is_shown_and_what_may_be_a_value_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        for path in [dir.path().to_owned(), dir.path().join("none")] {
            let message = file(&path, "--value-file", 9).unwrap_err().message().to_owned();
            assert!(message.contains(&text(&path)), "{message}");
        }
        for value in ["/sk-canary-canary", "canary", "ab/cd/canary", "/canary"] {
            let failure = file(Path::new(value), "--value-file", 9).unwrap_err();
            assert!(!failure.message().contains("canary"), "{value}");
        }
        let key = dir.path().join("ghp_canarycanarycanary");
        assert!(!file(&key, "--value-file", 9).unwrap_err().message().contains("canary"));
    }

    #[test]
    fn only_one_newline_of_a_key_file_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (content, kept) in [("a b", "a b"), ("a \n", "a "), ("a\r\n", "a"), ("a\n\n", "a\n")] {
            fs::write(&path, content).unwrap();
            assert_eq!(key(&path, "--passphrase-file").unwrap().expose(), kept);
        }
        fs::write(&path, "\n").unwrap();
        assert_eq!(key(&path, "--passphrase-file").unwrap_err().exit(), Exit::Invalid);
    }

    #[test]
    fn a_value_on_the_command_line_is_a_usage_error_that_does_not_show_it() {
        let args =
            ValueArgs { value_file: None, exact: false, generate: None, refused: vec!["sk-canary".into()] };
        let failure = refuse_arguments(&args).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(!failure.message().contains("canary"));
    }
}
