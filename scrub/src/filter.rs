//! Passes over text in which no form can begin, a few bytes at a time. Every form has eight characters or more. So
//! there are four in a row, of the first eight, at one of the places that are looked at; or there is a gap or an escape
//! among the eight, and then the characters around the first of these tell. Where every form has twelve, half as many
//! places will do. What may be a form is told with some to spare; what is passed over is none for sure.

use zeroize::Zeroizing;

use crate::form::{Spelling, escape};
use crate::gaps::{self, BEFORE_LINE_END, Gaps};
use crate::grams::{GRAM, Grams};
use crate::read::{self, Between, Read};

/// How many bytes are passed over at a time where they are nothing but characters.
const BLOCK: usize = 16;

/// The beginnings of all forms, as far as they are needed to see that none is there.
pub(crate) struct Filter {
    grams: Grams,
    gaps: Gaps,
    /// How far before what is found a form may begin.
    reach: usize,
    /// What is to be done at a byte.
    classes: [Class; 256],
    /// Whether a plus sign may be a space.
    is_plus_a_space: bool,
    /// Whether line ends and the like are among the first characters of a value.
    is_odd: bool,
    /// Which bytes are among those: an escape that stands for another one begins no form, and none goes on with it.
    first: Zeroizing<[bool; 256]>,
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

impl Filter {
    /// Takes the values' bytes, each of eight or more.
    pub(crate) fn new(texts: &[&[u8]], gaps: Gaps) -> Self {
        let grams = Grams::new(texts);
        let before = if gaps == Gaps::Files { BEFORE_LINE_END } else { 0 };
        let mut filter = Self {
            reach: grams.known + before,
            grams,
            gaps,
            classes: [Class::Character; 256],
            is_plus_a_space: false,
            is_odd: false,
            first: Zeroizing::new([false; 256]),
        };
        let known = filter.grams.known;
        for byte in texts.iter().flat_map(|text| text.iter().take(known)) {
            if let Some(slot) = filter.first.get_mut(usize::from(*byte)) {
                *slot = true;
            }
        }
        let begins = |byte: u8| filter.is_first(byte);
        let is_odd = begins(b'\n') || begins(b'\r') || begins(0x1b);
        let is_plus_a_space = begins(b' ');
        (filter.is_odd, filter.is_plus_a_space) = (is_odd, is_plus_a_space);
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
            if let Some(slot) = filter.classes.get_mut(usize::from(byte)) {
                *slot = class;
            }
        }
        filter
    }

    /// The first and the last place of the next part of the text in which a form may begin. If it is all of the text, none
    /// begins at its end.
    pub(crate) fn next(&self, text: &[u8], from: usize, is_all: bool) -> Option<(usize, usize)> {
        // At so many places one after the other a form has four in a row that are known.
        if self.grams.known >= 8 + GRAM {
            self.next_by::<8>(text, from, is_all)
        } else {
            self.next_by::<4>(text, from, is_all)
        }
    }

