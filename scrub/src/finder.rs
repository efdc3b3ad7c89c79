//! Finds the forms of all values in a text at once. Text that is as it is, base64 and hexadecimal are decoded on the
//! way and led through one automaton, at each alignment; so the cost is the text's, whatever the values. What depends
//! on where a form began (escapes, line ends that belong to a value, control sequences that hide a beginning) is
//! followed for each beginning that is under way there; that is seldom any, and what is left of it is compared by the
//! few forms that it can be.

use std::mem;

use crate::digits::{Digits, Symbols};
use crate::form::{AS_TEXT, Begin, Form, Spelling, escape};
use crate::forms::Forms;
use crate::gaps::{self, Gaps};
use crate::read::{Between, Read, base64_digit, hex_digit};
use crate::task::{By, Hit, Task, Walk};
use crate::trie::{ROOT, Trie};

/// What is compared one by one.
const FEW: usize = 4;

/// Looks through one text after the other.
pub(crate) struct Finder<'a> {
    trie: &'a Trie,
    forms: &'a [Form],
    gaps: Gaps,
    /// What was found, in no order.
    pub(crate) found: Vec<Hit>,
    /// Where the earliest beginning is that more text is needed for.
    pub(crate) undecided: Option<usize>,
    walks: Vec<Walk>,
    #[cfg(test)]
    looked: usize,
    room: (Symbols, Digits<4>, Digits<6>),
}

/// What is kept from one text to the next, so that room is made once.
#[derive(Default)]
pub(crate) struct Kept {
    found: Vec<Hit>,
    walks: Vec<Walk>,
    room: (Symbols, Digits<4>, Digits<6>),
    /// How many bytes were looked at in all.
    #[cfg(test)]
    pub(crate) looked: usize,
}

impl<'a> Finder<'a> {
    /// Looks for these, in the room that was kept.
    pub(crate) fn new(forms: &'a Forms, kept: Kept) -> Self {
        Self {
            trie: &forms.trie,
            forms: &forms.forms,
            gaps: forms.gaps,
            found: kept.found,
            undecided: None,
            walks: kept.walks,
            #[cfg(test)]
            looked: kept.looked,
            room: kept.room,
        }
    }

    /// What is kept for the next text.
    pub(crate) fn keep(self) -> Kept {
        Kept {
            found: self.found,
            walks: self.walks,
            room: self.room,
            #[cfg(test)]
            looked: self.looked,
        }
    }

    /// Finds the forms that begin in this part of the text, which may end after it. Gives how far it had to look.
    pub(crate) fn find(&mut self, text: &[u8], from: usize, until: usize, is_all: bool) -> usize {
        self.found.clear();
        self.undecided = None;
        let task = Task { text, is_all, from, until };
        let (mut symbols, mut hex, mut base64) = mem::take(&mut self.room);
        let as_text = self.text(task, &mut symbols);
        let as_hex = self.digits(task, Between::HexDigits, hex_digit, &mut hex);
        let as_base64 = self.digits(task, Between::Characters, base64_digit, &mut base64);
        self.room = (symbols, hex, base64);
        let far = as_text.max(as_hex).max(as_base64);
        #[cfg(test)]
        {
            self.looked += far - from;
        }
        far
    }

    fn hit(&mut self, task: Task<'_>, start: usize, end: usize, by: By, form: usize) {
        if start <= task.until {
            self.found.push(Hit { start, end, by, form });
        }
    }

    fn wait(&mut self, task: Task<'_>, start: usize) {
        if start <= task.until && !task.is_all {
            self.undecided = Some(self.undecided.map_or(start, |other| other.min(start)));
        }
    }

