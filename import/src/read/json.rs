//! JSON as a tree. Numbers are taken if they are whole: of others readers make different texts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use super::tree::{NULL, Node};
use crate::found::MOST;

/// Reads one JSON document, or gives the line at which it is none. serde's own words quote what they stumble over, so
/// that only the place is taken from them; it refuses what is deeper than 128.
pub(crate) fn read(text: &str) -> Result<Node, usize> {
    serde_json::from_str::<Node>(text).map_err(|error| error.line().max(1))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(text)))
    }

    fn visit_bool<E>(self, is: bool) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(is.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(number.to_string())))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other(NUMBER))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other(NULL))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
            bounded(nodes.len())?;
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
            bounded(members.len())?;
        }
        Ok(Node::Map(members))
    }
}

/// Why a number is not taken.
pub(crate) const NUMBER: &str = "a number that programs write in different ways; put it in quotes";

fn bounded<E: serde::de::Error>(count: usize) -> Result<(), E> {
    if count > 2 * MOST { Err(E::custom("too many")) } else { Ok(()) }
}
