//! A line that is being typed, and what keys do to it. It knows no terminal.

use secrets_proto::{SecretValue, SensitiveString};
use zeroize::Zeroizing;

use super::error::Error;

/// The most bytes that a line may have and be an answer; one more says that it was too long.
const LIMIT: usize = SecretValue::MAX + 1;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const CTRL_H: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const CTRL_Z: u8 = 0x1a;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// What a key does to the line.
#[derive(Debug)]
pub(super) enum Pressed {
    Goes,
    Ends,
    Suspends,
    Fails(Error),
}

/// Where in a terminal's sequence of bytes we are; arrows, function keys and the marks of a paste are such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    None,
    Escape,
    Single,
    Parameters(u32),
}

/// A line that is being typed, in a buffer that never grows, so that no copy is left behind.
pub(super) struct Line {
    text: Zeroizing<Vec<u8>>,
    sequence: Sequence,
    pasting: bool,
    /// A paste had a line's end: fine as its last character, and only there.
    ended: bool,
    several: bool,
    unprintable: bool,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            text: Zeroizing::new(Vec::with_capacity(LIMIT)),
            sequence: Sequence::None,
            pasting: false,
            ended: false,
            several: false,
            unprintable: false,
        }
    }

    pub(super) fn start_again(&mut self) {
        *self = Self::new();
    }

    pub(super) fn press(&mut self, key: u8) -> Pressed {
        let before = std::mem::replace(&mut self.sequence, Sequence::None);
        match (before, key) {
            (_, CTRL_C) => return Pressed::Fails(Error::Interrupted),
            (_, ESCAPE) => self.sequence = Sequence::Escape,
            (Sequence::Escape, b'[') => self.sequence = Sequence::Parameters(0),
            (Sequence::Escape, b'O') => self.sequence = Sequence::Single,
            // Alt and a key, or the last byte of a sequence: nothing that belongs in a line.
            (Sequence::Escape | Sequence::Single, 0x20..) => {}
            (Sequence::Parameters(number), b'0'..=b'9') => {
                let number = number.saturating_mul(10).saturating_add(u32::from(key - b'0'));
                self.sequence = Sequence::Parameters(number);
            }
            (Sequence::Parameters(_), 0x20..=0x3f) => self.sequence = Sequence::Parameters(0),
            (Sequence::Parameters(200), b'~') => self.pasting = true,
            (Sequence::Parameters(201), b'~') => {
                self.pasting = false;
                if self.several {
                    return Pressed::Fails(Error::SeveralLines);
                }
            }
            (Sequence::Parameters(_), 0x40..) => {}
            (_, b'\r' | b'\n') if self.pasting => self.ended = true,
            (_, b'\r' | b'\n') if self.several => return Pressed::Fails(Error::SeveralLines),
            (_, b'\r' | b'\n') => return Pressed::Ends,
            (_, key) => return self.edit(key),
        }
        Pressed::Goes
    }

    fn edit(&mut self, key: u8) -> Pressed {
        match key {
            CTRL_D if self.text.is_empty() => return Pressed::Fails(Error::Cancelled),
            CTRL_D => {}
            CTRL_Z => return Pressed::Suspends,
            CTRL_U => self.start_again(),
            CTRL_H | DELETE => self.erase(),
            CTRL_W => {
                let is_space = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
                while is_space(self.text.last()) {
                    self.erase();
                }
                while !self.text.is_empty() && !is_space(self.text.last()) {
                    self.erase();
                }
            }
            0x20.. => {
                self.several |= self.ended;
                if self.text.len() < LIMIT {
                    self.text.push(key);
                }
            }
            _ => self.unprintable = true,
        }
        Pressed::Goes
    }

    /// Takes the last character away, all its bytes.
    fn erase(&mut self) {
        while self.text.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
    }

    pub(super) fn finish(mut self) -> Result<SensitiveString, Error> {
        if self.unprintable {
            return Err(Error::Unprintable);
        }
        match String::from_utf8(std::mem::take(&mut *self.text)) {
            Ok(text) => Ok(SensitiveString::new(text)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(Error::Unprintable)
            }
        }
    }
}
