//! What the kernel refuses to a fenced command (seccomp(2)): sockets that lead out past the namespaces, and calls that have
//! been ways out of them. The rest is allowed: a list of what programs need would have to be kept, and break them.
//!
//! | refused | because |
//! |---|---|
//! | `socket` but for IPv4, IPv6 and routes | Unix sockets lead to buses, agents and daemons, by paths and by what is mounted; other families lead to hardware or into seldom used code |
//! | `socketpair` of datagrams | such a socket can be connected elsewhere, or send elsewhere |
//! | `io_uring_*` | opens sockets without these calls |
//! | `ioctl` with `TIOCSTI`, `TIOCLINUX` | types at the terminal |
//! | `keyctl` and its kind | no namespace has keyrings of its own |
//! | namespaces, mounts, `setns`, `chroot` | nothing of the fence is to be built over |
//! | `open_by_handle_at` | opens files that no path here leads to |
//! | `bpf`, `userfaultfd`, `perf_event_open` | see or hold up more than their caller |
//! | modules, `kexec_*`, `reboot`, swap, clocks, `syslog`, … | need rights that nobody here has; a second wall |
//!
//! Refused is what fails with EPERM. What came after this list, and `clone3`, whose flags are out of sight, are as if the
//! kernel did not know them, so that programs do without. A call by another processor's table (32 bits) ends the process.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

/// Since Linux 5.3; by the same number on each processor.
const CLONE3: u32 = 435;

/// The calls of Linux 6.17 have lower numbers. On x86-64 those of x32, which have bit 30 set, have higher ones.
const UNKNOWN: u32 = 470;

/// Fails whatever its arguments are, on each processor.
const NEVER: [i64; 39] = [
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_fanotify_init,
];

const OPEN_TREE_ATTR: i64 = 467;

#[cfg(target_arch = "aarch64")]
const KEXEC_FILE_LOAD: i64 = 294;
#[cfg(not(target_arch = "aarch64"))]
const KEXEC_FILE_LOAD: i64 = 320;

/// Those of x86-64 alone: ports, and how it called quota files.
#[cfg(target_arch = "x86_64")]
const OF_PROCESSOR: [i64; 2] = [libc::SYS_iopl, libc::SYS_ioperm];
#[cfg(not(target_arch = "x86_64"))]
const OF_PROCESSOR: [i64; 0] = [];

/// The families of sockets that there are, and of netlink (netlink(7)) its first protocol, by which the C library asks for
/// addresses.
const FAMILIES: [i32; 3] = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Ends in a type of socket, below its flags.
const TYPE: u64 = 0xf;

/// What types at a terminal: TIOCSTI and TIOCLINUX of ioctl_tty(2).
const TYPING: [u64; 2] = [0x5412, 0x541c];

/// Each namespace's flag of clone(2), but that of time, which there is in unshare(2) alone.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// CLONE_NEWTIME of unshare(2).
const NEW_TIME: u64 = 0x80;

/// The filter, as the kernel takes it.
///
/// # Errors
/// On a processor that there is no filter for.
pub(super) fn filter() -> io::Result<Vec<u8>> {
    let program = program().map_err(io::Error::other)?;
    let bytes = program.iter().flat_map(|step| {
        let code = step.code.to_ne_bytes().into_iter();
        code.chain([step.jt, step.jf]).chain(step.k.to_ne_bytes())
    });
    Ok(bytes.collect())
}

fn program() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        NEVER.iter().chain(&OF_PROCESSOR).map(|call| (*call, Vec::new())).collect();
    let mut family = Vec::new();
    for known in FAMILIES {
        family.push(is(0, SeccompCmpOp::Ne, number(known))?);
    }
    let netlink = [is(0, SeccompCmpOp::Eq, number(libc::AF_NETLINK))?, is(2, SeccompCmpOp::Ne, 0)?];
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(family)?, SeccompRule::new(netlink.into())?]);
    let mut pair = vec![SeccompRule::new(vec![is(0, SeccompCmpOp::Ne, number(libc::AF_UNIX))?])?];
    // A raw Unix socket is one of datagrams, too.
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
        pair.push(SeccompRule::new(vec![is(1, SeccompCmpOp::MaskedEq(TYPE), number(kind))?])?);
    }
    rules.insert(libc::SYS_socketpair, pair);
    let typing = TYPING.map(|request| SeccompRule::new(vec![is(1, SeccompCmpOp::Eq, request)?]));
    rules.insert(libc::SYS_ioctl, typing.into_iter().collect::<Result<_, _>>()?);
    let spaces = NAMESPACES.map(number);
    let with = |flag: &u64| SeccompRule::new(vec![is(0, SeccompCmpOp::MaskedEq(*flag), *flag)?]);
    let flags = |flags: &[u64]| flags.iter().map(with).collect::<Result<Vec<_>, _>>();
    rules.insert(libc::SYS_clone, flags(&spaces)?);
    let all: Vec<u64> = spaces.into_iter().chain([NEW_TIME]).collect();
    rules.insert(libc::SYS_unshare, flags(&all)?);
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into()?;
    let known: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?.try_into()?;
    let mut program = unknown();
    program.extend(known);
    Ok(program)
}

