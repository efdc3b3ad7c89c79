//! Under which names the vault has a project's secrets. Its names are flat; a project's begin with the project's own
//! name: `API_KEY` of `my-app` is `MY_APP__API_KEY`, and in the profile `production` `MY_APP__PRODUCTION__API_KEY`.

use crate::DEFAULT;

/// What stands between a project, a profile and a secret.
pub const BETWEEN: &str = "__";

/// What the names of a project begin with, without the two underscores behind it: letters in upper case and digits, and
/// one underscore for each run of other characters, so that two underscores never stand inside. One more stands before a
/// digit, with which no name begins.
pub fn prefix(project: &str) -> String {
    let word = word(project);
    if word.starts_with(|first: char| first.is_ascii_digit()) { format!("_{word}") } else { word }
}

/// A profile's part of a name; none for the profile that is meant if none is named.
pub fn profile(profile: &str) -> Option<String> {
    (profile != DEFAULT).then(|| word(profile))
}

fn word(text: &str) -> String {
    let mut word = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            word.push(character.to_ascii_uppercase());
        } else if !word.ends_with('_') {
            word.push('_');
        }
    }
    word
}

/// The names under which a secret of a project may be in the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// That of the profile, if it is not the one that is meant if none is named.
    pub of_profile: Option<String>,
    /// That of the project.
    pub of_project: String,
    /// The name without any project, which counts only if the owner has allowed it.
    pub shared: String,
}

impl Names {
    /// The names of this key.
    pub fn of(prefix: &str, profile: &str, key: &str) -> Self {
        let shared = key.to_ascii_uppercase();
        let of_profile = self::profile(profile).map(|profile| [prefix, &profile, &shared].join(BETWEEN));
        Self { of_profile, of_project: [prefix, &shared].join(BETWEEN), shared }
    }

    /// The name under which a new value is stored.
    pub fn own(&self) -> &str {
        self.of_profile.as_deref().unwrap_or(&self.of_project)
    }

    /// The names in the order in which they are looked for.
    pub fn candidates(&self, may_share: bool) -> impl Iterator<Item = &str> {
        let shared = may_share.then_some(self.shared.as_str());
        self.of_profile.as_deref().into_iter().chain([self.of_project.as_str()]).chain(shared)
    }
}

/// The key that a project's name in the vault stands for, and the profile, if it is one of these.
pub fn short<'n, 'p>(
    prefix: &str,
    profiles: &[&'p str],
    name: &'n str,
) -> Option<(Option<&'p str>, &'n str)> {
    let rest = name.strip_prefix(prefix)?.strip_prefix(BETWEEN).filter(|rest| !rest.is_empty())?;
    let of_profile = profiles.iter().find_map(|profile| {
        let part = self::profile(profile)?;
        let key = rest.strip_prefix(&part)?.strip_prefix(BETWEEN).filter(|key| !key.is_empty())?;
        Some((Some(*profile), key))
    });
    Some(of_profile.unwrap_or((None, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_projects_name_in_capital_letters() {
        for (project, expected) in [
            ("my-app", "MY_APP"),
            ("My App!!v2", "MY_APP_V2"),
            ("my__app", "MY_APP"),
            ("a.b/c", "A_B_C"),
            ("3d", "_3D"),
            ("-x-", "_X_"),
            ("日本", "_"),
            ("Straße", "STRA_E"),
        ] {
            assert_eq!(prefix(project), expected, "{project}");
        }
    }

    #[test]
    fn names_are_looked_for_from_the_narrowest_on() {
        let names = Names::of("MY_APP", "production", "api_key");
        let all: Vec<&str> = names.candidates(true).collect();
        assert_eq!(all, ["MY_APP__PRODUCTION__API_KEY", "MY_APP__API_KEY", "API_KEY"]);
        assert_eq!(names.own(), "MY_APP__PRODUCTION__API_KEY");
        let names = Names::of("MY_APP", DEFAULT, "API_KEY");
        assert_eq!(names.candidates(false).collect::<Vec<_>>(), ["MY_APP__API_KEY"]);
        assert_eq!(names.own(), "MY_APP__API_KEY");
    }

    #[test]
    fn a_name_is_short_again() {
        let profiles = ["default", "prod", "prod-eu"];
        for (name, expected) in [
            ("P__A", Some((None, "A"))),
            ("P__PROD__A", Some((Some("prod"), "A"))),
            ("P__PROD_EU__A", Some((Some("prod-eu"), "A"))),
            ("P__OTHER__A", Some((None, "OTHER__A"))),
            ("P__PROD__", Some((None, "PROD__"))),
            ("P__", None),
            ("PX__A", None),
        ] {
            assert_eq!(short("P", &profiles, name), expected, "{name}");
        }
    }
}
