//! Reading the project's sources line by line, without comments, the content of strings, and test modules, so that
//! what remains is what runs. Line numbers stay true.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file, cleaned.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path from the repository's root.
    pub path: String,
    /// What runs: comments, strings' contents and `#[cfg(test)]` items are blank.
    pub code: String,
}

impl Source {
    /// Cleans a text.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), code: without_tests(&without_comments_and_strings(text)) }
    }

    /// The module under the crate's root that the file belongs to: `auth` for `src/auth.rs` and
    /// `src/auth/token.rs`, `lib` for `src/lib.rs`.
    pub fn module(&self) -> &str {
        let inside = self.path.split_once("/src/").map_or(self.path.as_str(), |(_, inside)| inside);
        let first = inside.split('/').next().unwrap_or(inside);
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Whether `super::` in this file means the crate's root.
    fn is_below_root(&self) -> bool {
        let inside = self.path.split_once("/src/").map_or("", |(_, inside)| inside);
        !inside.contains('/') || inside.matches('/').count() == 1 && inside.ends_with("/mod.rs")
    }

    /// Line numbers, from 1, of every place where `word` stands as a whole word (or path, or macro).
    pub fn lines_with(&self, word: &str) -> Vec<usize> {
        self.places(word).into_iter().map(|at| self.line_at(at)).collect()
    }

    /// The modules of its own crate that the file names, with line numbers.
    pub fn crate_modules(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for root in ["crate::", "super::"] {
            if root == "super::" && (!self.is_below_root() || self.module() == "lib") {
                continue;
            }
            for at in self.places(root.trim_end_matches(':')) {
                let Some(rest) = self.code[at..].strip_prefix(root) else { continue };
                let line = self.line_at(at);
                found.extend(first_segments(rest).into_iter().map(|module| (line, module)));
            }
        }
        found
    }

    /// The text between the braces that follow `opening`, each time it occurs, with its line number.
    pub fn blocks(&self, opening: &str) -> Vec<(usize, &str)> {
        let mut found = Vec::new();
        for at in self.places(opening) {
            let Some(brace) = self.code[at..].find('{') else { continue };
            let start = at + brace + 1;
            let end = start + matching_brace(&self.code[start..]);
            found.push((self.line_at(at), &self.code[start..end]));
        }
        found
    }

    /// Positions where `word` begins and is not part of a longer identifier.
    pub fn places(&self, word: &str) -> Vec<usize> {
        let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
        self.code
            .match_indices(word)
            .filter(|&(at, _)| {
                let before = self.code[..at].chars().next_back();
                let after = self.code[at + word.len()..].chars().next();
                let starts = word.starts_with(part_of_word);
                let ends = word.ends_with(part_of_word);
                !(starts && before.is_some_and(part_of_word) || ends && after.is_some_and(part_of_word))
            })
            .map(|(at, _)| at)
            .collect()
    }

    /// The line number, from 1, of a position.
    pub fn line_at(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// Where the repository is checked out.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every `.rs` file under a directory of the repository but `tests.rs` and what is in a `tests` directory, cleaned,
/// ordered by path.
pub fn sources(directory: &str) -> Vec<Source> {
    let root = repository();
    let mut found = Vec::new();
    collect(&root, &root.join(directory), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no sources under {directory}");
    found
}

fn collect(root: &Path, directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.ends_with("tests") {
                continue;
            }
            collect(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            found.push(Source::new(name, &fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The first segments of what follows `crate::`: one for a path, several for a braced list.
fn first_segments(rest: &str) -> Vec<String> {
    let identifier =
        |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(list) = rest.strip_prefix('{') else {
        return vec![identifier(rest)];
    };
    let list = &list[..matching_brace(list)];
    let mut depth = 0;
    let mut segments = Vec::new();
    let mut expecting = true;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => expecting = true,
            c if expecting && (c.is_alphanumeric() || c == '_') => {
                segments.push(identifier(&list[at..]));
                expecting = false;
            }
            _ => {}
        }
    }
    segments
}

/// How far the brace that closes what is open before `text` is.
fn matching_brace(text: &str) -> usize {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Blanks comments and the contents of string and character literals.
fn without_comments_and_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let peek = |at: usize| chars.get(at).copied().unwrap_or('\0');
    let blank = |c: char| if c == '\n' { '\n' } else { ' ' };
    while at < chars.len() {
        let c = chars[at];
        if c == '/' && peek(at + 1) == '/' {
            while at < chars.len() && chars[at] != '\n' {
                at += 1;
            }
        } else if c == '/' && peek(at + 1) == '*' {
            let mut depth = 0;
            while at < chars.len() {
                if chars[at] == '/' && peek(at + 1) == '*' {
                    depth += 1;
                    at += 2;
                } else if chars[at] == '*' && peek(at + 1) == '/' {
                    depth -= 1;
                    at += 2;
                } else {
                    out.push(blank(chars[at]));
                    at += 1;
                }
                if depth == 0 {
                    break;
                }
            }
        } else if c == 'r' && matches!(peek(at + 1), '"' | '#') && raw_string_hashes(&chars, at).is_some() {
            let hashes = raw_string_hashes(&chars, at).unwrap_or(0);
            at += hashes + 2;
            out.push('"');
            while at < chars.len() {
                if chars[at] == '"' && (1..=hashes).all(|n| peek(at + n) == '#') {
                    at += hashes + 1;
                    break;
                }
                if chars[at] == '\n' {
                    out.push('\n');
                }
                at += 1;
            }
            out.push('"');
        } else if c == '"' {
            out.push('"');
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                if chars[at] == '\\' {
                    at += 1;
                }
                if peek(at) == '\n' {
                    out.push('\n');
                }
                at += 1;
            }
            out.push('"');
            at += 1;
        } else if c == '\'' && (peek(at + 1) == '\\' || peek(at + 2) == '\'') {
            // A character; a lifetime has no second quote.
            at += 1;
            if peek(at) == '\\' {
                at += 1;
            }
            at += 1;
            while at < chars.len() && chars[at] != '\'' {
                at += 1;
            }
            at += 1;
            out.push_str("' '");
        } else {
            out.push(c);
            at += 1;
        }
    }
    out
}

/// The number of hashes if a raw string starts at this `r`.
fn raw_string_hashes(chars: &[char], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied().unwrap_or(' ');
    if before.is_alphanumeric() && before != 'b' || before == '_' {
        return None;
    }
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    (chars.get(at + 1 + hashes) == Some(&'"')).then_some(hashes)
}

/// Blanks every item marked `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let brace = item.find('{').unwrap_or(item.len());
        let semicolon = item.find(';').unwrap_or(item.len());
        let end = if semicolon < brace {
            semicolon + 1
        } else {
            (brace + 1 + matching_brace(item.get(brace + 1..).unwrap_or("")) + 1).min(item.len())
        };
        out.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("daemon/src/auth.rs", text)
    }

    #[test]
    fn comments_and_strings_do_not_count() {
        let text = "// ring::a\n/* ring::b /* ring::c */ ring::d */\nlet s = \"ring::e \\\" ring::f\";\n\
                    let r = r#\"ring::g \" ring::h\"#; let c = '\"'; let l: &'static str = br\"ring::i\";\nring::j();";
        assert_eq!(source(text).lines_with("ring"), [5]);
    }

    #[test]
    fn test_modules_do_not_count_and_lines_stay_true() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { ring::x(); }\n}\n#[cfg(test)]\nuse ring;\nring::y();\n";
        assert_eq!(source(text).lines_with("ring"), [8]);
    }

    #[test]
    fn words_are_whole() {
        let found = source("string::x(); ring_fence(); ring::x(); my_ring; bring; ring").lines_with("ring");
        assert_eq!(found.len(), 2);
        assert_eq!(source("eprintln!(); println!();").lines_with("println!").len(), 1);
    }

    #[test]
    fn finds_the_modules_that_a_file_names() {
        let modules = |path: &str, text: &str| -> Vec<String> {
            Source::new(path, text).crate_modules().into_iter().map(|(_, module)| module).collect()
        };
        assert_eq!(
            modules("daemon/src/a.rs", "use crate::b::C; use crate::{d, e::{f, g}, h}; crate::i::j();"),
            ["b", "d", "e", "h", "i"]
        );
        assert_eq!(modules("daemon/src/a.rs", "use super::b;"), ["b"]);
        assert_eq!(modules("daemon/src/a/mod.rs", "use super::b;"), ["b"]);
        assert!(modules("daemon/src/a/c.rs", "use super::b;").is_empty());
        assert!(modules("daemon/src/a.rs", "pub(crate) struct S; use other_crate::x;").is_empty());
    }

    #[test]
    fn a_file_belongs_to_the_module_under_the_root() {
        for (path, module) in [
            ("daemon/src/auth.rs", "auth"),
            ("daemon/src/auth/token.rs", "auth"),
            ("daemon/src/lib.rs", "lib"),
        ] {
            assert_eq!(Source::new(path, "").module(), module);
        }
    }

    #[test]
    fn blocks_end_at_their_brace() {
        let source = source("impl Vault {\n fn a() { if x { } }\n}\nfn b() {}");
        let blocks = source.blocks("impl Vault");
        assert_eq!(blocks.len(), 1);
        assert!(blocks[0].1.contains("fn a()") && !blocks[0].1.contains("fn b()"));
    }
}
