//! Whether a form may go on over what is no character as it is: a gap, an escape, a separator of hexadecimal digits. The
//! characters on both sides tell. What is cut off may always go on.

use zeroize::Zeroizing;

use crate::form::{Spelling, escape};
use crate::gaps::{self, Gaps};
use crate::grams::{GRAM, Grams};
use crate::read::{self, Between, Read};

/// What the first characters of all forms may be, and what may be between them.
pub(super) struct Onward {
    /// Which characters may be in a row there.
    pub(super) grams: Grams,
    gaps: Gaps,
    /// What is to be done at a byte.
    classes: [Class; 256],
    /// Whether a plus sign may be a space.
    pub(super) is_plus_a_space: bool,
    /// Whether a value begins with what before the end of a line may be a part of the gap.
    begins_like_a_gap: bool,
    /// Whether line ends and the like are among the first characters of a value.
    is_odd: bool,
    /// Which bytes are among those: an escape that stands for another one begins no form, and none goes on with it.
    first: Zeroizing<[bool; 256]>,
    /// Which bytes have nothing behind them in any form. A space may be a part of a gap, and a digit be in a dump.
    dead_ends: Zeroizing<[bool; 256]>,
}

/// What a byte can be in a form, other than a character as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Character,
    /// A separator of hexadecimal digits.
    Separator,
    /// A line's end, or a control sequence.
    Gap,
    Escape,
}

impl Onward {
    /// Takes the values' bytes, each of eight or more.
    pub(super) fn new(texts: &[&[u8]], gaps: Gaps) -> Self {
        let grams = Grams::new(texts);
        let mut onward = Self {
            grams,
            gaps,
            classes: [Class::Character; 256],
            is_plus_a_space: false,
            begins_like_a_gap: texts
                .iter()
                .any(|text| text.first().copied().is_some_and(gaps::may_be_before_line_end)),
            is_odd: false,
            first: Zeroizing::new([false; 256]),
            dead_ends: Zeroizing::new([false; 256]),
        };
        for (byte, slot) in (0..=u8::MAX).zip(onward.dead_ends.iter_mut()) {
            *slot = byte != b' ' && !is_digit(byte) && !onward.grams.leads_on(byte);
        }
        let known = onward.grams.known;
        for byte in texts.iter().flat_map(|text| text.iter().take(known)) {
            if let Some(slot) = onward.first.get_mut(usize::from(*byte)) {
                *slot = true;
            }
        }
        let begins = |byte: u8| onward.is_first(byte);
        let is_odd = begins(b'\n') || begins(b'\r') || begins(0x1b);
        let is_plus_a_space = begins(b' ');
        (onward.is_odd, onward.is_plus_a_space) = (is_odd, is_plus_a_space);
        let classes = [
            (b' ', Class::Separator),
            (b':', Class::Separator),
            (b'\n', Class::Gap),
            (b'\r', Class::Gap),
            (0x1b, Class::Gap),
            (b'%', Class::Escape),
            (b'\\', Class::Escape),
            (b'&', Class::Escape),
        ];
        let space = is_plus_a_space.then_some((b'+', Class::Escape));
        for (byte, class) in classes.into_iter().chain(space) {
            if let Some(slot) = onward.classes.get_mut(usize::from(byte)) {
                *slot = class;
            }
        }
        onward
    }

    fn class(&self, byte: u8) -> Class {
        self.classes.get(usize::from(byte)).copied().unwrap_or(Class::Character)
    }

    fn at(&self, text: &[u8], at: usize) -> Class {
        text.get(at).map_or(Class::Gap, |byte| self.class(*byte))
    }

    /// Whether a byte stands for itself, in what is not hexadecimal. A space may belong to a carriage return.
    fn is_character(&self, text: &[u8], at: usize) -> bool {
        match self.at(text, at) {
            Class::Character => true,
            Class::Separator => text.get(at + 1).is_some_and(|next| *next != b'\r'),
            Class::Gap | Class::Escape => false,
        }
    }

