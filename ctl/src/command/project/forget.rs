//! `project forget`: what was allowed is allowed no longer.

use std::path::PathBuf;

use clap::Args;

use crate::failure::{Exit, Failure};
use crate::project::consent::Book;
use crate::project::{find, shown};
use crate::{environment, output};

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// The project's directory, or its manifest [default: secretspec.toml here or above]
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
}

pub(crate) fn run(args: &ForgetArgs) -> Result<(), Failure> {
    let meant: Vec<PathBuf> = match &args.path {
        Some(path) => {
            // It need not be there any more.
            let path = path.canonicalize().or_else(|_| environment::absolute(path))?;
            vec![path.join(secrets_project::FILE), path]
        }
        None => {
            let here = find::locate(None)?.map(|located| located.file);
            here.into_iter().map(|file| file.canonicalize().unwrap_or(file)).collect()
        }
    };
    let forgotten = Book::change(|book| meant.iter().find(|path| book.forget(path)))?;
    match forgotten {
        Some(path) => {
            output::say(&format!("{} is no longer allowed", shown(path)));
            Ok(())
        }
        None => Err(Failure::new(Exit::NotFound, "no such project is allowed; see: secretctl project list")),
    }
}
