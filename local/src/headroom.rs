//! How much more memory this process can take before a limit is in its way: the memory limits of its control groups and of
//! those around them, at which the kernel ends processes, and its own limits, at which an allocation fails.
//!
//! What is read: `memory.*` of control groups, by the kernel's `cgroup-v2` and `cgroup-v1/memory` documents, and
//! `/proc/self/{cgroup,mountinfo,statm}` and `/proc/meminfo`, by proc(5). What is not there limits nothing.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// What is left below the tightest limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// So many bytes.
    pub bytes: u64,
    /// What the limit is called, like "the memory limit of its control group".
    pub limit: &'static str,
}

/// What is left for this process now; `None` if nothing limits it that is known here.
pub fn headroom() -> Option<Headroom> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let swap = swap_free(&read("/proc/meminfo"));
    let of_groups = groups(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
        .into_iter()
        .filter_map(|group| group.left(swap))
        .map(|bytes| Headroom { bytes, limit: "the memory limit of its control group" });
    of_groups.chain(own_limits(&read("/proc/self/statm"))).min_by_key(|headroom| headroom.bytes)
}

/// A directory of a control group that may have a limit.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    version: Version,
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The control groups for memory that this process is in, from its own to the outermost that can be seen.
fn groups(cgroup: &str, mountinfo: &str) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in cgroup.lines() {
        // ID:CONTROLLERS:PATH
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let version = match (id, controllers) {
            ("0", "") => Version::V2,
            (_, list) if list.split(',').any(|name| name == "memory") => Version::V1,
            _ => continue,
        };
        let Some((root, mount)) = mountinfo.lines().find_map(|line| mount_of(line, version)) else {
            continue;
        };
        // Of a path that does not lie below what is mounted, only the mount can be seen.
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let is_plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let dir = if is_plain { mount.join(below) } else { mount.to_owned() };
        let outwards = dir.ancestors().take_while(|dir| dir.starts_with(mount));
        groups.extend(outwards.map(|dir| Group { version, dir: dir.to_owned() }));
    }
    groups
}

