//! YAML as a tree, from the events of a parser, so that nothing is expanded that is not counted. Words that readers of
//! YAML 1.1 and 1.2 take for different things are not taken.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use zeroize::Zeroizing;

use super::json::NUMBER;
use super::tree::{DEEPEST, NULL, Node};
use crate::found::MOST;

/// Why a document is not read: the line, and what is wrong there.
pub(crate) struct Bad {
    pub(crate) line: usize,
    pub(crate) reason: &'static str,
}

/// Reads one YAML document.
pub(crate) fn read(text: &str) -> Result<Node, Bad> {
    let mut building = Building::default();
    for event in Parser::new_from_str(text) {
        // The parser's words may quote what it read.
        let (event, span) =
            event.map_err(|error| Bad { line: error.marker().line(), reason: "not valid YAML" })?;
        building.take(event).map_err(|reason| Bad { line: span.start.line(), reason })?;
    }
    building.root.ok_or(Bad { line: 1, reason: "there is nothing in it" })
}

const MANY: &str = "too many values, or the same again and again by aliases; import the file in parts";
const WORD: &str = "a word that YAML readers take for different things; put it in quotes";

/// A map or a list that is not complete.
struct Open {
    anchor: usize,
    /// The name whose value comes next; none in a list, and where a name comes next.
    name: Option<String>,
    node: Node,
}

#[derive(Default)]
struct Building {
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    count: usize,
}

impl Building {
    fn take(&mut self, event: Event<'_>) -> Result<(), &'static str> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                if self.root.is_some() {
                    Err("a second document; import one at a time")
                } else {
                    Ok(())
                }
            }
            Event::Alias(anchor) => {
                let (node, size) =
                    self.anchors.get(&anchor).ok_or("an alias of something that it is a part of")?;
                // Before it is copied.
                let size = *size;
                if self.count + size > MOST {
                    return Err(MANY);
                }
                let (node, depth) = (node.clone(), depth(node));
                if self.open.len() + depth > DEEPEST {
                    return Err("deeper than 64 levels");
                }
                self.put(node, 0, size)
            }
            Event::Scalar(text, style, anchor, tag) => {
                if self.wants_name() {
                    return self.name(&text, style);
                }
                let node = scalar(&text, style, tag.as_deref())?;
                self.put(node, anchor, 1)
            }
            Event::SequenceStart(anchor, tag) => self.begin(Node::List(Vec::new()), anchor, tag),
            Event::MappingStart(anchor, tag) => self.begin(Node::Map(Vec::new()), anchor, tag),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, node, .. }) = self.open.pop() else { return Ok(()) };
                self.put(node, anchor, 1)
            }
        }
    }

    fn begin(&mut self, node: Node, anchor: usize, tag: Option<Cow<'_, Tag>>) -> Result<(), &'static str> {
        if self.open.len() == DEEPEST {
            return Err("deeper than 64 levels");
        }
        if self.wants_name() {
            return Err("a name that is a map or a list");
        }
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            return Err("a tag that only its own program knows");
        }
        self.open.push(Open { anchor, name: None, node });
        Ok(())
    }

    fn wants_name(&self) -> bool {
        self.open.last().is_some_and(|open| open.name.is_none() && matches!(open.node, Node::Map(_)))
    }

    fn name(&mut self, text: &str, style: ScalarStyle) -> Result<(), &'static str> {
        if text == "<<" && style == ScalarStyle::Plain {
            return Err("a merge key; write the names and values themselves");
        }
        if let Some(open) = self.open.last_mut() {
            open.name = Some(text.to_owned());
        }
        Ok(())
    }

    /// Puts a complete node where it belongs, which adds so many to what was counted.
    fn put(&mut self, node: Node, anchor: usize, grown: usize) -> Result<(), &'static str> {
        if self.wants_name() {
            return Err("an alias in the place of a name");
        }
        self.count += grown;
        if self.count > MOST {
            return Err(MANY);
        }
        if anchor != 0 {
            let size = size(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => match (&mut open.node, open.name.take()) {
                (Node::Map(members), Some(name)) => members.push((name, node)),
                (Node::List(nodes), _) => nodes.push(node),
                _ => {}
            },
        }
        Ok(())
    }
}

/// How many nodes there are.
fn size(node: &Node) -> usize {
    1 + match node {
        Node::Map(members) => members.iter().map(|(_, node)| size(node)).sum(),
        Node::List(nodes) => nodes.iter().map(size).sum(),
        Node::Text(_) | Node::Other(_) => 0,
    }
}

