//! Streams of characters of which some may belong to a form: where each of them is, and the bytes that they encode.

use crate::gaps::Gaps;
use crate::trie::{ROOT, Trie};

/// The characters of a stream that may belong to a form, by where they are.
#[derive(Default)]
pub(crate) struct Symbols {
    at: Vec<usize>,
    /// Where the last one ended.
    pub(crate) after: usize,
}

impl Symbols {
    pub(crate) fn push(&mut self, at: usize) {
        self.at.push(at);
        self.after = at + 1;
    }

    pub(crate) fn clear(&mut self) {
        self.at.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }

    /// Where the last so many begin; `at` if that is none.
    pub(crate) fn last(&self, count: usize, at: usize) -> usize {
        self.at.len().checked_sub(count).and_then(|index| self.at.get(index)).copied().unwrap_or(at)
    }

    pub(crate) fn allow_gap_to(&self, gaps: Gaps, at: usize) -> bool {
        self.at.is_empty() || at - self.after <= gaps.most()
    }
}

/// Digits of so many bits, read as bytes that begin at each of them.
#[derive(Default)]
pub(crate) struct Digits<const BITS: usize> {
    pub(crate) symbols: Symbols,
    /// What the bytes lead to that begin at every so manyth digit.
    nodes: [u32; 4],
    last: u8,
}

impl<const BITS: usize> Digits<BITS> {
    /// After so many digits a byte begins with one again.
    const WAYS: usize = if BITS == 4 { 2 } else { 4 };

    pub(crate) fn is_empty(&self) -> bool {
        self.symbols.len() == 0
    }

    pub(crate) fn clear(&mut self) {
        self.symbols.clear();
        self.nodes = [ROOT; 4];
    }

    /// How many bits of the next byte are known when bytes begin at this digit.
    fn known(&self, way: usize) -> usize {
        let since = (self.symbols.len() + 2 * Self::WAYS - 1 - way) % Self::WAYS;
        BITS * (since + 1) % 8
    }

    /// Where the last so many bytes begin.
    fn begin(&self, way: usize, depth: usize, at: usize) -> usize {
        let digit = (BITS * self.symbols.len() - self.known(way) - 8 * depth) / BITS;
        self.symbols.at.get(digit).copied().unwrap_or(at)
    }

    /// No form that is under way begins before this.
    pub(crate) fn earliest(&self, trie: &Trie, at: usize) -> usize {
        if self.is_empty() {
            return at;
        }
        let ways = self.nodes.iter().take(Self::WAYS).enumerate();
        ways.map(|(way, node)| self.begin(way, trie.depth(*node), at)).min().unwrap_or(at)
    }

    /// Tells where forms begin that are under way at the end.
    pub(crate) fn alive(&self, trie: &Trie, at: usize, mut begun: impl FnMut(usize)) {
        if self.is_empty() {
            return;
        }
        for (way, node) in self.nodes.iter().take(Self::WAYS).enumerate() {
            let known = self.known(way);
            let bits = self.last & ((1 << known) - 1);
            if let Some(depth) = trie.alive(*node, known, bits) {
                begun(self.begin(way, depth, at));
            }
        }
    }

    /// Takes the next digit, and tells where values begin that it completes, and which.
    pub(crate) fn push(&mut self, trie: &Trie, digit: u8, at: usize, mut found: impl FnMut(usize, usize)) {
        let both = u16::from(self.last) << BITS | u16::from(digit);
        self.last = digit;
        self.symbols.push(at);
        if self.symbols.len() == 1 {
            return;
        }
        for way in 0..Self::WAYS {
            let known = self.known(way);
            if known == BITS {
                continue;
            }
            let [_, byte] = (both >> known).to_be_bytes();
            let Some(node) = self.nodes.get_mut(way) else { continue };
            *node = trie.step(*node, byte);
            for (length, value) in trie.ends(*node) {
                found(self.begin(way, length, at), value);
            }
        }
    }
}
