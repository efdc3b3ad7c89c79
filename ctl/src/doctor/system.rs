//! The machine: whether what the daemon holds in memory stays there, and what the kernel can tell it.

use std::fs;
use std::path::Path;

use rustix::fs::statfs;
use rustix::process::{Resource, getrlimit};
use rustix::system::uname;
use secrets_proto::vault::MemoryLock;

use super::report::{Report, as_root};
use super::service::Service;
use super::setup::{SOCKET, Setup, find_unit};

/// Enough for the keys, a page each.
const ENOUGH: u64 = 64 << 10;

/// File systems in memory, by statfs(2): tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

pub(super) fn check(report: &mut Report, setup: &Setup, service: &Service) {
    memory(report, service);
    cores(report, setup);
    swap(report, setup);
    runtime(report, setup);
    kernel(report);
}

fn memory(report: &mut Report, service: &Service) {
    let limit = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX);
    let locked = match service.status() {
        Some(status) => status.memory_lock == MemoryLock::Ok,
        None => limit >= ENOUGH || Setup::is_root(),
    };
    if locked {
        return report.ok("memory-lock", "keys are kept out of swap");
    }
    let what = format!("keys cannot be kept out of swap; {} KiB may be locked", limit >> 10);
    let fix = as_root("sh -c 'echo \"* - memlock 8192\" > /etc/security/limits.d/secretsd.conf'");
    let why = "they could be written to the disk; after the change log in again and restart the daemon";
    report.warning("memory-lock", what, why, Some(fix));
}

fn cores(report: &mut Report, setup: &Setup) {
    let Some(daemon) = &setup.daemon else { return };
    if daemon.may_dump() == Some(true) {
        let why = "a crash would write the daemon's memory to a file";
        let fix = Some(format!("prlimit --pid {} --core=0", daemon.pid));
        return report.fault("cores", "the limit on core dumps of the daemon was raised", why, fix);
    }
    if daemon.is_dumpable() == Some(true) {
        let why = "other programs of yours can read the daemon's memory";
        return report.fault("cores", "the daemon's memory is readable", why, setup.restart());
    }
    report.ok("cores", "core dumps of the daemon are off");
}

fn swap(report: &mut Report, setup: &Setup) {
    let table = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let open: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|device| !is_safe(device))
        .collect();
    if open.is_empty() {
        return report.ok("swap", "there is no swap on an unencrypted disk");
    }
    if setup.daemon.as_ref().is_some_and(|daemon| never_swaps(daemon.pid)) {
        return report.ok("swap", "systemd keeps the daemon out of swap");
    }
    let what = format!("swap on {} is not known to be encrypted", open.join(", "));
    let why = "keys stay out of it, but values in use may not; the systemd unit keeps the whole daemon out";
    let fix = match find_unit(&setup.unit_dirs, SOCKET) {
        Some(_) => format!("systemctl --user enable --now {SOCKET}"),
        None => as_root("swapoff --all"),
    };
    report.warning("swap", what, why, Some(fix));
}

/// In memory, or encrypted by the device mapper.
fn is_safe(device: &str) -> bool {
    let path = Path::new(device).canonicalize().unwrap_or_else(|_| device.into());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let uuid = fs::read_to_string(format!("/sys/class/block/{name}/dm/uuid")).unwrap_or_default();
    name.starts_with("zram") || uuid.starts_with("CRYPT-")
}

/// Whether the process's group may use no swap, as the unit says.
fn never_swaps(pid: u32) -> bool {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let limit = Path::new("/sys/fs/cgroup").join(group).join("memory.swap.max");
    fs::read_to_string(limit).is_ok_and(|limit| limit.trim() == "0")
}

fn runtime(report: &mut Report, setup: &Setup) {
    let Some(kind) = file_system(&setup.runtime_dir) else { return };
    let shown = setup.runtime_dir.display();
    if IN_MEMORY.contains(&kind) {
        return report.ok("runtime-in-memory", format!("{shown} is in memory and gone at logout"));
    }
    let what = format!("{shown} is on a disk");
    let why = "the token, and files from `run --file`, would survive a reboot; log in so that XDG_RUNTIME_DIR is /run/user/UID";
    report.warning("runtime-in-memory", what, why, None);
}

/// Which kind of file system a path is on, by its number in statfs(2). That has 32 bits, whatever the type which
/// it comes in.
pub(super) fn file_system(path: &Path) -> Option<u64> {
    let kind = i128::from(statfs(path).ok()?.f_type) & 0xffff_ffff;
    u64::try_from(kind).ok()
}

fn kernel(report: &mut Report) {
    let uname = uname();
    let release = uname.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|word| word.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let what = if version >= (6, 5) {
        "identifies callers safely"
    } else if version >= (5, 3) {
        "identifies callers by a process id, which may be reused (6.5 does better)"
    } else {
        let why = "the daemon needs system calls from 5.9, such as close_range";
        return report.fault("kernel", format!("Linux {release} is too old"), why, None);
    };
    report.ok("kernel", format!("Linux {release} {what}"));
}
