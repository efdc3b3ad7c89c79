//! What is said of secrets that several machines gave different values, wherever such a secret is met.

/// The most names in a notice.
const NAMED: usize = 5;

/// What to say of these secrets, if there are any.
pub(crate) fn notice<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let first = names.first()?;
    let shown: Vec<&str> = names.iter().take(NAMED).copied().collect();
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{}{more}: several machines stored different values, and the latest is used; settle with: secretctl sync resolve {first}",
        shown.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_the_others_counted() {
        assert_eq!(notice([]), None);
        let text = notice(["A", "B", "C", "D", "E", "F", "G"]).unwrap();
        assert!(text.starts_with("A, B, C, D, E and 2 more: "), "{text}");
        assert!(notice(["A"]).unwrap().ends_with("secretctl sync resolve A"));
    }
}
