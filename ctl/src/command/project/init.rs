//! `project init`: a manifest from names alone. Values go into the vault, and never into the file.

use std::path::{Path, PathBuf};

use clap::Args;
use secrets_project::names::BETWEEN;
use secrets_project::{FILE, names};
use secrets_proto::SecretName;

use crate::command::import::{self, ImportArgs};
use crate::failure::{Exit, Failure};
use crate::new_file::NewFile;
use crate::output::{self, Output};
use crate::providers;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The secrets that the project needs
    #[arg(value_name = "SECRET", required_unless_present = "from")]
    pub(crate) names: Vec<String>,
    /// The project's name [default: the directory's]
    #[arg(long, value_name = "PROJECT")]
    pub(crate) name: Option<String>,
    /// Take the names from this dotenv file, and import its values
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    output: Output,
    args: &InitArgs,
) -> Result<(), Failure> {
    let path = Path::new(FILE);
    if path.symlink_metadata().is_ok() {
        return Err(Failure::new(Exit::Conflict, format!("there is a {FILE} already; nothing was done")));
    }
    let project = match &args.name {
        Some(name) => name.clone(),
        None => directory_name()?,
    };
    if project.trim().is_empty()
        || project.contains(|c: char| c.is_control())
        || providers::looks_like_key(&project)
    {
        return Err(Failure::new(Exit::Invalid, "this is no name for a project; choose one with --name"));
    }
    let mut keys = args.names.iter().map(|name| SecretName::parse(name)).collect::<Result<Vec<_>, _>>()?;
    if args.names.iter().any(|name| providers::looks_like_key(name)) {
        return Err(Failure::new(
            Exit::Usage,
            "a name looks like a value; if it is one, replace it at its provider",
        ));
    }
    if let Some(file) = &args.from {
        let prefix = SecretName::parse(&format!("{}{BETWEEN}", names::prefix(&project)))?;
        let arguments = ImportArgs { prefix: Some(prefix.to_string()), ..ImportArgs::of(file.clone()) };
        let imported = import::store_file(open, output, &arguments)?;
        keys.extend(
            imported
                .iter()
                .filter_map(|name| SecretName::parse(name.as_str().strip_prefix(prefix.as_str())?).ok()),
        );
    }
    keys.sort();
    keys.dedup();
    write(path, &text(&project, &keys))?;
    output::say(&format!("wrote {FILE}; say in it what each secret is for"));
    output::say("then: secretctl project allow");
    Ok(())
}

fn text(project: &str, keys: &[SecretName]) -> String {
    let mut text =
        format!("[project]\nname = {}\nrevision = \"1.0\"\n\n[profiles.default]\n", quoted(project));
    for key in keys {
        text.push_str(&format!(
            "{key} = {{ description = \"fill in: what it is for, and where to get one\" }}\n"
        ));
    }
    text
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let wrong = |error: std::io::Error| {
        Failure::new(Exit::Other, format!("cannot write {FILE}: {error}; nothing was written"))
    };
    // It is to be committed, and has no values.
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    let mut file = NewFile::beside(path, mode).map_err(wrong)?;
    file.file().write_all(text.as_bytes()).map_err(wrong)?;
    file.publish(false).map_err(wrong)
}

fn directory_name() -> Result<String, Failure> {
    let here = std::env::current_dir().ok();
    let name = here.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).map(str::to_owned);
    name.ok_or_else(|| Failure::new(Exit::Usage, "the directory has no name to take; use --name PROJECT"))
}

#[cfg(test)]
mod tests {
    use secrets_project::{Manifest, Source};

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let keys = ["A", "B_C"].map(|key| SecretName::parse(key).unwrap());
        for project in ["my-app", "a \"b\" \\c", "é"] {
            let text = text(project, &keys).into_bytes();
            let source = Source { file: FILE.into(), dir: "".into(), text };
            let manifest = Manifest::load(source, &mut |_| Err("none".to_owned())).unwrap();
            assert_eq!((manifest.name(), manifest.keys()), (project, vec!["A", "B_C"]));
        }
    }
}
