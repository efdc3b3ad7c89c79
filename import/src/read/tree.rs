//! A tree of names as JSON and YAML have it, and the secrets that it holds: each is named by the path that leads to it.

use zeroize::Zeroizing;

use super::text::encrypted_value;
use crate::found::Found;
use crate::name;

/// How deep a tree may be.
pub(crate) const DEEPEST: usize = 64;

/// What stands at a path.
#[derive(Clone)]
pub(crate) enum Node {
    Text(Zeroizing<String>),
    /// What is no text, and why it is not taken.
    Other(&'static str),
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
}

/// Why a null is not taken.
pub(crate) const NULL: &str = "null, not a string; remove it";

/// The secrets of a tree.
pub(crate) fn secrets(root: Node) -> Found {
    let mut found = Found { whole: true, ..Found::default() };
    match root {
        Node::Map(members) if is_encrypted(&members) => {
            return Found::refused("the file", "encrypted by sops; pipe what sops -d prints");
        }
        Node::Map(_) => walk(root, &mut Vec::new(), &mut found),
        Node::Text(_) | Node::Other(_) | Node::List(_) => {
            return Found::refused("the file", "expected names with values at its top");
        }
    }
    found
}

/// What sops adds to what it encrypts: a member of this name with a code over all values.
fn is_encrypted(members: &[(String, Node)]) -> bool {
    let of_sops = |node: &Node| match node {
        Node::Map(members) => members.iter().any(|(name, _)| name == "mac" || name == "lastmodified"),
        Node::Text(_) | Node::Other(_) | Node::List(_) => false,
    };
    members.iter().any(|(name, node)| name == "sops" && of_sops(node))
}

/// The tree is no deeper than [`DEEPEST`], which its readers see to.
fn walk(node: Node, path: &mut Vec<String>, found: &mut Found) {
    match node {
        Node::Map(members) => {
            for (name, node) in members {
                path.push(name);
                walk(node, path, found);
                path.pop();
            }
        }
        Node::List(nodes) => {
            for (at, node) in nodes.into_iter().enumerate() {
                path.push(at.to_string());
                walk(node, path, found);
                path.pop();
            }
        }
        Node::Text(value) => match encrypted_value(&value) {
            Some(reason) => found.fault(place(path), named(path), reason),
            None => found.add(place(path), named(path), value),
        },
        Node::Other(reason) => found.fault(place(path), named(path), reason),
    }
}

fn named(path: &[String]) -> Option<String> {
    name::of(path.iter().map(String::as_str))
}

/// The path as it may be shown: a value in the place of a name is not.
fn place(path: &[String]) -> String {
    let part = |part: &String| {
        let fits = part.len() <= 40 && part.chars().all(|c| c.is_alphanumeric() || "_-. /:".contains(c));
        if fits { part.clone() } else { "…".to_owned() }
    };
    path.iter().map(part).collect::<Vec<_>>().join(".")
}
