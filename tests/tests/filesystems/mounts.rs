//! File systems of each kind, mounted for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A mount; dropping it unmounts.
#[derive(Debug)]
pub(crate) struct Mount {
    at: PathBuf,
    server: Option<Child>,
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: also while something still uses it, in a test that failed.
        quietly("umount", &["-l", &text(&self.at)]);
        if let Some(server) = &mut self.server {
            server.kill().ok();
            server.wait().ok();
        }
    }
}

/// How a file system comes to be there.
pub(crate) struct Kind {
    /// As `docs/filesystems.md` calls it.
    pub(crate) name: &'static str,
    /// Mounts it at the second path, with the first for what it keeps. `None` if that cannot be done here.
    mount: fn(&Path, &Path) -> Option<Option<Child>>,
}

/// Those that hold a vault.
pub(crate) const ALL: [Kind; 16] = [
    Kind { name: "ext4", mount: |keep, at| on_loop(keep, at, &["mkfs.ext4", "-q"], &["-t", "ext4"], 64) },
    Kind { name: "btrfs", mount: |keep, at| on_loop(keep, at, &["mkfs.btrfs", "-q"], &["-t", "btrfs"], 256) },
    Kind { name: "XFS", mount: |keep, at| on_loop(keep, at, &["mkfs.xfs", "-q"], &["-t", "xfs"], 512) },
    Kind { name: "tmpfs", mount: |_, at| done(&["mount", "-t", "tmpfs", "tmpfs", &text(at)]) },
    Kind { name: "overlay", mount: overlay },
    Kind { name: "NTFS (ntfs-3g)", mount: |keep, at| ntfs(keep, at, "permissions") },
    Kind { name: "NTFS (ntfs-3g, umask=077)", mount: |keep, at| ntfs(keep, at, "umask=077") },
    Kind { name: "exFAT (exfat-fuse, umask=077)", mount: |keep, at| exfat(keep, at, "umask=077") },
    Kind { name: "FAT (vfat, umask=077)", mount: |keep, at| fat(keep, at, "umask=077") },
    Kind { name: "bindfs", mount: |keep, at| done(&["bindfs", &text(keep), &text(at)]) },
    Kind { name: "encfs", mount: encfs },
    Kind { name: "gocryptfs", mount: gocryptfs },
    Kind { name: "mergerfs", mount: mergerfs },
    Kind { name: "sshfs", mount: sshfs },
    Kind {
        name: "rclone (umask=077)",
        mount: |keep, at| {
            rclone(keep, at, &["--umask", "077", "--file-perms", "0600", "--dir-perms", "0700"])
        },
    },
    Kind { name: "fuse2fs (ext4)", mount: fuse2fs },
];

/// Those that cannot hold one.
pub(crate) const UNFIT: [Kind; 6] = [
    Kind { name: "NTFS (ntfs-3g, umask=022)", mount: |keep, at| ntfs(keep, at, "umask=022") },
    Kind { name: "exFAT (exfat-fuse, umask=022)", mount: |keep, at| exfat(keep, at, "umask=022") },
    Kind { name: "FAT (vfat, umask=022)", mount: |keep, at| fat(keep, at, "umask=022") },
    Kind { name: "rclone", mount: |keep, at| rclone(keep, at, &[]) },
    Kind { name: "fusefat", mount: fusefat },
    Kind { name: "squashfs", mount: squashfs },
];

impl Kind {
    /// Mounts it in this directory; `None` if it cannot be had here.
    pub(crate) fn mount(&self, directory: &Path) -> Option<(Mount, PathBuf)> {
        let (keep, at) = (directory.join("keep"), directory.join("fs"));
        for path in [&keep, &at] {
            fs::create_dir_all(path).unwrap();
        }
        // Made before, so that what fails half-way is unmounted too.
        let mut mount = Mount { at: at.clone(), server: None };
        mount.server = (self.mount)(&keep, &at)?;
        wait_mounted(&at).then_some((mount, at))
    }
}

