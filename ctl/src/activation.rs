//! The file from which the session bus starts `secretsd-bus` for a program that asks for the Secret Service. That it is there
//! is what "turned on" means.

use std::fs;
use std::path::{Path, PathBuf};

use crate::environment;

/// The name on the bus, and the program.
pub(crate) const NAME: &str = "org.freedesktop.secrets";
pub(crate) const PROGRAM: &str = "secretsd-bus";

/// Where it is: the user's own comes before the system's (D-Bus Specification, "Message Bus Starting Services"). `None`
/// without a home.
pub(crate) fn file() -> Option<PathBuf> {
    Some(environment::user_data_dir()?.join(format!("dbus-1/services/{NAME}.service")))
}

/// Whether the file starts our program, another one, or is not there.
pub(crate) fn starts_ours(file: &Path) -> Option<bool> {
    let text = fs::read_to_string(file).ok()?;
    let program = |line: &str| line.strip_prefix("Exec=").map(|program| program.ends_with(PROGRAM));
    Some(text.lines().find_map(program).unwrap_or(false))
}

/// Whether the Secret Service is turned on.
pub(crate) fn is_on() -> bool {
    file().and_then(|file| starts_ours(&file)).unwrap_or(false)
}