    /// Whether the first gap or escape of a form may be there.
    pub(super) fn may_go_on(&self, text: &[u8], at: usize) -> bool {
        let Some(byte) = text.get(at) else { return false };
        match self.class(*byte) {
            Class::Character => false,
            Class::Separator => self.may_go_on_in_hex(text, at),
            Class::Gap if self.is_odd => true,
            Class::Gap if self.gaps == Gaps::Files && *byte != 0x1b => {
                self.begins_like_a_gap
                    || self.may_go_on_in_next_line(text, at)
                    || self.may_go_on_in_hex(text, at)
            }
            // What goes on a gap is not the first of one, and nothing that is between characters has begun a form.
            Class::Gap
                if !self.is_each_looked_at()
                    && at.checked_sub(1).is_some_and(|at| self.at(text, at) == Class::Gap) =>
            {
                false
            }
            // Most ends of lines are behind what no value has at all.
            Class::Gap if self.gaps == Gaps::Screen && self.leads_nowhere(text, at) => false,
            Class::Gap => {
                let mut after = at;
                loop {
                    match read::gap(Between::Characters, text.get(after..).unwrap_or_default()) {
                        // The space may also be a character.
                        Read::Is(2, ()) => return true,
                        Read::Is(length, ()) => after += length,
                        Read::Cut => return true,
                        Read::Other => break,
                    }
                }
                let fits = |at: usize| {
                    self.may_be_beside(text, at, after) && self.fits(text, at, self.characters(text, after))
                };
                let space =
                    at.checked_sub(1).filter(|before| *byte == b'\r' && text.get(*before) == Some(&b' '));
                after > at && (fits(at) || space.is_some_and(fits)) || self.may_go_on_in_hex(text, at)
            }
            Class::Escape => {
                let may_be = |spelling: &Spelling| {
                    self.may_mean_one(text, at, *spelling)
                        && is_worth_reading(text, at, *spelling)
                        && self.escaped(text, at, *spelling).is_some_and(|next| self.fits(text, at, next))
                };
                ways(*byte).iter().any(may_be)
            }
        }
    }

    fn is_first(&self, byte: u8) -> bool {
        self.first.get(usize::from(byte)).is_some_and(|is| *is)
    }

    /// Whether what is read as an escape there may stand for one of the first characters of a value. What is cut may.
    fn may_mean_one(&self, text: &[u8], at: usize, spelling: Spelling) -> bool {
        match escape(spelling, text.get(at..).unwrap_or_default()) {
            Some(Read::Is(_, meant)) => {
                let first = meant.bytes().first().copied().unwrap_or_default();
                self.is_first(first) || first == b'+' && self.is_plus_a_space
            }
            Some(Read::Cut) => true,
            // An ampersand that begins no reference stands for itself.
            Some(Read::Other) => false,
            // A plus sign, which is looked at where it may be a space.
            None => true,
        }
    }

    /// Whether what is before the first gap of a form and what is behind it may be beside each other. What is cut may.
    fn may_be_beside(&self, text: &[u8], gap: usize, after: usize) -> bool {
        let before = gap.checked_sub(1).and_then(|at| text.get(at));
        let (Some(before), Some(next)) = (before, text.get(after)) else { return true };
        let mean = |spelling: &Spelling| self.may_mean_one(text, after, *spelling);
        self.grams.has_pair(*before, *next)
            || self.class(*next) == Class::Escape && ways(*next).iter().any(mean)
    }

    /// Whether a form goes on with nothing behind the character before a gap. A space may be a part of the gap.
    fn leads_nowhere(&self, text: &[u8], gap: usize) -> bool {
        let before = gap.checked_sub(1).and_then(|at| text.get(at));
        before.is_some_and(|before| self.dead_ends.get(usize::from(*before)).is_some_and(|is| *is))
    }

    /// Whether each byte of a gap is looked at, and not its first alone.
    pub(super) fn is_each_looked_at(&self) -> bool {
        self.is_odd || self.gaps == Gaps::Files
    }

    /// Whether a form may be broken over lines here.
    fn may_go_on_in_next_line(&self, text: &[u8], line_end: usize) -> bool {
        let start = gaps::begin_of_join(text, line_end);
        let end = match gaps::join(text.get(start..).unwrap_or_default()) {
            Read::Is(length, ()) => start + length,
            Read::Cut => return true,
            Read::Other => return false,
        };
        let Some(before) = start.checked_sub(1).and_then(|at| text.get(at)).copied() else { return false };
        let Some(after) = text.get(end).copied() else { return true };
        if matches!(self.class(after), Class::Gap | Class::Escape) {
            return true;
        }
        let is_beside = self.grams.has_pair(before, after) && self.fits_around(text, start, end);
        is_beside
            || self.is_plus_a_space && self.grams.has_pair(before, b' ') && self.grams.has_pair(b' ', after)
    }

    /// Whether a form may go on from before `start` to behind `end`: of its first eight characters either four or more are
    /// before, or four or more are behind. Then all four in a row of these that there are must be known.
    fn fits_around(&self, text: &[u8], start: usize, end: usize) -> bool {
        let before = start.checked_sub(GRAM).and_then(|from| text.get(from..start));
        let Some(next @ [first, second, third, _]) = self.characters(text, end) else { return true };
        if let Some(&[a, b, c, d]) = before
            && self.grams.has([a, b, c, d])
            && self.grams.has([b, c, d, first])
        {
            return true;
        }
        let last = start.checked_sub(1).and_then(|at| text.get(at)).copied().unwrap_or_default();
        self.grams.has(next) && (self.grams.has([last, first, second, third]) || self.grams.is_second(next))
    }

