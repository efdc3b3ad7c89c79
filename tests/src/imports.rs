//! Which files of a crate name which others, and the circles that this makes: files in a circle can be neither read nor
//! changed one at a time.
//!
//! A file names another if a path in it, in a `use` or in what runs, leads to an item of the other. A name that a module
//! only passes on (`pub use`) leads to that module's file and to the one that defines it. What a file takes from a module
//! that it is a part of does not count: a module's own file is where its parts meet.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// The files of one crate, by module.
struct Crate<'a> {
    files: BTreeMap<Vec<String>, File<'a>>,
}

/// One file: what its `use` lines call by which name, and every path in it.
struct File<'a> {
    source: &'a Source,
    names: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    paths: Vec<Vec<String>>,
}

/// The circles between these files of one crate (their paths begin with `…/src/`), each ordered by path.
pub fn circles(sources: &[Source]) -> Vec<Vec<String>> {
    let edges = files_named_by(sources);
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|from| (from.as_str(), reachable(&edges, from))).collect();
    let mut circles: Vec<Vec<String>> = Vec::new();
    for (from, to) in &reached {
        let mates = to.iter().filter(|other| reached.get(*other).is_some_and(|back| back.contains(from)));
        let circle: Vec<String> = mates.map(|path| (*path).to_owned()).collect();
        if circle.len() > 1 && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

/// For each of these files of one crate the others that it names.
pub fn files_named_by(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let files = sources.iter().filter_map(|source| Some((module_of(&source.path)?, read(source)))).collect();
    let all = Crate { files };
    let edges_of = |(module, file): (&Vec<String>, &File<'_>)| {
        let named = file.paths.iter().flat_map(|path| all.resolve(module, path, 0));
        let named = named.filter(|other| !module.starts_with(other));
        let named = named.filter_map(|other| Some(all.files.get(&other)?.source.path.clone())).collect();
        (file.source.path.clone(), named)
    };
    all.files.iter().map(edges_of).collect()
}

fn reachable<'a>(edges: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(at) = next.pop() {
        let new = edges.get(at).into_iter().flatten().map(String::as_str);
        next.extend(new.filter(|to| reached.insert(*to)));
    }
    reached
}

impl Crate<'_> {
    /// The modules whose files a path in `module` leads to, the one that defines the name at its end last. None for what is
    /// in another crate, is a local name, or is a module itself.
    fn resolve(&self, module: &[String], path: &[String], depth: usize) -> Vec<Vec<String>> {
        self.try_resolve(module, path, depth).unwrap_or_default()
    }

    fn try_resolve(&self, module: &[String], path: &[String], depth: usize) -> Option<Vec<Vec<String>>> {
        let (first, rest) = path.split_first()?;
        let (mut at, mut rest) = match first.as_str() {
            "crate" => (Vec::new(), rest),
            "self" => (module.to_vec(), rest),
            "super" => (module.split_last()?.1.to_vec(), rest),
            _ => (module.to_vec(), path),
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                at.pop()?;
            } else {
                let inner = [at.as_slice(), std::slice::from_ref(name)].concat();
                if !self.files.contains_key(&inner) {
                    break;
                }
                at = inner;
            }
            rest = after;
        }
        let name = rest.first()?;
        let file = self.files.get(&at)?;
        // A local name that is spelled like one that was brought here would lead in rounds.
        if depth > 16 {
            return None;
        }
        let onward = |target: &[String], rest: &[String]| {
            let found = self.resolve(&at, &[target, rest].concat(), depth + 1);
            (!found.is_empty()).then(|| [std::slice::from_ref(&at), found.as_slice()].concat())
        };
        if let Some(target) = file.names.get(name).filter(|target| *target != path) {
            return onward(target, &rest[1..]);
        }
        let defines = |found: &Vec<Vec<String>>| {
            let file = found.last().and_then(|module| self.files.get(module));
            file.is_some_and(|file| file.defines(name))
        };
        let mut globs = file.globs.iter().filter_map(|glob| onward(glob, &rest[..1]));
        if let Some(found) = globs.find(defines) {
            return Some(found);
        }
        // A bare name that is neither a module here nor brought here is a local one, or another crate.
        (path.len() > rest.len() || depth > 0).then(|| vec![at])
    }
}

impl File<'_> {
    fn defines(&self, name: &str) -> bool {
        let kinds = ["fn", "struct", "enum", "trait", "const", "static", "type", "union"];
        kinds.iter().any(|kind| !self.source.places(&format!("{kind} {name}")).is_empty())
    }
}

