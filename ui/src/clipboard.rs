//! A value in the terminal's clipboard, for a time: xterm's control sequence 52, which goes through ssh and, where it is
//! allowed, through tmux.

use std::io;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::screen::Screen;

/// How long a value stays there.
pub(crate) const KEPT: Duration = Duration::from_secs(30);

/// What was put into the clipboard and is to be removed again.
#[derive(Default)]
pub(crate) struct Clipboard {
    until: Option<Instant>,
}

impl Clipboard {
    /// Puts a value there.
    pub(crate) fn put(&mut self, screen: &mut Screen, value: &str) -> io::Result<()> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 + BASE64.encode_len(value.len())));
        bytes.extend_from_slice(b"\x1b]52;c;");
        bytes.extend_from_slice(Zeroizing::new(BASE64.encode(value.as_bytes())).as_bytes());
        bytes.push(0x07);
        screen.send(&bytes)?;
        self.until = Some(Instant::now() + KEPT);
        Ok(())
    }

    /// Removes it if its time is over, or at once.
    pub(crate) fn clear(&mut self, screen: &mut Screen, at_once: bool) -> io::Result<bool> {
        if !self.until.is_some_and(|until| at_once || until <= Instant::now()) {
            return Ok(false);
        }
        self.until = None;
        // Not base64: the terminal empties its clipboard.
        screen.send(b"\x1b]52;c;!\x07")?;
        Ok(true)
    }
}
