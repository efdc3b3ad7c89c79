//! A world with a directory to work in, and commands in a fence there.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::harness::skip;
use secretsd_tests::process;

use crate::world::World;

/// A vault, hosts, and a directory `project` in the home.
pub struct Place {
    pub world: World,
    pub project: PathBuf,
}

impl Place {
    /// Says aloud if there can be no fence here.
    pub fn new(test: &str) -> Option<Self> {
        if let Some(reason) = no_fence() {
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            skip(test, reason);
            return None;
        }
        let world = World::new(test)?;
        world.rule(&["--host", &world.host()]);
        let project = world.env.private_dir("home/project");
        Some(Self { world, project })
    }

    /// Runs a command in the fence.
    pub fn run(&self, command: &[&str]) -> CtlOutput {
        self.run_with(&[], command)
    }

    /// The same with more arguments of `proxy run`.
    pub fn run_with(&self, arguments: &[&str], command: &[&str]) -> CtlOutput {
        run(&mut self.command(arguments, command))
    }

    /// The same, not run yet.
    pub fn command(&self, arguments: &[&str], command: &[&str]) -> Command {
        let mut all = vec!["-s", "KEY", "--fence"];
        all.extend(arguments);
        let mut command = self.world.command_with(&all, command);
        command.current_dir(&self.project);
        command
    }

    /// git in the project, outside.
    pub fn git(&self, arguments: &[&str]) -> String {
        let mut git = self.world.env.command("git");
        git.args([
            "-c",
            "user.name=me",
            "-c",
            "user.email=me@example.com",
            "-c",
            "protocol.file.allow=always",
        ]);
        let (_, output) = process::run(git.args(arguments).current_dir(&self.project), b"");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a file below the project.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.project.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> CtlOutput {
    let (pid, output) = process::run(command, b"");
    CtlOutput::of(pid, output)
}

/// Why there can be no fence here, if so.
fn no_fence() -> Option<&'static str> {
    let mut bwrap = Command::new("bwrap");
    bwrap.args([
        "--unshare-all",
        "--disable-userns",
        "--unshare-user",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "true",
    ]);
    match bwrap.output() {
        Err(_) => Some("bubblewrap is not installed"),
        Ok(output) if output.status.success() => None,
        Ok(_) => Some("bubblewrap can build no fence here"),
    }
}