/// The module that a file holds; `None` for a program's own file, which is a crate of its own.
fn module_of(path: &str) -> Option<Vec<String>> {
    let inside = path.split_once("/src/")?.1.strip_suffix(".rs")?;
    let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
    match inside {
        "lib" => module.clear(),
        "main" => return None,
        _ if module.first().is_some_and(|first| first == "bin") => return None,
        _ if module.last().is_some_and(|last| last == "mod") => drop(module.pop()),
        _ => {}
    }
    Some(module)
}

fn read(source: &Source) -> File<'_> {
    let mut file = File { source, names: BTreeMap::new(), globs: Vec::new(), paths: paths(&source.code) };
    for at in source.places("use") {
        let statement = &source.code[at + "use".len()..];
        let statement = statement.split(';').next().unwrap_or(statement);
        read_tree(statement.trim(), &[], &mut file);
    }
    file
}

/// What a `use` brings: `a::{b, c as d, e::*}`.
fn read_tree(tree: &str, before: &[String], file: &mut File<'_>) {
    let mut path = before.to_vec();
    let mut rest = tree.trim();
    loop {
        if let Some(list) = rest.strip_prefix('{') {
            let list = list.strip_suffix('}').unwrap_or(list);
            split_list(list).into_iter().for_each(|tree| read_tree(tree, &path, file));
            return;
        }
        if rest == "*" {
            file.globs.push(path);
            return;
        }
        let Some((segment, after)) = rest.split_once("::") else { break };
        path.push(segment.trim().to_owned());
        rest = after.trim();
    }
    let (name, alias) = rest.split_once(" as ").unwrap_or((rest, rest));
    let (name, mut alias) = (name.trim(), alias.trim());
    if name == "self" {
        alias = if alias == "self" { path.last().map_or("", String::as_str) } else { alias };
        file.names.insert(alias.to_owned(), path.clone());
    } else if !name.is_empty() {
        path.push(name.to_owned());
        file.names.insert(alias.to_owned(), path.clone());
    }
    file.paths.push(path);
}

/// Splits at the commas that are in no inner braces.
fn split_list(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Every path of at least two names.
fn paths(code: &str) -> Vec<Vec<String>> {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(part_of_name) {
        // A path that begins with `::` or goes on after generics is not one of ours from here on.
        let goes_on = rest[..start].ends_with("::");
        rest = &rest[start..];
        let mut path = Vec::new();
        loop {
            let end = rest.find(|c| !part_of_name(c)).unwrap_or(rest.len());
            path.push(rest[..end].to_owned());
            rest = &rest[end..];
            match rest.strip_prefix("::") {
                Some(after) if after.starts_with(part_of_name) => rest = after,
                _ => break,
            }
        }
        if path.len() > 1 && !goes_on {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let sources: Vec<_> =
            files.iter().map(|(path, code)| Source::new(&format!("x/src/{path}"), code)).collect();
        circles(&sources)
    }

    #[test]
    fn every_way_to_name_another_file_counts() {
        for (one, other) in [
            ("use crate::b::B;", "use crate::a::A;"),
            ("use crate::{b::{self, B}, c};", "use super::a;\nfn f() { a::f() }"),
            ("fn f() { crate::b::f() }", "use crate::{a as other}; type T = other::A;"),
            ("use crate::passed_on;\ntype T = passed_on::B;", "use crate::passed_on::Again;"),
        ] {
            let passed_on = "pub(crate) use crate::a::A as Again; pub(crate) use super::b::*;";
            let files = [("a.rs", one), ("b.rs", &format!("{other} struct B;")), ("c.rs", "")];
            let all = [files.as_slice(), &[("lib.rs", "mod a;"), ("passed_on.rs", passed_on)]].concat();
            assert!(found(&all).concat().contains(&"x/src/b.rs".to_owned()), "{one} {other}");
        }
    }

    #[test]
    fn parts_may_use_what_holds_them_and_tests_do_not_count() {
        assert!(
            found(&[("a/mod.rs", "use part::P; fn f() { part::f() }"), ("a/part.rs", "use super::A;")])
                .is_empty()
        );
        assert!(
            found(&[("a.rs", "use crate::b::B;"), ("b.rs", "#[cfg(test)]\nuse crate::a::A;")]).is_empty()
        );
        assert!(
            found(&[("a.rs", "use crate::b::B;"), ("b.rs", "// crate::a::A\nuse other::a::A;")]).is_empty()
        );
        assert!(
            found(&[("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "")]).is_empty()
        );
    }

    #[test]
    fn a_long_circle_is_named_once() {
        let files =
            [("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::A;")];
        assert_eq!(found(&files), [["x/src/a.rs", "x/src/b.rs", "x/src/c.rs"]]);
    }
}
