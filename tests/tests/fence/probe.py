"""Tries to get out of a fence, each way by itself, and prints for each whether it leads out: `NAME out` or `NAME in`, with the
reason behind it. Started with the same arguments outside, all of them must lead out; so a way that is built wrongly is
noticed.

Arguments: a file with what there is to reach, as JSON.
"""

import ctypes
import errno
import fcntl
import json
import os
import pty
import socket
import struct
import subprocess
import sys
import termios

at = json.load(open(sys.argv[1]))
libc = ctypes.CDLL(None, use_errno=True)
machine = os.uname().machine


def call(x86, arm, *arguments):
    number = arm if machine == "aarch64" else x86
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def in_child(attempt):
    """In a process of its own, because it changes the process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            attempt()
            os.write(write, b"")
            os._exit(0)
        except BaseException as error:
            os.write(write, repr(error).encode())
            os._exit(1)
    os.close(write)
    said = os.read(read, 1000).decode()
    if os.waitpid(child, 0)[1] != 0:
        raise OSError(said or "ended")


def connects(family, kind, address):
    with socket.socket(family, kind) as stream:
        stream.settimeout(5)
        stream.connect(address)


def echoes(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(2)
        datagrams.sendto(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01", address)
        datagrams.recvfrom(100)


def types_at_terminal():
    def attempt():
        os.setsid()
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        fcntl.ioctl(slave, termios.TIOCSTI, b"x")

    in_child(attempt)


def writes(path, how="a"):
    with open(path, how) as file:
        file.write("#")


def by_link(target):
    link = at["project"] + "/link"
    try:
        os.symlink(target, link)
    except FileExistsError:
        pass
    try:
        writes(link)
    finally:
        os.unlink(link)


def by_hard_link():
    link = at["project"] + "/hard"
    os.link(at["outside"] + "/file", link)
    try:
        writes(link)
    finally:
        os.unlink(link)


def by_proc():
    # Directories of the process that started this, which the numbers of the first process and of the parent lead to.
    for process in (1, os.getppid()):
        try:
            return writes(f"/proc/{process}/root{at['outside']}/file")
        except OSError as error:
            failed = error
    raise failed


def datagram_by_pair():
    one, _other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"x", at["datagrams"])


def stream_by_pair():
    one, _other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.connect(at["datagrams"])


def attaches():
    if libc.ptrace(0x4206, at["process"], None, None) == -1:  # PTRACE_SEIZE
        raise OSError(ctypes.get_errno(), "ptrace")
    libc.ptrace(17, at["process"], None, None)  # PTRACE_DETACH


def names_key():
    call(248, 217, b"user", b"secretsd-probe", b"x", ctypes.c_size_t(1), ctypes.c_int(-2))


def finds_user_keys():
    call(250, 219, ctypes.c_int(0), ctypes.c_int(-4), ctypes.c_int(1))


def rings():
    call(425, 425, ctypes.c_uint(1), ctypes.create_string_buffer(120))


def unshares(flags):
    def attempt():
        if libc.unshare(flags) == -1:
            raise OSError(ctypes.get_errno(), "unshare")

    in_child(attempt)


def clones():
    child = call(56, 220, ctypes.c_ulong(0x10000000 | 17), None, None, None, None)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def clones_by_structure():
    arguments = struct.pack("<8Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0)
    child = call(435, 435, ctypes.create_string_buffer(arguments, 64), ctypes.c_size_t(64))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def mounts():
    def attempt():
        if libc.unshare(0x00020000) == -1 or libc.mount(b"x", at["project"].encode(), b"tmpfs", 0, None) == -1:
            raise OSError(ctypes.get_errno(), "mount")

    in_child(attempt)


def enters():
    def attempt():
        space = os.open("/proc/self/ns/uts", os.O_RDONLY)
        if libc.setns(space, 0) == -1:
            raise OSError(ctypes.get_errno(), "setns")

    in_child(attempt)


def opens_by_handle():
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
    number = ctypes.c_int()
    path = at["outside"].encode() + b"/file"
    call(303, 264, -100, path, handle, ctypes.byref(number), 0)
    directory = os.open(at["project"], os.O_RDONLY)
    os.close(call(304, 265, directory, handle, os.O_RDWR))


def gains_rights():
    if libc.prctl(39, 0, 0, 0, 0) != 0:  # PR_GET_NO_NEW_PRIVS
        raise OSError("setuid programs give no rights")


def sees_shared_memory():
    if libc.shmctl(int(at["shared_memory"]), 2, ctypes.create_string_buffer(512)) == -1:  # IPC_STAT
        raise OSError(ctypes.get_errno(), "shmctl")


def replaces_git():
    git = at["project"] + "/.git"
    os.rename(git, git + ".old")
    os.rename(git + ".old", git)


def creates(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink(path)


def replaces_settings():
    config = at["project"] + "/.git/config"
    content = open(config).read()
    with open(config + ".new", "w") as file:
        file.write(content)
    try:
        os.rename(config + ".new", config)
    except OSError:
        os.unlink(config + ".new")
        raise


def git_sets():
    subprocess.run(["git", "-C", at["project"], "config", "core.fsmonitor", "true"], check=True, capture_output=True)
    subprocess.run(["git", "-C", at["project"], "config", "--unset", "core.fsmonitor"], check=True)


def exists(path):
    os.stat(path)


inet, inet6, unix = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
stream = socket.SOCK_STREAM
git = at["project"] + "/.git"
attempts = {
    "tcp": lambda: connects(inet, stream, ("127.0.0.1", at["tcp"])),
    "tcp-other-loopback": lambda: connects(inet, stream, ("127.0.0.2", at["tcp"])),
    "tcp6": lambda: connects(inet6, stream, ("::1", at["tcp6"])),
    "udp-dns": lambda: echoes(inet, ("127.0.0.1", at["udp"])),
    "raw": lambda: socket.socket(inet, socket.SOCK_RAW, socket.IPPROTO_ICMP).close(),
    "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3).close(),
    "unix-abstract": lambda: connects(unix, stream, "\0" + at["abstract"]),
    "unix-in-project": lambda: connects(unix, stream, at["agent"]),
    "unix-datagrams-by-pair": datagram_by_pair,
    "unix-connected-by-pair": stream_by_pair,
    "bus": lambda: connects(unix, stream, at["bus"]),
    "secretsd-socket": lambda: connects(unix, stream, at["runtime"] + "/secretsd.sock"),
    "secretsd-use-socket": lambda: connects(unix, stream, at["runtime"] + "/use.sock"),
    "secretsd-token": lambda: open(at["runtime"] + "/token").close(),
    "secretsd-vault": lambda: exists(at["data"] + "/vault.db"),
    "secretsd-state": lambda: exists(at["state"] + "/anchor"),
    "secretsd-settings": lambda: exists(at["config"] + "/config.toml"),
    "key-of-ssh": lambda: exists(at["home"] + "/.ssh/id_ed25519"),
    "token-in-netrc": lambda: open(at["home"] + "/.netrc").read().index("x"),
    "temporary-files": lambda: exists(at["temporary"]),
    "shared-memory-files": lambda: exists(at["shm"]),
    "signal": lambda: os.kill(at["process"], 0),
    "process": lambda: exists(f"/proc/{at['process']}/fd"),
    "ptrace": attaches,
    "shared-memory": sees_shared_memory,
    "write": lambda: writes(at["outside"] + "/file"),
    "write-home": lambda: writes(at["home"] + "/.profile"),
    "write-by-link": lambda: by_link(at["outside"] + "/file"),
    "write-by-hard-link": by_hard_link,
    "write-by-proc": by_proc,
    "write-by-dots": lambda: writes(at["project"] + "/../outside/file"),
    "write-kernel": lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)),
    "write-devices": lambda: os.close(os.open("/sys/kernel/mm/transparent_hugepage/enabled", os.O_WRONLY)),
    "write-kernel-log": lambda: os.close(os.open("/dev/kmsg", os.O_WRONLY)),
    "write-groups": lambda: os.close(os.open(at["cgroup"], os.O_WRONLY)),
    "open-by-handle": opens_by_handle,
    "terminal-typing": types_at_terminal,
    "keyring-add": names_key,
    "keyring-of-user": finds_user_keys,
    "io-uring": rings,
    "unshare-user": lambda: unshares(0x10000000),
    "unshare-network": lambda: unshares(0x40000000),
    "clone-user": clones,
    "clone3-user": clones_by_structure,
    "setns": enters,
    "mount": mounts,
    "setuid": gains_rights,
    "git-hook": lambda: creates(git + "/hooks/pre-commit"),
    "git-settings": lambda: writes(git + "/config"),
    "git-settings-by-git": git_sets,
    "git-settings-replaced": replaces_settings,
    "git-directory-moved": replaces_git,
    "git-commondir": lambda: creates(git + "/commondir"),
    "git-hooks-path": lambda: writes(at["project"] + "/.husky/pre-commit"),
    "git-hook-by-link": lambda: writes(at["project"] + "/tools/hook"),
    "git-submodule-settings": lambda: writes(git + "/modules/sub/config"),
    "git-submodule-moved": lambda: (os.rename(git + "/modules", git + "/x"), os.rename(git + "/x", git + "/modules")),
    "git-written-directory": lambda: writes(at["more"] + "/.git/config"),
    "git-empty-directory": lambda: (os.mkdir(at["empty"] + "/.git"), os.rmdir(at["empty"] + "/.git")),
}

for name, attempt in attempts.items():
    try:
        attempt()
        print(name, "out", flush=True)
    except Exception as error:
        print(name, "in", type(error).__name__, error, flush=True)

# What a command is to do inside.
writes(at["project"] + "/written")
writes(at["more"] + "/written")
writes("/tmp/written")
socket.socketpair()
print("done")
