//! Keeping what this process sees mounted as it is: what is mounted elsewhere from now on does not appear.

#![allow(unsafe_code, reason = "one system call, whose block says why it is sound")]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{DumpableBehavior, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Puts this process into a mount namespace of its own that gets nothing of what is mounted outside later
/// (mount_namespaces(7), `MS_PRIVATE`), by a user namespace in which it is the same user, so that it takes no rights. The
/// process must have one thread (unshare(2)), and nothing that others of its user must not read: it can be looked into.
///
/// # Errors
/// Where the system does not let its user make such namespaces.
fn keep_as_they_are() -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    // Otherwise the files below are root's.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    // SAFETY: of these flags none is FILES, by which a thread could lose descriptors of another.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }?;
    // user_namespaces(7): without it nobody may give groups away who has no rights outside.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    Ok(mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// Becomes a program that sees nothing of what is mounted later, if the system lets it; a program that sees that, otherwise.
/// Returns only if there is no such program.
pub fn become_apart(mut program: Command) -> io::Error {
    let _ = keep_as_they_are();
    program.exec()
}

/// Whether mounts appear in a process's namespace that are made outside later, by its mounts (proc(5), `mountinfo`): one that
/// has a master gets them.
pub fn follow_others(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| {
        let options = line.split(" - ").next().unwrap_or_default();
        options.split(' ').skip(6).any(|field| field.starts_with("master:") || field.starts_with("shared:"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_with_a_master_follows_it() {
        let line =
            |optional: &str| format!("36 35 98:0 /mnt1 /mnt2 rw,noatime {optional}- ext3 /dev/root rw\n");
        assert!(!follow_others(&line("")));
        assert!(!follow_others(&line("unbindable ")));
        assert!(follow_others(&format!("{}{}", line(""), line("master:1 "))));
        assert!(follow_others(&line("shared:2 ")));
    }
}