    /// The same; four in a row are looked at in every so manyth place.
    fn next_by<const STEP: usize>(&self, text: &[u8], from: usize, is_all: bool) -> Option<(usize, usize)> {
        let known = self.grams.known;
        let mut at = from;
        while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
            let mut odd = self.more_than_characters(text, at, block).map(|index| at + index);
            let odd = odd.find(|at| self.may_go_on(text, *at));
            let steps = block.as_chunks::<STEP>().0;
            let gram = steps.iter().enumerate().find_map(|(index, step)| {
                let four = step.first_chunk::<GRAM>()?;
                (self.grams.has(*four) && self.may_begin(text, at + STEP * index))
                    .then_some(at + STEP * index)
            });
            match (odd, gram) {
                (Some(odd), gram) if gram.is_none_or(|gram| odd < gram) => {
                    return Some((from.max(self.earliest(text, odd)), odd));
                }
                (_, Some(gram)) => return Some((from.max(gram.saturating_sub(known - GRAM)), gram)),
                (_, None) => at += BLOCK,
            }
        }
        let rest = text.get(at..).unwrap_or_default();
        for four in rest.as_chunks::<GRAM>().0 {
            if let Some(at) = (at..at + GRAM).find(|at| self.may_go_on(text, *at)) {
                return Some((from.max(self.earliest(text, at)), at));
            }
            if self.grams.has(*four) && self.may_begin(text, at) {
                return Some((from.max(at.saturating_sub(known - GRAM)), at));
            }
            at += GRAM;
        }
        if let Some(at) = (at..text.len()).find(|at| self.may_go_on(text, *at)) {
            return Some((from.max(self.earliest(text, at)), at));
        }
        if is_all {
            return None;
        }
        // What is too short to tell.
        let last = text.len().checked_sub(1).filter(|last| from <= *last)?;
        Some((from.max(text.len().saturating_sub(self.reach)), last))
    }

    /// Where a form may begin that has its first gap or escape there.
    fn earliest(&self, text: &[u8], at: usize) -> usize {
        let is_line_end = matches!(text.get(at), Some(b'\n' | b'\r'));
        let start = if self.gaps == Gaps::Files && is_line_end { gaps::begin_of_join(text, at) } else { at };
        start.saturating_sub(self.grams.known)
    }

    /// Whether four in a row that were found belong to eight in a row, or seven in base64.
    fn may_begin(&self, text: &[u8], at: usize) -> bool {
        let is_one = |at: &usize| {
            text.get(*at..).and_then(|rest| rest.first_chunk()).is_some_and(|four| self.grams.has(*four))
        };
        let after = (at + 1..at + GRAM).take_while(is_one).count();
        let before = (at.saturating_sub(GRAM - 1)..at).rev().take_while(is_one).count();
        before + 1 + after >= GRAM
    }

    /// What in a block may be other than a character as it is: all of it at once, for the speed.
    fn more_than_characters(
        &self,
        text: &[u8],
        at: usize,
        block: &[u8; BLOCK],
    ) -> impl Iterator<Item = usize> + use<> {
        let beside = |at: usize| text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>());
        let mut odd = [1; BLOCK];
        if let (Some(before), Some(after)) = (at.checked_sub(1).and_then(beside), beside(at + 1)) {
            for (((odd, byte), before), after) in odd.iter_mut().zip(block).zip(before).zip(after) {
                let is_escape = (*byte == b'%')
                    | (*byte == b'\\')
                    | (*byte == b'&')
                    | (*byte == b'+') & self.is_plus_a_space;
                let is_gap = |byte: u8| (byte == b'\n') | (byte == b'\r') | (byte == 0x1b);
                // Of a gap the first byte tells.
                let is_gap = is_gap(*byte) & (!is_gap(*before) | self.is_each_looked_at());
                let is_separator = (*byte == b' ') | (*byte == b':');
                let may_be_dump =
                    is_digit(*before) & (is_digit(*after) | (*after <= b' ') | (*after == b':'));
                *odd = u8::from(is_escape | is_gap | is_separator & may_be_dump);
            }
        }
        let mut bits = u128::from_le_bytes(odd);
        std::iter::from_fn(move || {
            let next = bits.trailing_zeros();
            bits &= bits.wrapping_sub(1);
            (next < u128::BITS).then_some(next as usize / 8)
        })
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
    fn may_go_on(&self, text: &[u8], at: usize) -> bool {
        let Some(byte) = text.get(at) else { return false };
        match self.class(*byte) {
            Class::Character => false,
            Class::Separator => self.may_go_on_in_hex(text, at),
            Class::Gap if self.is_odd => true,
            Class::Gap if self.gaps == Gaps::Files && *byte != 0x1b => {
                self.may_go_on_in_next_line(text, at) || self.may_go_on_in_hex(text, at)
            }
            // What goes on a gap is not the first of one, and nothing that is between characters has begun a form.
            Class::Gap
                if !self.is_each_looked_at()
                    && at.checked_sub(1).is_some_and(|at| self.at(text, at) == Class::Gap) =>
            {
                false
            }
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

    /// Whether each byte of a gap is looked at, and not its first alone.
    fn is_each_looked_at(&self) -> bool {
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
fn is_digit(byte: u8) -> bool {
    (byte.wrapping_sub(b'0') < 10) | ((byte | 0x20).wrapping_sub(b'a') < 6)
}
