//! Values that are put together from others: `composed = "postgres://${DB_USER}@host"`. A reference names a secret of
//! the same profile in capital letters, `$$` stands for a dollar sign, and what is put in is never looked at again.

use zeroize::Zeroizing;

/// The most bytes of what is put together: what Linux takes as one variable (`MAX_ARG_STRLEN`, execve(2)).
const LONGEST: usize = 128 << 10;

/// What the reference should look like.
const FORM: &str = "a reference is ${NAME}, in capital letters";

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Reference(String),
}

/// A text with references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    names: Vec<String>,
}

/// Why a template gives no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotComposed {
    /// A value that it needs is not there.
    #[error("it needs {0}, which has no value")]
    Lacks(String),
    /// It is more than a variable can hold.
    #[error("it would be longer than 128 KiB")]
    TooLong,
}

impl Template {
    /// Reads a template; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                plain.push('$');
                rest = after;
            } else if let Some(after) = after.strip_prefix('{') {
                let (name, after) = after.split_once('}').ok_or("a ${ has no }")?;
                if !is_reference(name) {
                    return Err(FORM);
                }
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Reference(name.to_owned()));
                rest = after;
            } else {
                plain.push('$');
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        let mut names: Vec<String> = parts.iter().filter_map(Part::reference).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            Err("it must refer to another secret, as ${NAME}")
        } else {
            Ok(Self { parts, names })
        }
    }

    /// The names that it refers to, each once.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The text with a value in the place of each reference.
    ///
    /// # Errors
    ///
    /// A reference for which `value` gives none, and a result of more than 128 KiB.
    pub fn render<'v>(
        &self,
        value: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<Zeroizing<String>, NotComposed> {
        let pieces = self.parts.iter().map(|part| match part {
            Part::Text(text) => Ok(text.as_str()),
            Part::Reference(name) => value(name).ok_or_else(|| NotComposed::Lacks(name.clone())),
        });
        let pieces = pieces.collect::<Result<Vec<&str>, _>>()?;
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length > LONGEST {
            return Err(NotComposed::TooLong);
        }
        // Never grows, so that no copy is left behind.
        let mut text = Zeroizing::new(String::with_capacity(length));
        pieces.iter().for_each(|piece| text.push_str(piece));
        Ok(text)
    }
}

impl Part {
    fn reference(&self) -> Option<&str> {
        match self {
            Self::Reference(name) => Some(name),
            Self::Text(_) => None,
        }
    }
}

fn is_reference(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_once() {
        let template = Template::parse("$$a ${B}:${A}-${B} $x ${B}$").unwrap();
        assert_eq!(template.names(), ["A", "B"]);
        let text = template.render(|name| Some(if name == "A" { "${B}" } else { "b$$" })).unwrap();
        assert_eq!(*text, "$a b$$:${B}-b$$ $x b$$$");
        assert_eq!(
            template.render(|name| (name == "B").then_some("")),
            Err(NotComposed::Lacks("A".to_owned()))
        );
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for bad in ["", "a", "$$", "$A", "${}", "${a}", "${A", "${A:-x}", "${_A}", "${1}", "${A${B}}", "${Ä}"]
        {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_no_variable_holds_is_not_made() {
        let long = "x".repeat(LONGEST);
        let template = Template::parse("${A}${B}").unwrap();
        let render = |b| template.render(|name| Some(if name == "A" { long.as_str() } else { b }));
        assert!(render("").is_ok());
        assert_eq!(render("y"), Err(NotComposed::TooLong));
    }
}
