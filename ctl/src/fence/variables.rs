//! The environment of a fenced command: without what names sockets, which are not there, and with the temporary directory
//! that is.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Where the fence has a temporary directory.
pub(super) const TEMPORARY: &str = "/tmp";

/// What leads to agents, displays, buses, service managers and terminals around this one, by a number or name of their
/// own, or to programs that ask such.
const GONE: [&str; 27] = [
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "SSH_ASKPASS",
    "GIT_ASKPASS",
    "SUDO_ASKPASS",
    "GPG_AGENT_INFO",
    "GNOME_KEYRING_CONTROL",
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "DISPLAY",
    "XAUTHORITY",
    "WAYLAND_DISPLAY",
    "WAYLAND_SOCKET",
    "SESSION_MANAGER",
    "PULSE_SERVER",
    "DOCKER_HOST",
    "CONTAINER_HOST",
    "TMUX",
    "TMUX_PANE",
    "STY",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "TMP",
    "TEMP",
    "TEMPDIR",
];

/// What a command in a fence gets of these.
pub(super) fn fenced(mut variables: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    variables.retain(|(name, value)| {
        let of_ours = name.as_bytes().starts_with(b"SECRETSD_") && name != "SECRETSD_PROXY";
        !of_ours && name != "TMPDIR" && !GONE.iter().any(|gone| name == gone) && !names_socket(value)
    });
    variables.push(("TMPDIR".into(), TEMPORARY.into()));
    variables
}

/// Whether a value is the path of a socket, as such or in an address: `unix:path=/run/bus,guid=0`, `unix:///run/x.sock`.
fn names_socket(value: &OsStr) -> bool {
    let bytes = value.as_bytes();
    let Some(start) = bytes.iter().position(|byte| *byte == b'/') else { return false };
    let path = bytes.get(start..).unwrap_or_default();
    let path = path.iter().position(|byte| *byte != b'/').and_then(|at| path.get(at.checked_sub(1)?..));
    let path = path.and_then(|path| path.split(|byte| matches!(byte, b',' | b';' | b':')).next());
    path.is_some_and(|path| {
        fs::metadata(Path::new(OsStr::from_bytes(path))).is_ok_and(|file| file.file_type().is_socket())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_names_a_socket_is_gone_and_the_rest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let path = path.to_str().unwrap();
        let here = [
            ("A", path.to_owned()),
            ("B", format!("unix:path={path},guid=1")),
            ("C", format!("unix://{path}")),
            ("D", format!("{path},123,0")),
            ("SSH_AUTH_SOCK", "/nowhere".to_owned()),
            ("SECRETSD_SOCKET", "/nowhere".to_owned()),
            ("TMPDIR", "/elsewhere".to_owned()),
            ("SECRETSD_PROXY", "x".to_owned()),
            ("HOME", "/root".to_owned()),
            ("PATH", format!("/usr/bin:{path}")),
            ("URL", "https://example.com/".to_owned()),
            ("EMPTY", String::new()),
            ("SLASH", "/".to_owned()),
        ];
        let here = here.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let left: Vec<OsString> = fenced(here.to_vec()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["SECRETSD_PROXY", "HOME", "PATH", "URL", "EMPTY", "SLASH", "TMPDIR"]);
    }
}