    /// Whether this may be between two digits: there must be more of them.
    fn may_go_on_in_hex(&self, text: &[u8], at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| text.get(before)).copied().unwrap_or_default();
        if !is_digit(before) {
            return false;
        }
        let (mut next, mut count) = ([0; GRAM], 0);
        for byte in text.get(at..).unwrap_or_default() {
            match byte {
                b' ' | b':' | b'\n' | b'\r' => {}
                0x1b => return true,
                byte if count == 0 && !(is_digit(*byte) && self.grams.has_pair(before, *byte)) => {
                    return false;
                }
                byte if is_digit(*byte) => {
                    if let Some(slot) = next.get_mut(count) {
                        *slot = *byte;
                    }
                    count += 1;
                    if count == GRAM {
                        return self.fits(text, at, Some(next));
                    }
                }
                _ => return false,
            }
        }
        true
    }

    /// The next characters, if they are as they are.
    fn characters(&self, text: &[u8], at: usize) -> Option<[u8; GRAM]> {
        let four = text.get(at..)?.first_chunk::<GRAM>()?;
        (at..at + GRAM).all(|at| self.is_character(text, at)).then_some(*four)
    }

    /// The characters from an escape on, if they can be read. Nothing if it is no escape.
    fn escaped(&self, text: &[u8], mut at: usize, spelling: Spelling) -> Option<Option<[u8; GRAM]>> {
        let (mut next, mut count) = ([0; 8], 0);
        let first = at;
        while count < GRAM {
            let rest = text.get(at..).unwrap_or_default();
            let mut add = |bytes: &[u8]| {
                for (slot, byte) in next.iter_mut().skip(count).zip(bytes) {
                    *slot = *byte;
                }
                count += bytes.len();
            };
            let read = match (escape(spelling, rest), rest) {
                // It may be a space that a form's field has, encoded once more.
                (Some(Read::Is(_, c)), _)
                    if spelling == Spelling::Twice && self.is_plus_a_space && c.bytes() == b"+" =>
                {
                    Read::Cut
                }
                (Some(read), _) => read.map(|c| add(c.bytes())),
                (None, [b'+', ..]) if at == first => {
                    add(b" ");
                    Read::Is(1, ())
                }
                (None, [byte, ..]) if self.is_character(text, at) => {
                    add(&[*byte]);
                    Read::Is(1, ())
                }
                (None, _) => Read::Cut,
            };
            match read {
                Read::Is(length, ()) => at += length,
                Read::Cut => return Some(None),
                Read::Other => return (at > first).then_some(None),
            }
        }
        let [a, b, c, d, ..] = next;
        Some(Some([a, b, c, d]))
    }

    /// Whether a form may have what is before that place, and then these characters. Those that are not known may be
    /// any.
    fn fits(&self, text: &[u8], at: usize, next: Option<[u8; GRAM]>) -> bool {
        let Some(next @ [first, ..]) = next else { return true };
        if self.grams.has(next) {
            return true;
        }
        let before = at.checked_sub(GRAM - 1).and_then(|from| text.get(from..at));
        matches!(before, Some([a, b, c]) if self.grams.has([*a, *b, *c, first]))
    }
}

/// In which spellings an escape with this sign may be meant.
const fn ways(sign: u8) -> &'static [Spelling] {
    match sign {
        b'\\' => &[Spelling::Json],
        b'&' => &[Spelling::Html],
        _ => &[Spelling::Url, Spelling::Twice],
    }
}

/// Whether an escape there is another one than in the spellings that were tried before: without a percent sign that is
/// encoded itself, what is encoded twice reads as if it were once.
fn is_worth_reading(text: &[u8], at: usize, spelling: Spelling) -> bool {
    /// The first characters that are known take so many bytes at most where one is encoded twice.
    const NEAR: usize = 5 * GRAM;
    if spelling != Spelling::Twice {
        return true;
    }
    let rest = text.get(at..).unwrap_or_default();
    rest.get(..NEAR).unwrap_or(rest).windows(3).any(|three| three == b"%25")
}

/// Whether it is a digit of hexadecimal, without branches.
pub(super) fn is_digit(byte: u8) -> bool {
    (byte.wrapping_sub(b'0') < 10) | ((byte | 0x20).wrapping_sub(b'a') < 6)
}