fn wait_mounted(at: &Path) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    let is_mounted = || fs::read_to_string("/proc/mounts").unwrap().contains(&format!(" {} ", text(at)));
    while !is_mounted() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn quietly(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether this command succeeds; it leaves its server, if it has one, on its own.
fn done(words: &[&str]) -> Option<Option<Child>> {
    quietly(words[0], &words[1..]).then_some(None)
}

fn image(keep: &Path, megabytes: u64) -> String {
    let image = keep.join("image");
    fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
    text(&image)
}

fn on_loop(keep: &Path, at: &Path, make: &[&str], mount: &[&str], megabytes: u64) -> Option<Option<Child>> {
    let image = image(keep, megabytes);
    let made = quietly(make[0], &[&make[1..], &[&image]].concat());
    if !made {
        return None;
    }
    done(&[&["mount", "-o", "loop"], mount, &[&image, &text(at)]].concat())
}

fn overlay(keep: &Path, at: &Path) -> Option<Option<Child>> {
    for name in ["lower", "upper", "work"] {
        fs::create_dir_all(keep.join(name)).unwrap();
    }
    let keep = text(keep);
    let options = format!("lowerdir={keep}/lower,upperdir={keep}/upper,workdir={keep}/work");
    done(&["mount", "-t", "overlay", "overlay", "-o", &options, &text(at)])
}

fn ntfs(keep: &Path, at: &Path, options: &str) -> Option<Option<Child>> {
    let image = image(keep, 64);
    if !quietly("mkntfs", &["-Q", "-q", "-F", &image]) {
        return None;
    }
    on_device("ntfs-3g", options, &image, at)
}

fn exfat(keep: &Path, at: &Path, options: &str) -> Option<Option<Child>> {
    let image = image(keep, 64);
    if !quietly("mkfs.exfat", &[&image]) {
        return None;
    }
    on_device("mount.exfat-fuse", options, &image, at)
}

/// By a program that wants a block device. That goes as soon as it is not used any more.
fn on_device(program: &str, options: &str, image: &str, at: &Path) -> Option<Option<Child>> {
    let script = format!(
        "device=$(losetup -f --show {image}) && {program} -o {options} $device {}; ended=$?; losetup -d $device; exit $ended",
        text(at)
    );
    done(&["sh", "-c", &script])
}

fn fat(keep: &Path, at: &Path, options: &str) -> Option<Option<Child>> {
    on_loop(keep, at, &["mkfs.vfat"], &["-t", "vfat", "-o", options], 64)
}

fn fusefat(keep: &Path, at: &Path) -> Option<Option<Child>> {
    let image = image(keep, 64);
    if !quietly("mkfs.vfat", &[&image]) {
        return None;
    }
    done(&["fusefat", "-o", "rw+", &image, &text(at)])
}

fn encfs(keep: &Path, at: &Path) -> Option<Option<Child>> {
    done(&["sh", "-c", &format!("echo pass | encfs --standard --stdinpass {} {}", text(keep), text(at))])
}

fn gocryptfs(keep: &Path, at: &Path) -> Option<Option<Child>> {
    let (keep, at) = (text(keep), text(at));
    let script = format!(
        "gocryptfs -init -q -scryptn 10 -extpass 'echo pass' {keep} && gocryptfs -q -extpass 'echo pass' {keep} {at}"
    );
    done(&["sh", "-c", &script])
}

fn mergerfs(keep: &Path, at: &Path) -> Option<Option<Child>> {
    for name in ["a", "b"] {
        fs::create_dir_all(keep.join(name)).unwrap();
    }
    done(&["mergerfs", &format!("{0}/a:{0}/b", text(keep)), &text(at)])
}

/// Over a pipe to the server's program, so that nothing listens.
fn sshfs(keep: &Path, at: &Path) -> Option<Option<Child>> {
    let script = keep.with_file_name("sftp");
    fs::write(&script, "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n").unwrap();
    quietly("chmod", &["755", &text(&script)]);
    let (server, from) = (format!("ssh_command={}", text(&script)), format!("x:{}", text(keep)));
    done(&["sshfs", "-o", &server, &from, &text(at)])
}

fn rclone(keep: &Path, at: &Path, options: &[&str]) -> Option<Option<Child>> {
    let (keep, at) = (text(keep), text(at));
    let mut command = Command::new("rclone");
    command.args(["mount", &keep, &at, "--vfs-cache-mode", "full", "--config", "/dev/null"]).args(options);
    command.args(["--cache-dir", &format!("{keep}.cache")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok().map(Some)
}

fn fuse2fs(keep: &Path, at: &Path) -> Option<Option<Child>> {
    let image = image(keep, 64);
    if !quietly("mkfs.ext4", &["-q", &image]) {
        return None;
    }
    done(&["fuse2fs", "-o", "fakeroot", &image, &text(at)])
}

fn squashfs(keep: &Path, at: &Path) -> Option<Option<Child>> {
    let (tree, image) = (keep.join("tree"), text(&keep.join("image")));
    for name in ["data", "state"] {
        fs::create_dir_all(tree.join(name)).unwrap();
    }
    if !quietly("mksquashfs", &[&text(&tree), &image, "-quiet"]) {
        return None;
    }
    done(&["mount", "-t", "squashfs", "-o", "loop,ro", &image, &text(at)])
}
