//! Secrets in groups: names with the same beginning belong together, up to two underscores, which stand behind a
//! project's name, or else up to the first one.

use secrets_proto::printable::printable;

/// A line of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// The heading of a group, by its first secret, and how many there are.
    Group(usize, usize),
    /// A secret, by its index.
    Secret(usize),
}

/// The projects that are allowed: what their names begin with, and what they are called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Projects(Vec<(String, String)>);

impl Projects {
    /// Adds one that is written as `PREFIX=NAME`.
    pub(crate) fn add(&mut self, written: &str) {
        let known = written.split_once('=');
        self.0.extend(known.map(|(prefix, name)| (prefix.to_owned(), name.to_owned())));
    }

    /// What stands above a group: its beginning, and the project's name if it is one.
    pub(crate) fn heading(&self, group: &str, count: usize) -> String {
        match self.0.iter().find(|(prefix, _)| prefix == group) {
            Some((_, name)) => format!("{}: {group}__* ({count})", printable(name)),
            None => format!("{group} ({count})"),
        }
    }
}

/// The group of a name, if it may have one.
pub(crate) fn group(name: &str) -> Option<&str> {
    let before = |mark| name.split_once(mark).map(|(group, _)| group).filter(|group| !group.is_empty());
    before("__").or_else(|| before("_"))
}

/// Whether a name has all these letters in this order, in any case: `dburl` finds `DATABASE_URL`.
pub(crate) fn matches(name: &str, filter: &str) -> bool {
    let mut letters = name.chars().flat_map(char::to_lowercase);
    filter.chars().flat_map(char::to_lowercase).all(|wanted| letters.any(|letter| letter == wanted))
}

/// The lines of a list of secrets that match, by their names, which are sorted. A group has two secrets or more.
pub(crate) fn rows<'a>(names: impl Iterator<Item = &'a str>, filter: &str) -> Vec<Row> {
    let shown: Vec<(usize, &str)> = names.enumerate().filter(|(_, name)| matches(name, filter)).collect();
    let mut rows = Vec::with_capacity(shown.len());
    for run in shown.chunk_by(|(_, one), (_, next)| group(one).is_some() && group(one) == group(next)) {
        if let [(first, _), _, ..] = run {
            rows.push(Row::Group(*first, run.len()));
        }
        rows.extend(run.iter().map(|(index, _)| Row::Secret(*index)));
    }
    rows
}

/// Each line with whether it belongs to the heading above it, and is to be indented.
pub(crate) fn with_depth(rows: &[Row]) -> impl Iterator<Item = (Row, bool)> {
    let mut members = 0;
    rows.iter().map(move |row| match row {
        Row::Group(_, count) => {
            members = *count;
            (*row, false)
        }
        Row::Secret(_) => {
            let is_member = members > 0;
            members = members.saturating_sub(1);
            (*row, is_member)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projects_secrets_are_under_its_name() {
        let names = ["MY_KEY", "MY_SHOP__A", "MY_SHOP__PROD__A", "MY_TOKEN"];
        let rows = rows(names.into_iter(), "");
        assert_eq!(rows, [Row::Secret(0), Row::Group(1, 2), Row::Secret(1), Row::Secret(2), Row::Secret(3)]);
        let mut projects = Projects::default();
        projects.add("MY_SHOP=my-shop");
        assert_eq!(projects.heading("MY_SHOP", 2), "my-shop: MY_SHOP__* (2)");
        assert_eq!(projects.heading("AWS", 2), "AWS (2)");
    }

    #[test]
    fn what_begins_alike_is_a_group() {
        let names = ["ALONE", "AWS_KEY", "AWS_TOKEN", "OPENAI_KEY", "_X_A", "_X_B"];
        let rows = |filter| rows(names.into_iter(), filter);
        let (group, one) = (Row::Group, Row::Secret);
        assert_eq!(rows(""), [one(0), group(1, 2), one(1), one(2), one(3), one(4), one(5)]);
        let all = rows("");
        let depths: Vec<bool> = with_depth(&all).map(|(_, is_member)| is_member).collect();
        assert_eq!(depths, [false, false, true, true, false, false, false]);
        assert_eq!(rows("aken"), [one(2)]);
        assert_eq!(rows("zz"), []);
        assert!(matches("DATABASE_URL", "dburl") && !matches("DATABASE_URL", "lru"));
    }
}
