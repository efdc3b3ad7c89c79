//! A disk that is soon full.

use std::io;
use std::process::{Child, Command, Stdio};

use crate::Env;

/// A mount namespace of its own with a small file system over the vault's directories; both are gone with the process
/// that holds it, which ends with this one at the latest.
#[derive(Debug)]
pub struct Small {
    holder: Child,
}

impl Small {
    /// Why there can be none here, if so.
    pub fn unavailable() -> Option<&'static str> {
        let tried = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
        (!tried.is_ok_and(|output| output.status.success())).then_some("mounting needs root and unshare")
    }

    /// Mounts one of so many KiB, as `disk` in the environment's directory.
    pub fn mount(env: &Env, kib: u64) -> Self {
        let disk = env.private_dir("disk");
        let script = format!(
            "mount -t tmpfs -o mode=0700,size={kib}k none '{disk}' && mkdir -m 700 '{disk}/data' '{disk}/state' && echo && cat",
            disk = disk.display()
        );
        let mut command = env.command("unshare");
        command.args(["-m", "sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().unwrap();
        let mut ready = [0];
        io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut ready).unwrap();
        Self { holder }
    }

    /// A program's command, inside.
    pub fn inside(&self, env: &Env, words: &[&str]) -> Command {
        let mut command = env.command("nsenter");
        command.args(["-m", "-t", &self.holder.id().to_string(), "--"]).args(words);
        command
    }

    /// The daemon's command, with the vault on the small file system.
    pub fn daemon(&self, env: &Env) -> Command {
        let (data, state) = (env.path("disk/data"), env.path("disk/state"));
        let daemon = [env.programs().daemon, "--data-dir", data.to_str().unwrap(), "--state-dir"];
        let mut command = self.inside(env, &daemon);
        command.arg(state);
        command
    }

    /// Runs a program inside, which must succeed.
    #[track_caller]
    pub fn run(&self, env: &Env, words: &[&str]) {
        let output = self.inside(env, words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        self.holder.wait().ok();
    }
}