/// Which part of the tree of control groups is mounted where, if this line says so: `… ROOT MOUNT … - TYPE SOURCE OPTIONS`.
fn mount_of(line: &str, version: Version) -> Option<(&str, &Path)> {
    let (mount, system) = line.split_once(" - ")?;
    let mut system = system.split(' ');
    let (kind, options) = (system.next()?, system.nth(1)?);
    let fits = match version {
        Version::V2 => kind == "cgroup2",
        Version::V1 => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    let mut fields = mount.split(' ').skip(3);
    fits.then_some((fields.next()?, Path::new(fields.next()?)))
}

impl Group {
    /// How many bytes more the processes in it may have; `swap` is free on the machine.
    fn left(&self, swap: u64) -> Option<u64> {
        let number = |name: &str| fs::read_to_string(self.dir.join(name)).ok()?.trim().parse::<u64>().ok();
        let stat = fs::read_to_string(self.dir.join("memory.stat")).unwrap_or_default();
        let cached = |names: [&str; 2]| names.iter().filter_map(|name| field(&stat, name)).sum::<u64>();
        match self.version {
            Version::V2 => {
                // "max" is no number, and no limit.
                let left = number("memory.max")?.saturating_sub(number("memory.current")?);
                let swap = match (number("memory.swap.max"), number("memory.swap.current")) {
                    (Some(most), Some(used)) => swap.min(most.saturating_sub(used)),
                    _ => swap,
                };
                Some(left.saturating_add(cached(["inactive_file", "active_file"])).saturating_add(swap))
            }
            Version::V1 => {
                let cached = cached(["total_inactive_file", "total_active_file"]);
                let left = number("memory.limit_in_bytes")?.saturating_sub(number("memory.usage_in_bytes")?);
                let left = left.saturating_add(cached).saturating_add(swap);
                let most = number("memory.memsw.limit_in_bytes").zip(number("memory.memsw.usage_in_bytes"));
                let most = most.map(|(most, used)| most.saturating_sub(used).saturating_add(cached));
                Some(most.map_or(left, |most| left.min(most)))
            }
        }
    }
}

/// The number behind a name, in lines of `NAME NUMBER`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// `SwapFree` of `/proc/meminfo`, in bytes.
fn swap_free(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("SwapFree:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
}

/// What is left below the limits that setrlimit(2) sets.
fn own_limits(statm: &str) -> impl Iterator<Item = Headroom> {
    let page = rustix::param::page_size() as u64;
    let used: Vec<u64> =
        statm.split(' ').map(|pages| pages.trim().parse::<u64>().unwrap_or(0).saturating_mul(page)).collect();
    // Size of the address space first, data and stack sixth.
    let limits = [
        (Resource::As, 0, "the limit on its address space (`ulimit -v`)"),
        (Resource::Data, 5, "the limit on its data (`ulimit -d`)"),
    ];
    limits.into_iter().filter_map(move |(resource, at, limit)| {
        let most = getrlimit(resource).current?;
        Some(Headroom { bytes: most.saturating_sub(used.get(at).copied().unwrap_or(0)), limit })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(version: Version, dir: impl Into<PathBuf>) -> Group {
        Group { version, dir: dir.into() }
    }

    #[test]
    fn groups_are_found_outwards() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = groups("0::/user.slice/app.scope\n", mounts);
        let dirs = ["/sys/fs/cgroup/user.slice/app.scope", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"];
        assert_eq!(found, dirs.map(|dir| group(Version::V2, dir)));

        // The first version, and both at once: only the lines for memory count.
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = groups("4:memory:/a\n1:cpu:/b\n0::/c\n", mounts);
        let dirs = [
            group(Version::V1, "/sys/fs/cgroup/memory/a"),
            group(Version::V1, "/sys/fs/cgroup/memory"),
            group(Version::V2, "/sys/fs/cgroup/unified/c"),
            group(Version::V2, "/sys/fs/cgroup/unified"),
        ];
        assert_eq!(found, dirs);

        // A container: what is mounted is its own part of the tree, by the path that the machine knows or by none.
        let mounts = "35 31 0:32 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let own = "/sys/fs/cgroup/memory";
        assert_eq!(groups("4:memory:/docker/1f\n", mounts), [group(Version::V1, own)]);
        for path in ["/../elsewhere", "/docker/1f/..", "/"] {
            assert_eq!(groups(&format!("4:memory:{path}\n"), mounts), [group(Version::V1, own)], "{path}");
        }
        assert_eq!(groups("0::/\n", ""), []);
        assert_eq!(groups("rubbish", "rubbish"), []);
    }

    #[test]
    fn what_is_left_counts_the_cache_and_swap_in() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let v2 = group(Version::V2, dir.path());
        assert_eq!(v2.left(0), None);
        write("memory.max", "max\n");
        write("memory.current", "40\n");
        assert_eq!(v2.left(0), None);
        write("memory.max", "100\n");
        assert_eq!((v2.left(0), v2.left(7)), (Some(60), Some(67)));
        write("memory.stat", "anon 1\ninactive_file 5\nactive_file 2\nactive_file_more 9\n");
        write("memory.swap.max", "3\n");
        write("memory.swap.current", "1\n");
        assert_eq!((v2.left(0), v2.left(7)), (Some(67), Some(69)));
        write("memory.current", "101\n");
        assert_eq!(v2.left(0), Some(7));

        let v1 = group(Version::V1, dir.path());
        assert_eq!(v1.left(0), None);
        write("memory.limit_in_bytes", "100\n");
        write("memory.usage_in_bytes", "40\n");
        write("memory.stat", "inactive_file 900\ntotal_inactive_file 5\ntotal_active_file 2\n");
        assert_eq!((v1.left(0), v1.left(8)), (Some(67), Some(75)));
        write("memory.memsw.limit_in_bytes", "100\n");
        write("memory.memsw.usage_in_bytes", "41\n");
        assert_eq!(v1.left(8), Some(66));
    }

    #[test]
    fn swap_is_read_in_bytes() {
        assert_eq!(swap_free("MemTotal: 9 kB\nSwapTotal:       8 kB\nSwapFree:        3 kB\n"), 3_072);
        assert_eq!(swap_free("no such line"), 0);
    }

    #[test]
    fn own_limits_count_what_is_used() {
        // Without a limit, nothing; with one, no more than it.
        for headroom in own_limits("1 1 1 1 0 1 0\n") {
            assert!(headroom.bytes > 0, "{headroom:?}");
        }
    }
}
