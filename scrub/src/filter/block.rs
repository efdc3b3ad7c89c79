//! What the bytes of a block are, of those that are more than a character as it is: a bit for each byte, all of them at once.

use wide::u8x16;

/// How many bytes are looked at together.
pub(super) const BLOCK: usize = 64;

const LANES: usize = 16;

/// A bit for each byte of a block, the lowest for the first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    /// Signs that begin an escape.
    escapes: u64,
    line_ends: u64,
    /// What begins a control sequence.
    controls: u64,
    /// Separators of hexadecimal digits.
    separators: u64,
    /// Hexadecimal digits.
    digits: u64,
}

impl Marks {
    /// Looks at a block. A plus sign may be an escape, too.
    pub(super) fn of(block: &[u8; BLOCK], is_plus_a_space: bool) -> Self {
        let mut marks = Self::default();
        for (index, sixteen) in block.as_chunks::<LANES>().0.iter().enumerate() {
            let bytes = u8x16::from(*sixteen);
            let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
            let is_below = |bytes: u8x16, end: u8| bytes.simd_eq(bytes.min(u8x16::splat(end - 1)));
            let plus = if is_plus_a_space { is(b'+') } else { u8x16::splat(0) };
            let figure = is_below(bytes - u8x16::splat(b'0'), 10);
            let letter = is_below((bytes | u8x16::splat(0x20)) - u8x16::splat(b'a'), 6);
            let bits = |lanes: u8x16| u64::from(lanes.to_bitmask()) << (LANES * index);
            marks.escapes |= bits(is(b'%') | is(b'\\') | is(b'&') | plus);
            marks.line_ends |= bits(is(b'\n') | is(b'\r'));
            marks.controls |= bits(is(0x1b));
            marks.separators |= bits(is(b' ') | is(b':'));
            marks.digits |= bits(figure | letter);
        }
        marks
    }

    /// What may be a gap or an escape in a form: a bit for each. `before` is the byte before the block, and the text ends
    /// behind `length` bytes of it.
    pub(super) fn odd(self, before: u8, length: usize, is_each_looked_at: bool) -> u64 {
        let behind = u64::MAX.checked_shl(u32::try_from(length).unwrap_or(u32::MAX)).unwrap_or_default();
        let gaps = self.line_ends | self.controls;
        let is_gap_before = matches!(before, b'\n' | b'\r' | 0x1b);
        // Of a gap the first byte tells.
        let first = if is_each_looked_at { gaps } else { gaps & !(gaps << 1 | u64::from(is_gap_before)) };
        // Digits may be apart by a row of separators that has digits on both sides. Its first bit is added to it, so that a
        // bit is set behind its end.
        let begin = self.separators & (self.digits << 1 | u64::from(super::is_digit(before)));
        let between = self.separators | self.line_ends;
        let (sum, is_cut) = between.overflowing_add(begin);
        let is_dump = is_cut || sum & !between & (self.digits | self.controls | behind) != 0;
        self.escapes | first | if is_dump { begin } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the marks of a byte say, read one byte after the other.
    fn is_odd(text: &[u8], at: usize, is_plus_a_space: bool, is_each_looked_at: bool) -> bool {
        let before = at.checked_sub(1).map_or(0, |at| text[at]);
        match text[at] {
            b'%' | b'\\' | b'&' => true,
            b'+' => is_plus_a_space,
            b'\n' | b'\r' | 0x1b => is_each_looked_at || !matches!(before, b'\n' | b'\r' | 0x1b),
            b' ' | b':' => {
                let end = text[at..].iter().find(|byte| !matches!(byte, b' ' | b':' | b'\n' | b'\r'));
                before.is_ascii_hexdigit() && end.is_none_or(|end| end.is_ascii_hexdigit() || *end == 0x1b)
            }
            _ => false,
        }
    }

    #[test]
    fn a_row_that_the_block_cuts_may_go_on() {
        let block: [u8; BLOCK] =
            std::array::from_fn(|at| [b'x', b'a', b':', b' '][at.saturating_sub(BLOCK - 4)]);
        assert_eq!(Marks::of(&block, false).odd(0, BLOCK, false), 1 << (BLOCK - 2));
    }

    proptest! {
        /// A bit too many costs time, one too few lets a value pass.
        #[test]
        fn no_gap_and_no_escape_is_left_out(
            text in "[ab7Z% :&+\\\\\n\r\x1b\x00]{1,64}",
            before in 0_usize..8,
            is_plus_a_space: bool,
            is_each_looked_at: bool,
        ) {
            let text = text.as_bytes();
            let before = before.min(text.len() - 1);
            let rest = &text[before..];
            let marks = Marks::of(&super::super::filled_up(rest), is_plus_a_space);
            let last = before.checked_sub(1).map_or(0, |at| text[at]);
            let odd = marks.odd(last, rest.len(), is_each_looked_at);
            let separators = |at: &usize| matches!(rest[*at], b' ' | b':');
            for at in (0..rest.len()).filter(|at| odd >> at & 1 == 0) {
                prop_assert!(!is_odd(text, before + at, is_plus_a_space, is_each_looked_at));
            }
            for at in (0..rest.len()).filter(|at| odd >> at & 1 == 1 && !separators(at)) {
                prop_assert!(is_odd(text, before + at, is_plus_a_space, is_each_looked_at));
            }
        }
    }
}