    /// What is as it is, and what leads on to escapes. Gives how far it had to look.
    fn text(&mut self, task: Task<'_>, symbols: &mut Symbols) -> usize {
        symbols.clear();
        let trie = self.trie;
        let (mut node, mut at) = (ROOT, task.from);
        while at <= task.until || symbols.last(trie.depth(node), at) <= task.until {
            let Some(byte) = task.text.get(at).copied() else {
                if let Some(depth) = trie.alive(node, 0, 0) {
                    self.wait(task, symbols.last(depth, at));
                }
                return at;
            };
            match byte {
                b'\n' | b'\r' | 0x1b => {
                    if trie.can_go_on_with(node, byte) {
                        self.lead_on(task, &AS_TEXT, node, symbols, at, 1, &[byte]);
                    }
                    if !trie.ends_with_space(node)
                        && let Some(length) = self.gaps.fold(task.rest(at))
                    {
                        self.lead_on(task, &[Spelling::Plain], node, symbols, at, length, b" ");
                    }
                    let length = match self.gaps.read(Between::Characters, task.rest(at)) {
                        Read::Is(length, ()) => length,
                        read @ (Read::Cut | Read::Other) => {
                            if let (Read::Cut, Some(depth)) = (read, trie.alive(node, 0, 0)) {
                                self.wait(task, symbols.last(depth, at));
                            }
                            (node, at) = (ROOT, at + 1);
                            symbols.clear();
                            continue;
                        }
                    };
                    if let Some(inside) = task.inside(at, length) {
                        self.text(inside, &mut Symbols::default());
                    }
                    at += length;
                    if !symbols.allow_gap_to(self.gaps, at) {
                        node = ROOT;
                        symbols.clear();
                    }
                    continue;
                }
                b' ' => {
                    self.through_join(task, node, symbols, at);
                    self.gap_or_space(task, node, symbols, at);
                }
                b'\t' => self.through_join(task, node, symbols, at),
                quote if gaps::is_quote(quote) => self.through_join(task, node, symbols, at),
                b'+' => self.lead_on(task, &[Spelling::Url, Spelling::Twice], node, symbols, at, 1, b" "),
                b'%' | b'&' => self.escaped(task, node, symbols, at),
                b'\\' => {
                    self.through_join(task, node, symbols, at);
                    self.escaped(task, node, symbols, at);
                }
                _ => {}
            }
            node = trie.step(node, byte);
            symbols.push(at);
            at += 1;
            for (length, value) in trie.ends(node) {
                let start = symbols.last(length, at);
                let form = Form::place(value, Spelling::Plain);
                if at - start > length && self.forms.get(form).is_some_and(Form::is_figures) {
                    self.compare(task, form, start);
                } else {
                    self.hit(task, start, at, By::Text, form);
                }
            }
            if node == ROOT {
                symbols.clear();
            }
        }
        at
    }

    /// Follows what goes on with this escape, in each way in which it may be one.
    fn escaped(&mut self, task: Task<'_>, node: u32, symbols: &Symbols, at: usize) {
        for spelling in AS_TEXT {
            let Some(read) = escape(spelling, task.rest(at)) else { continue };
            match read {
                Read::Is(length, c) => {
                    self.lead_on(task, &[spelling], node, symbols, at, length, c.bytes());
                    if (spelling, c.bytes()) == (Spelling::Twice, b"+") {
                        self.lead_on(task, &[spelling], node, symbols, at, length, b" ");
                    }
                }
                Read::Cut => self.wait(task, symbols.last(self.trie.depth(node), at)),
                Read::Other => {}
            }
        }
    }

    /// Follows each beginning through a join that begins with what may also be a character.
    fn through_join(&mut self, task: Task<'_>, node: u32, symbols: &Symbols, at: usize) {
        if node == ROOT || self.gaps != Gaps::Files {
            return;
        }
        match gaps::join(task.rest(at)) {
            Read::Is(length, ()) if symbols.allow_gap_to(self.gaps, at + length) => {
                self.walk_on(task, node, symbols, at, at + length);
            }
            Read::Cut => self.wait(task, symbols.last(self.trie.depth(node), at)),
            Read::Is(..) | Read::Other => {}
        }
    }

    /// A space is a character, but what wraps a line in front of a carriage return.
    fn gap_or_space(&mut self, task: Task<'_>, node: u32, symbols: &Symbols, at: usize) {
        if node == ROOT || !symbols.allow_gap_to(self.gaps, at + 2) {
            return;
        }
        match task.rest(at) {
            [_, b'\r', ..] => {}
            [_] => return self.wait(task, symbols.last(self.trie.depth(node), at)),
            _ => return,
        }
        self.walk_on(task, node, symbols, at, at + 2);
    }

    /// Follows each beginning that ends here, in all ways of writing text, behind a gap.
    fn walk_on(&mut self, task: Task<'_>, node: u32, symbols: &Symbols, at: usize, behind: usize) {
        for node in self.trie.chain(node).filter(|node| *node != ROOT) {
            let start = symbols.last(self.trie.depth(node), at);
            for spelling in AS_TEXT {
                self.walk(task, Walk { spelling, start, node, at: behind, after: symbols.after });
            }
        }
    }

    /// Follows each beginning that can go on with these bytes, spelled in so many.
    #[expect(clippy::too_many_arguments, reason = "what is read, where and how")]
    fn lead_on(
        &mut self,
        task: Task<'_>,
        spellings: &[Spelling],
        node: u32,
        symbols: &Symbols,
        at: usize,
        length: usize,
        bytes: &[u8],
    ) {
        let trie = self.trie;
        for node in trie.chain(node) {
            let start = symbols.last(trie.depth(node), at);
            let to = bytes.iter().try_fold(node, |node, byte| trie.child(node, *byte));
            let Some(node) = to.filter(|_| start <= task.until) else { continue };
            for spelling in spellings {
                let at = at + length;
                self.walk(task, Walk { spelling: *spelling, start, node, at, after: at });
            }
        }
    }

