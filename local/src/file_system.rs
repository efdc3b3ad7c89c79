//! What some file systems lack, and how they are called. Each call here has a way around; where there is none, the error
//! names the file system.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, RenameFlags, fsync, linkat, renameat, renameat_with, statat, statfs, unlinkat};
use rustix::io::Errno;

/// File systems by the number that statfs(2) gives, those that people have: from its manual, and `magic.h` of Linux.
const NAMES: [(u64, &str); 26] = [
    (0x0000_ef53, "ext4"),
    (0x9123_683e, "btrfs"),
    (0x5846_5342, "XFS"),
    (0x2fc1_2fc1, "ZFS"),
    (0xca45_1a4e, "bcachefs"),
    (0xf2f5_2010, "F2FS"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x794c_7630, "overlay"),
    (0x0000_f15f, "eCryptfs"),
    (0x0000_4d44, "FAT"),
    (0x2011_bab0, "exFAT"),
    (0x5346_544e, "NTFS"),
    (0x7366_746e, "NTFS"),
    (0x0000_482b, "HFS+"),
    (0x3153_464a, "JFS"),
    (0x7371_7368, "squashfs"),
    (0xe0f5_e1e2, "EROFS"),
    (0x0000_9660, "ISO 9660"),
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (FUSE, "FUSE"),
];

/// Behind this number is any program.
const FUSE: u64 = 0x6573_5546;

/// What the file system is called that this path is on, or the directory nearest to it that exists.
pub fn name(path: &Path) -> String {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(system) = statfs(there) else { return "its file system".to_owned() };
    let number = u64::try_from(system.f_type).unwrap_or(0) & 0xffff_ffff;
    let known = NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    // Which program it is, the kernel knows by the mount.
    if let Some(mounted) = (number == FUSE || known.is_none()).then(|| mounted_as(there)).flatten() {
        return match (mounted.as_str(), mounted.strip_prefix("fuse.")) {
            (_, Some(program)) => format!("{program} (FUSE)"),
            ("fuseblk", _) => "NTFS or exFAT (FUSE)".to_owned(),
            ("fuse", _) => "FUSE".to_owned(),
            _ => mounted,
        };
    }
    known.map_or_else(|| format!("a file system of type {number:#x}"), str::to_owned)
}

/// Whether it is one of those that Linux has for its own files, which have all calls.
pub fn is_native(path: &Path) -> bool {
    ["ext4", "btrfs", "XFS", "ZFS", "bcachefs", "F2FS", "JFS", "tmpfs", "ramfs", "overlay"]
        .contains(&name(path).as_str())
}

/// The type of the innermost mount that holds this path, from `/proc/self/mountinfo` (proc(5)).
fn mounted_as(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let holding = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let at = PathBuf::from(before.split(' ').nth(4)?.replace("\\040", " "));
        path.starts_with(&at).then(|| (at.components().count(), after.split(' ').next().unwrap_or_default()))
    });
    // Of two mounts at one place the later one counts.
    holding.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind.to_owned())
}

/// Whether this error is one that a file system has for calls that it does not know.
pub fn is_lacking(error: &io::Error) -> bool {
    let lacking = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| lacking.contains(&code))
}

/// Gives a file another name, which must be free (`EXIST`), both in this directory or both absolute. In one step where the
/// file system can: bindfs, mergerfs, encfs and others know no `NOREPLACE` (renameat2(2)), so that a link comes first;
/// and where there are no links either, only the look before keeps what has this name.
pub fn rename_new(dir: impl AsFd, from: &Path, to: &Path) -> Result<(), Errno> {
    let dir = dir.as_fd();
    match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        outcome => return outcome,
    }
    match linkat(dir, from, dir, to, AtFlags::empty()) {
        Ok(()) => {
            return unlinkat(dir, from, AtFlags::empty()).inspect_err(|_| {
                let _ = unlinkat(dir, to, AtFlags::empty());
            });
        }
        Err(error @ (Errno::EXIST | Errno::NOENT)) => return Err(error),
        // Where there are no links this may be any error, `EIO` under rclone. What is really wrong, renaming will tell.
        Err(_) => {}
    }
    match statat(dir, to, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => renameat(dir, from, dir, to),
        Err(error) => Err(error),
    }
}

/// Makes the names in a directory durable, as far as its file system has a way to.
pub fn sync_dir(dir: impl AsFd) -> Result<(), Errno> {
    match fsync(dir) {
        // Some write names at once, and know of no more than that.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::CWD;

    use super::*;

    #[test]
    fn a_name_that_is_taken_is_not_given() {
        let base = tempfile::tempdir().unwrap();
        let path = |name: &str| base.path().join(name);
        fs::write(path("a"), "a").unwrap();
        fs::write(path("b"), "b").unwrap();
        assert_eq!(rename_new(CWD, &path("a"), &path("b")), Err(Errno::EXIST));
        rename_new(CWD, &path("a"), &path("c")).unwrap();
        assert_eq!((path("a").exists(), fs::read(path("c")).unwrap()), (false, b"a".to_vec()));
        assert_eq!(rename_new(CWD, &path("a"), &path("d")), Err(Errno::NOENT));
    }

    #[test]
    fn a_file_system_has_a_name() {
        assert_eq!(name(Path::new("/proc/self")), "proc");
        assert_eq!(name(Path::new("/proc/self/no/such/file")), "proc");
        assert!(!name(&std::env::temp_dir()).contains("of type"));
        assert!(mounted_as(Path::new("/proc")).as_deref() == Some("proc"));
    }
}
