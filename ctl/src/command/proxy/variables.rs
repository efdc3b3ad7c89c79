//! The environment of a command in a session: what was inherited, but what would lead it past its broker, and what the
//! broker says.

use std::ffi::{OsStr, OsString};

use secrets_proto::broker::Variables;

/// How git is told settings by its environment (git-config(1)): a count, and so many names and values.
const COUNT: &str = "GIT_CONFIG_COUNT";
const KEY: &str = "GIT_CONFIG_KEY_";
const VALUE: &str = "GIT_CONFIG_VALUE_";

/// The most settings of git that are looked at.
const MOST: usize = 1_000;

/// An environment variable.
type Variable = (OsString, OsString);

/// What the command gets.
pub(super) fn merged(inherited: Vec<Variable>, broker: Variables) -> Vec<Variable> {
    let Variables { set, remove } = broker;
    let set: Vec<Variable> = set.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let mut git = settings_of_git(&inherited);
    git.retain(|(key, _)| !is_in_the_way(key));
    git.extend(settings_of_git(&set));
    let is_of_git = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        [COUNT, KEY, VALUE].iter().any(|start| name.starts_with(start.as_bytes()))
    };
    let is_removed = |name: &OsStr| remove.iter().any(|removed| name.eq_ignore_ascii_case(removed));
    let mut merged = inherited;
    merged.retain(|(name, _)| !is_of_git(name) && !is_removed(name));
    merged.extend(set.into_iter().filter(|(name, _)| !is_of_git(name)));
    merged.push((COUNT.into(), git.len().to_string().into()));
    for (at, (key, value)) in git.into_iter().enumerate() {
        merged.push((format!("{KEY}{at}").into(), key));
        merged.push((format!("{VALUE}{at}").into(), value));
    }
    merged
}

/// Whether a setting of git says where a request goes or which certificates are believed: `http.proxy`, `http.URL.sslCAInfo`,
/// `remote.NAME.proxy`.
fn is_in_the_way(key: &OsStr) -> bool {
    let key = key.to_string_lossy().to_ascii_lowercase();
    let last = key.rsplit('.').next().unwrap_or_default();
    let starts = |starts: &[&str], text: &str| starts.iter().any(|start| text.starts_with(start));
    starts(&["http.", "remote."], &key) && starts(&["proxy", "ssl"], last)
}

/// Names and values of the settings that an environment has for git.
fn settings_of_git(variables: &[Variable]) -> Vec<Variable> {
    let find = |wanted: &str| {
        let found = variables.iter().rev().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.clone())
    };
    let count = find(COUNT).and_then(|count| count.to_str()?.trim().parse::<usize>().ok()).unwrap_or(0);
    let settings =
        (0..count.min(MOST)).map(|at| find(&format!("{KEY}{at}")).zip(find(&format!("{VALUE}{at}"))));
    settings.flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// As a program would see it.
    fn seen(inherited: &[(&str, &str)], set: &[(&str, &str)], remove: &[&str]) -> BTreeMap<String, String> {
        let inherited = pairs(inherited).into_iter().map(|(name, value)| (name.into(), value.into()));
        let remove = remove.iter().map(|name| (*name).to_owned()).collect();
        let merged = merged(inherited.collect(), Variables { set: pairs(set), remove });
        let text = |text: OsString| text.into_string().unwrap();
        merged.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn what_is_set_stands_alone_in_any_case_and_the_rest_stays() {
        let inherited = [
            ("HOME", "/h"),
            ("Https_Proxy", "old"),
            ("HTTPS_PROXY", "old"),
            ("all_proxy", "old"),
            ("key", "k"),
        ];
        let set = [("KEY", "placeholder"), ("HTTPS_PROXY", "new")];
        let seen = seen(&inherited, &set, &["HTTPS_PROXY", "ALL_PROXY"]);
        let expected = [
            ("GIT_CONFIG_COUNT", "0"),
            ("HOME", "/h"),
            ("HTTPS_PROXY", "new"),
            ("KEY", "placeholder"),
            ("key", "k"),
        ];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), pairs(&expected));
    }

    #[test]
    fn settings_of_git_stay_but_those_that_lead_past_the_broker() {
        let set =
            [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "http.proxy"), ("GIT_CONFIG_VALUE_0", "new")];
        let inherited = [
            ("GIT_CONFIG_COUNT", "6"),
            ("GIT_CONFIG_KEY_0", "HTTP.https://h.example/.Proxy"),
            ("GIT_CONFIG_VALUE_0", "old"),
            ("GIT_CONFIG_KEY_1", "safe.directory"),
            ("GIT_CONFIG_VALUE_1", "*"),
            ("GIT_CONFIG_KEY_2", "http.proxy"),
            ("GIT_CONFIG_VALUE_2", "old"),
            ("GIT_CONFIG_KEY_3", "http.https://h.example/.extraHeader"),
            ("GIT_CONFIG_VALUE_3", "a: b"),
            ("GIT_CONFIG_KEY_4", "remote.origin.proxy"),
            ("GIT_CONFIG_VALUE_4", "old"),
            ("GIT_CONFIG_KEY_5", "without.value"),
            ("GIT_CONFIG_KEY_9", "left.over"),
        ];
        let expected = [
            ("GIT_CONFIG_COUNT", "3"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_KEY_1", "http.https://h.example/.extraHeader"),
            ("GIT_CONFIG_KEY_2", "http.proxy"),
            ("GIT_CONFIG_VALUE_0", "*"),
            ("GIT_CONFIG_VALUE_1", "a: b"),
            ("GIT_CONFIG_VALUE_2", "new"),
        ];
        assert_eq!(
            seen(&inherited, &set, &["GIT_CONFIG_COUNT"]).into_iter().collect::<Vec<_>>(),
            pairs(&expected)
        );
        for count in ["", "x", "-1", "99999999999999999999", "3"] {
            let seen = seen(&[("GIT_CONFIG_COUNT", count)], &set, &[]);
            assert_eq!(seen.into_iter().collect::<Vec<_>>(), pairs(&set), "{count}");
        }
    }
}