    /// Follows one beginning until few forms are left, and compares these.
    fn walk(&mut self, task: Task<'_>, walk: Walk) {
        self.walks.push(walk);
        while let Some(walk) = self.walks.pop() {
            let (trie, spelling) = (self.trie, walk.spelling);
            let values = trie.texts(walk.node);
            if values.len() <= FEW {
                values.for_each(|value| self.compare(task, Form::place(value, spelling), walk.start));
                continue;
            }
            if let Some((length, value)) = trie.ends(walk.node).next()
                && length == trie.depth(walk.node)
            {
                self.compare(task, Form::place(value, spelling), walk.start);
            }
            let rest = task.rest(walk.at);
            let Some(first) = rest.first().copied() else {
                self.wait(task, walk.start);
                continue;
            };
            let mut go_on = |length: usize, bytes: &[u8]| {
                let to = bytes.iter().try_fold(walk.node, |node, byte| trie.child(node, *byte));
                let at = walk.at + length;
                self.walks.extend(to.map(|node| Walk { node, at, after: at, ..walk }));
            };
            let read = escape(spelling, rest);
            let is_cut = match read {
                Some(Read::Is(length, c)) => {
                    go_on(length, c.bytes());
                    if (spelling, c.bytes()) == (Spelling::Twice, b"+") {
                        go_on(length, b" ");
                    }
                    false
                }
                Some(read @ (Read::Cut | Read::Other)) => read == Read::Cut,
                None => false,
            };
            // Only an ampersand may be an escape and stand for itself.
            if read.is_none() || first == b'&' {
                go_on(1, &[first]);
                if first == b'+' && matches!(spelling, Spelling::Url | Spelling::Twice) {
                    go_on(1, b" ");
                }
            }
            let is_text = matches!(spelling, Spelling::Plain | Spelling::Json);
            let may_fold = is_text && !trie.ends_with_space(walk.node);
            if let Some(length) = self.gaps.fold(rest).filter(|_| may_fold) {
                let to = trie.child(walk.node, b' ');
                let at = walk.at + length;
                self.walks.extend(to.map(|node| Walk { node, at, after: at, ..walk }));
            }
            // One join after another is no join: what leads on from each of many would take without end.
            let gaps = if walk.at == walk.after { self.gaps } else { Gaps::Screen };
            match gaps.read(Between::Characters, rest) {
                Read::Is(length, ()) if walk.at + length - walk.after <= self.gaps.most() => {
                    self.walks.push(Walk { at: walk.at + length, ..walk });
                }
                Read::Cut => self.wait(task, walk.start),
                Read::Is(..) | Read::Other if is_cut => self.wait(task, walk.start),
                Read::Is(..) | Read::Other => {}
            }
        }
    }

    fn compare(&mut self, task: Task<'_>, form: usize, start: usize) {
        let found = self.forms.get(form).map(|form| form.find(task.rest(start), |_, _| {}));
        match found {
            Some(Begin::To(length)) => self.hit(task, start, start + length, By::Form, form),
            Some(Begin::Perhaps) => self.wait(task, start),
            Some(Begin::No) | None => {}
        }
    }

    /// What is written in digits of so many bits. Gives how far it had to look.
    fn digits<const BITS: usize>(
        &mut self,
        task: Task<'_>,
        between: Between,
        digit: fn(u8) -> Option<u8>,
        stream: &mut Digits<BITS>,
    ) -> usize {
        let trie = self.trie;
        let spelling = if BITS == 4 { Spelling::Hex } else { Spelling::Base64(0) };
        stream.clear();
        let mut at = task.from;
        while at <= task.until || stream.earliest(trie, at) <= task.until {
            let Some(byte) = task.text.get(at).copied() else {
                stream.alive(trie, at, |start| self.wait(task, start));
                return at;
            };
            if let Some(digit) = digit(byte) {
                stream.push(trie, digit, at, |start, value| {
                    self.hit(task, start, at + 1, By::Digits(between), Form::place(value, spelling));
                });
                at += 1;
                continue;
            }
            if stream.is_empty() {
                at += 1;
                continue;
            }
            let gap = self.gaps.read(between, task.rest(at));
            if let Read::Is(length, ()) = gap
                && stream.symbols.allow_gap_to(self.gaps, at + length)
            {
                if let Some(inside) = task.inside(at, length) {
                    self.digits(inside, between, digit, &mut Digits::<BITS>::default());
                }
                at += length;
                continue;
            }
            if gap == Read::Cut {
                stream.alive(trie, at, |start| self.wait(task, start));
            }
            stream.clear();
            at += 1;
        }
        at
    }
}
