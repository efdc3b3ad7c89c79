//! The daemon with listening sockets that were handed over to it, as systemd does (sd_listen_fds(3)).

use std::path::Path;
use std::process::Command;

use crate::Env;

/// Binds the sockets `NAME=PATH` before `--`, and becomes the program behind it. What it opens itself lies below 100, so
/// that no number is taken twice.
const ACTIVATE: &str = r"
import fcntl, os, socket, sys
end = sys.argv.index('--')
sockets = [name.split('=', 1) for name in sys.argv[1:end]]
kept = []
for _, path in sockets:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(64)
    kept.append(fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 100))
    listener.close()
for number, descriptor in enumerate(kept, 3):
    os.dup2(descriptor, number)
    os.close(descriptor)
os.closerange(3 + len(kept), 100)
names = ':'.join(name for name, _ in sockets)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)), LISTEN_FDNAMES=names)
os.execv(sys.argv[end + 1], sys.argv[end + 1:])
";

/// The command that runs the daemon of `env` with these sockets, each a name as in `FileDescriptorName=` and a path. The
/// directories must be there, and the sockets not. Arguments that are added are the daemon's.
pub fn activated(env: &Env, sockets: &[(&str, &Path)]) -> Command {
    let mut command = env.command("python3");
    command.args(["-c", ACTIVATE]);
    command.args(sockets.iter().map(|(name, path)| format!("{name}={}", path.display())));
    command.arg("--").arg(env.programs().daemon);
    command
}
