//! All texts that are looked for, in one automaton (Aho and Corasick, 1975): what a byte costs does not depend on how
//! many texts there are, nor on how often they nearly occur. It is our own because it is a copy of the texts, which
//! must be wiped, and because it is asked where the earliest text that may still come began.

use std::ops::Range;

use zeroize::Zeroizing;

/// Beginnings of texts, each a node, numbered by their length: the children of a node follow each other.
pub(crate) struct Trie {
    nodes: Vec<Node>,
    /// The last byte of each node's beginning.
    labels: Zeroizing<Vec<u8>>,
    /// The root's children; 0 where it has none.
    root: Box<[u32; 256]>,
}

/// Where no text has begun.
pub(crate) const ROOT: u32 = 0;

#[derive(Default, Clone, Copy)]
struct Node {
    /// The node's first child; the next node's is where its children end.
    first: u32,
    /// The longest other beginning that this one ends with.
    fail: u32,
    depth: u32,
    /// The texts that begin so.
    low: u32,
    high: u32,
    /// The nearest node on the way of `fail`, this one included, where a text ends; the root if none.
    ends: u32,
    /// Which of [`ODD`] can follow here, or on the way of `fail`.
    odd: u8,
}

/// Bytes that can be part of a text, though otherwise they stand between two of its characters.
const ODD: [u8; 3] = [b'\n', b'\r', 0x1b];

impl Trie {
    /// Takes the texts sorted, none twice and none empty.
    pub(crate) fn new(texts: &[&[u8]]) -> Self {
        let size = texts.iter().map(|text| text.len()).sum::<usize>() + 1;
        let mut trie = Self {
            nodes: Vec::new(),
            // Never moved: what is left behind would not be wiped.
            labels: Zeroizing::new(Vec::with_capacity(size)),
            root: Box::new([ROOT; 256]),
        };
        trie.labels.push(0);
        trie.nodes.push(Node { high: number(texts.len()), ..Node::default() });
        let mut at = 0;
        while (at as usize) < trie.nodes.len() {
            trie.add_children(at, texts);
            at += 1;
        }
        let end = number(trie.nodes.len());
        trie.nodes.push(Node { first: end, ..Node::default() });
        trie
    }

    fn add_children(&mut self, parent: u32, texts: &[&[u8]]) {
        let Node { depth, low, high, fail, .. } = self.node(parent);
        if let Some(node) = self.nodes.get_mut(parent as usize) {
            node.first = number(self.labels.len());
        }
        let mut odd = if parent == ROOT { 0 } else { self.node(fail).odd };
        let byte_of = |text: u32| texts.get(text as usize).and_then(|text| text.get(depth as usize)).copied();
        let mut from = low;
        while from < high {
            let Some(label) = byte_of(from) else {
                from += 1;
                continue;
            };
            let to = (from + 1..high).find(|text| byte_of(*text) != Some(label)).unwrap_or(high);
            let child = number(self.labels.len());
            let fail = if parent == ROOT { ROOT } else { self.step(fail, label) };
            let is_end = texts.get(from as usize).is_some_and(|text| text.len() == depth as usize + 1);
            let ends = if is_end { child } else { self.node(fail).ends };
            self.labels.push(label);
            self.nodes.push(Node { fail, depth: depth + 1, low: from, high: to, ends, ..Node::default() });
            if parent == ROOT
                && let Some(slot) = self.root.get_mut(usize::from(label))
            {
                *slot = child;
            }
            odd |= odd_bit(label);
            from = to;
        }
        if let Some(node) = self.nodes.get_mut(parent as usize) {
            node.odd = odd;
        }
    }

    fn node(&self, node: u32) -> Node {
        self.nodes.get(node as usize).copied().unwrap_or_default()
    }

    /// The beginning that is longer by this byte.
    pub(crate) fn child(&self, node: u32, byte: u8) -> Option<u32> {
        if node == ROOT {
            return self.root.get(usize::from(byte)).copied().filter(|child| *child != ROOT);
        }
        let children = self.children(node);
        let labels = self.labels.get(children.start as usize..children.end as usize)?;
        if let [only] = labels {
            return (*only == byte).then_some(children.start);
        }
        labels.binary_search(&byte).ok().map(|at| children.start + number(at))
    }

    fn children(&self, node: u32) -> Range<u32> {
        let end = self.nodes.get(node as usize + 1).map_or(0, |next| next.first);
        self.node(node).first..end
    }

    /// The longest beginning that ends with this byte.
    pub(crate) fn step(&self, mut node: u32, byte: u8) -> u32 {
        loop {
            if let Some(child) = self.child(node, byte) {
                return child;
            }
            if node == ROOT {
                return ROOT;
            }
            node = self.node(node).fail;
        }
    }

    /// Whether the beginning ends with a space.
    pub(crate) fn ends_with_space(&self, node: u32) -> bool {
        node != ROOT && self.labels.get(node as usize) == Some(&b' ')
    }

    /// How many bytes the beginning has.
    pub(crate) fn depth(&self, node: u32) -> usize {
        self.node(node).depth as usize
    }

    /// The texts that begin so, by their places.
    pub(crate) fn texts(&self, node: u32) -> Range<usize> {
        let Node { low, high, .. } = self.node(node);
        low as usize..high as usize
    }

    /// The lengths and places of the texts that end here, the longest first.
    pub(crate) fn ends(&self, node: u32) -> impl Iterator<Item = (usize, usize)> {
        let mut at = self.node(node).ends;
        std::iter::from_fn(move || {
            let node = self.node(at);
            at = self.node(node.fail).ends;
            (node.depth > 0).then_some((node.depth as usize, node.low as usize))
        })
    }

    /// The beginnings that end here, the longest first, the root last.
    pub(crate) fn chain(&self, node: u32) -> impl Iterator<Item = u32> {
        let mut next = Some(node);
        std::iter::from_fn(move || {
            let node = next?;
            next = (node != ROOT).then(|| self.node(node).fail);
            Some(node)
        })
    }

    /// Whether such a byte, of those that stand between characters, can follow on one of the chain.
    pub(crate) fn can_go_on_with(&self, node: u32, odd: u8) -> bool {
        self.node(node).odd & odd_bit(odd) != 0
    }

    /// The length of the longest beginning of the chain that can go on with a byte of which so many first bits are
    /// known. Nothing has begun at the root while none is.
    pub(crate) fn alive(&self, node: u32, known: usize, bits: u8) -> Option<usize> {
        let is_like = |label: &u8| known == 0 || label >> (8 - known) == bits;
        let goes_on = |node: &u32| {
            let Range { start, end } = self.children(*node);
            (*node != ROOT || known > 0)
                && self
                    .labels
                    .get(start as usize..end as usize)
                    .is_some_and(|labels| labels.iter().any(is_like))
        };
        self.chain(node).find(goes_on).map(|node| self.depth(node))
    }
}

fn odd_bit(byte: u8) -> u8 {
    ODD.iter().position(|odd| *odd == byte).map_or(0, |bit| 1 << bit)
}

/// Places and lengths fit: all texts together have fewer than 2^32 bytes, which is more than a vault can hold.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