fn depth(node: &Node) -> usize {
    match node {
        Node::Map(members) => 1 + members.iter().map(|(_, node)| depth(node)).max().unwrap_or(0),
        Node::List(nodes) => 1 + nodes.iter().map(depth).max().unwrap_or(0),
        Node::Text(_) | Node::Other(_) => 0,
    }
}

/// What a scalar stands for (YAML 1.2, 10.3, beside YAML 1.1's types).
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Node, &'static str> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => {
            return Ok(Node::Text(Zeroizing::new(text.to_owned())));
        }
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "binary" => {
            return Ok(Node::Other("binary; encode it otherwise"));
        }
        Some(tag) if tag.suffix == "vault" => {
            return Ok(Node::Other("encrypted by ansible-vault; decrypt it first"));
        }
        // The mark that says that it is what it looks like: a text.
        Some(tag) if !tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "" | "!") => {
            return Ok(Node::Text(Zeroizing::new(text.to_owned())));
        }
        Some(tag) if !tag.is_yaml_core_schema() => return Err("a tag that only its own program knows"),
        _ => {}
    }
    if style != ScalarStyle::Plain {
        return Ok(Node::Text(Zeroizing::new(text.to_owned())));
    }
    Ok(match kind(text) {
        Kind::Text => Node::Text(Zeroizing::new(text.to_owned())),
        Kind::Null => Node::Other(NULL),
        Kind::Word => Node::Other(WORD),
        Kind::Number => Node::Other(NUMBER),
    })
}

enum Kind {
    Text,
    Null,
    Word,
    Number,
}

fn kind(text: &str) -> Kind {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Kind::Null;
    }
    if matches!(text, "true" | "false") {
        return Kind::Text;
    }
    let low = text.to_ascii_lowercase();
    if matches!(low.as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n") {
        return Kind::Word;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = text.strip_prefix('-').unwrap_or(text);
    if digits(whole) && (whole == "0" || !whole.starts_with('0')) {
        return Kind::Text;
    }
    if is_number(&low) { Kind::Number } else { Kind::Text }
}

/// Whether some reader takes this for a number: with a fraction or an exponent, in another base, with `_` or, to the base
/// of 60, with `:` between digits.
fn is_number(low: &str) -> bool {
    let body = low.strip_prefix(['-', '+']).unwrap_or(low);
    if matches!(body, ".inf" | ".nan") {
        return true;
    }
    for (prefix, digits) in [("0x", "0123456789abcdef_"), ("0o", "01234567_"), ("0b", "01_")] {
        if let Some(rest) = body.strip_prefix(prefix) {
            return !rest.is_empty() && rest.chars().all(|c| digits.contains(c));
        }
    }
    let (mantissa, exponent) =
        body.split_once('e').map_or((body, None), |(before, after)| (before, Some(after)));
    let is_exponent = exponent.is_none_or(|text| {
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    is_exponent
        && mantissa.contains(|c: char| c.is_ascii_digit())
        && mantissa.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && mantissa.matches('.').count() <= 1
        && mantissa.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '_' | ':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_that_readers_differ_on_are_known() {
        for text in
            ["0", "-7", "42", "abc", "1.2.3", "2026-01-01", "12e", "true", "a:b", "sk-1", "1e5x", "0xzz"]
        {
            assert!(matches!(kind(text), Kind::Text), "{text}");
        }
        for text in
            ["007", "1_000", "1.5", "1e5", "0x1F", "0o17", "12:30", "+1", ".inf", "-.5", "1.", "123e4567"]
        {
            assert!(matches!(kind(text), Kind::Number), "{text}");
        }
        for text in ["yes", "No", "ON", "True", "n"] {
            assert!(matches!(kind(text), Kind::Word), "{text}");
        }
    }

    #[test]
    fn what_would_grow_is_refused_before_it_does() {
        let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, before) in
            ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
        {
            bomb.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(",")));
        }
        assert_eq!(read(&bomb).err().unwrap().reason, MANY);
        assert!(read("a: &a [*a]\n").is_err());
        let deep = format!("{}x{}", "[".repeat(200), "]".repeat(200));
        assert!(read(&deep).is_err());
        let deep: String = (0..100).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
        assert!(read(&format!("{deep}{}a: x\n", " ".repeat(100))).is_err());
    }
}