/// What comes first: a call by a number that this list does not know, or that of `clone3`, is not implemented. The
/// instructions are those of linux/filter.h.
fn unknown() -> BpfProgram {
    const LOAD_WORD: u16 = 0x20;
    const IF_EQUAL: u16 = 0x15;
    const IF_GREATER_OR_EQUAL: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let not_implemented = u32::from(SeccompAction::Errno(libc::ENOSYS.cast_unsigned()));
    vec![
        // The number is the first field of struct seccomp_data.
        step(LOAD_WORD, 0, 0, 0),
        step(IF_GREATER_OR_EQUAL, 1, 0, UNKNOWN),
        step(IF_EQUAL, 0, 1, CLONE3),
        step(RETURN, 0, 0, not_implemented),
    ]
}

/// A condition on the lower half of an argument, which is all that the kernel looks at in these calls.
fn is(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

const fn number(value: i32) -> u64 {
    value.cast_unsigned() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do, by the few instructions that such a program has (linux/filter.h).
    fn decide(program: &[sock_filter], arch: u32, call: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend_from_slice(&call.to_le_bytes());
        data.extend_from_slice(&arch.to_le_bytes());
        data.extend_from_slice(&[0; 8]);
        arguments.iter().for_each(|argument| data.extend_from_slice(&argument.to_le_bytes()));
        let (mut at, mut accumulator) = (0, 0_u32);
        loop {
            let step = &program[at];
            at += 1;
            let jump = |is_so: bool| usize::from(if is_so { step.jt } else { step.jf });
            match step.code {
                0x20 => {
                    let from = step.k as usize;
                    accumulator = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                0x54 => accumulator &= step.k,
                0x05 => at += step.k as usize,
                0x15 => at += jump(accumulator == step.k),
                0x25 => at += jump(accumulator > step.k),
                0x35 => at += jump(accumulator >= step.k),
                0x06 => return step.k,
                code => panic!("an instruction {code:#x}"),
            }
        }
    }

    const ALLOWED: u32 = 0x7fff_0000;
    const KILLED: u32 = 0x8000_0000;
    const FAILS: u32 = 0x0005_0000;

    #[cfg(target_arch = "x86_64")]
    const OWN: u32 = 0xc000_003e;
    #[cfg(target_arch = "aarch64")]
    const OWN: u32 = 0xc000_00b7;

    fn own(call: i64, arguments: &[u64]) -> u32 {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        decide(&program().unwrap(), OWN, u32::try_from(call).unwrap(), all)
    }

    #[test]
    fn what_leads_out_is_refused_and_the_rest_is_not() {
        let refused = FAILS | 1;
        for call in NEVER.iter().chain(&OF_PROCESSOR) {
            assert_eq!(own(*call, &[]), refused, "{call}");
        }
        let with = |flag: i32| number(flag) | 17;
        let cases: [(i64, &[u64], u32); 29] = [
            (libc::SYS_socket, &[1, 1], refused),
            (libc::SYS_socket, &[1, 2 | 0o2_000_000], refused),
            // The kernel does not look at the upper half.
            (libc::SYS_socket, &[1 | 1 << 32, 1], refused),
            (libc::SYS_socket, &[2, 1], ALLOWED),
            (libc::SYS_socket, &[10, 2], ALLOWED),
            (libc::SYS_socket, &[16, 3, 0], ALLOWED),
            (libc::SYS_socket, &[16, 3, 4], refused),
            (libc::SYS_socket, &[17, 3], refused),
            (libc::SYS_socket, &[38, 5], refused),
            (libc::SYS_socket, &[40, 1], refused),
            (libc::SYS_socketpair, &[1, 1 | 0o2_004_000], ALLOWED),
            (libc::SYS_socketpair, &[1, 5], ALLOWED),
            (libc::SYS_socketpair, &[1, 2], refused),
            (libc::SYS_socketpair, &[1, 2 | 0o2_004_000], refused),
            (libc::SYS_socketpair, &[1, 3], refused),
            (libc::SYS_socketpair, &[30, 1], refused),
            (libc::SYS_ioctl, &[0, 0x5412], refused),
            (libc::SYS_ioctl, &[0, 0x5412 | 7 << 32], refused),
            (libc::SYS_ioctl, &[0, 0x541c], refused),
            (libc::SYS_ioctl, &[0, 0x5413], ALLOWED),
            (libc::SYS_clone, &[17], ALLOWED),
            (libc::SYS_clone, &[with(libc::CLONE_NEWUSER)], refused),
            (libc::SYS_clone, &[with(libc::CLONE_NEWNET)], refused),
            (libc::SYS_unshare, &[number(libc::CLONE_FS)], ALLOWED),
            (libc::SYS_unshare, &[NEW_TIME], refused),
            (libc::SYS_unshare, &[with(libc::CLONE_NEWUSER)], refused),
            (libc::SYS_clone3, &[], FAILS | libc::ENOSYS.cast_unsigned()),
            (i64::from(UNKNOWN), &[], FAILS | libc::ENOSYS.cast_unsigned()),
            (libc::SYS_openat, &[], ALLOWED),
        ];
        for (call, arguments, expected) in cases {
            assert_eq!(own(call, arguments), expected, "{call} {arguments:?}");
        }
    }

    #[test]
    fn no_other_table_of_calls_is_a_way_around() {
        let program = program().unwrap();
        // The 32-bit tables of both processors: socketcall, and socket.
        for (arch, call) in [(0x4000_0003, 102), (0x4000_0028, 281)] {
            assert_eq!(decide(&program, arch, call, [1, 1, 0, 0, 0, 0]), KILLED, "{arch:#x}");
        }
        let x32 = 0x4000_0000 | u32::try_from(libc::SYS_socket).unwrap();
        assert_eq!(decide(&program, OWN, x32, [1, 1, 0, 0, 0, 0]), FAILS | libc::ENOSYS.cast_unsigned());
    }
}
