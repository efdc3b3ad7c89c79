//! What the settings file says of the pinentry. The daemon looks at all of that file; here it counts where neither flag nor
//! variable names one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use secrets_local::files;
use secrets_local::places::{self, Base};
use serde::Deserialize;

/// No settings file is larger.
const LIMIT: u64 = 64 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    approve: Approve,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Approve {
    pinentry: Option<PathBuf>,
}

/// The pinentry that the settings file names, if there is such a file and it names one. Fails if the file cannot be read or
/// is malformed, if others could have written it, and if the path is relative.
pub(crate) fn pinentry(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<PathBuf>, String> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let named = variable("SECRETSD_CONFIG").map(PathBuf::from);
    let usual = || Base::Config.ours(variable).map(|dir| dir.join(places::SETTINGS));
    let Some(path) = named.or_else(usual) else { return Ok(None) };
    match files::read_settings(&path, LIMIT) {
        Ok(Some(text)) => parse(&text, &path),
        Ok(None) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn parse(text: &str, path: &Path) -> Result<Option<PathBuf>, String> {
    let settings: Settings = toml::from_str(text).map_err(|error| {
        // Not the line itself, which may hold anything.
        let offset = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        format!("{}: line {line}: {}", path.display(), error.message().replace('\n', " "))
    })?;
    match settings.approve.pinentry {
        Some(pinentry) if !pinentry.is_absolute() => {
            Err(format!("{}: pinentry is the absolute path of a program", path.display()))
        }
        pinentry => Ok(pinentry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_an_absolute_path_and_what_is_wrong_is_told_with_its_line() {
        let parse = |text: &str| parse(text, Path::new("/s"));
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("[approve]\n[kdf]\npasses = 3\n"), Ok(None));
        assert_eq!(
            parse("[approve]\npinentry = \"/usr/bin/pinentry-qt\"\n"),
            Ok(Some("/usr/bin/pinentry-qt".into()))
        );
        assert_eq!(
            parse("[approve]\npinentry = \"pinentry-qt\"\n"),
            Err("/s: pinentry is the absolute path of a program".to_owned())
        );
        let said = parse("[kdf]\n[approve]\npinentry = 7 canary\n").unwrap_err();
        assert!(said.starts_with("/s: line 3: ") && !said.contains("canary"), "{said}");
    }
}
