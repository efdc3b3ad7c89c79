"""What a service can do, as JSON: run under the daemon's directives, all of them or one at a time."""

import ctypes
import errno
import json
import mmap
import os
import socket

libc = ctypes.CDLL(None, use_errno=True)


def outcome(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"


# By their numbers on x86-64 and on machines with the generic table.
MACHINE = os.uname().machine
NUMBERS = {
    "x86_64": {"keyctl": 250, "personality": 135, "ptrace": 101, "sched_setscheduler": 144, "unshare": 272},
}.get(MACHINE, {"keyctl": 219, "personality": 92, "ptrace": 117, "sched_setscheduler": 119, "unshare": 97})


def call(name, *arguments):
    def action():
        if libc.syscall(NUMBERS[name], *arguments) == -1:
            raise OSError(ctypes.get_errno(), name)

    return outcome(in_child(action))


def in_child(action):
    """Does it in a process of its own, which passes an error on as its status."""

    def child():
        pid = os.fork()
        if pid == 0:
            try:
                action()
            except OSError as error:
                os._exit(error.errno)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            raise OSError(errno.EINTR, "killed")
        if status:
            raise OSError(os.waitstatus_to_exitcode(status), "failed")

    return child


def foreign_call():
    """getpid of i386, which a 64-bit process may call on x86-64."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


def write(path):
    def action():
        with open(path, "w"):
            pass
        os.remove(path)

    return outcome(action)


def set_user_id(path):
    def action():
        with open(path, "w"):
            pass
        try:
            os.chmod(path, 0o4700)
        finally:
            os.remove(path)

    return outcome(action)


def connect_inet():
    with socket.socket(socket.AF_INET) as inet:
        inet.bind(("127.0.0.1", 0))


def read_only(path):
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def status():
    with open("/proc/self/status") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


home, runtime = os.environ["HOME"], os.environ["XDG_RUNTIME_DIR"]
of = status()
facts = {
    "write home": write(f"{home}/probe"),
    "write vault": write(f"{home}/.local/share/secretsd/probe"),
    "write anchor": write(f"{home}/.local/state/secretsd/probe"),
    "write runtime": write(f"{runtime}/secretsd/probe"),
    "read-only /": read_only("/"),
    "read-only /proc/sys": read_only("/proc/sys"),
    "read-only cgroups": read_only("/sys/fs/cgroup"),
    "others' /tmp": os.path.exists("/tmp/marker"),
    "others' /dev": os.path.exists("/dev/marker"),
    "read modules": outcome(lambda: os.listdir("/usr/lib/modules")),
    "read kernel log": outcome(lambda: os.close(os.open("/proc/kmsg", os.O_RDONLY))),
    "socket inet": outcome(connect_inet),
    "socket netlink": outcome(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()),
    "socket unix": outcome(lambda: socket.socket(socket.AF_UNIX).close()),
    "interfaces": sorted(line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line),
    "memory that is written and run": outcome(
        lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    ),
    "set-user-id": set_user_id(f"{runtime}/secretsd/probe"),
    "new user namespace": call("unshare", 0x10000000),
    "personality": call("personality", 0x0008),
    "real time": call("sched_setscheduler", 0, 1, ctypes.byref(ctypes.c_int(1))),
    "batch scheduling": call("sched_setscheduler", 0, 3, ctypes.byref(ctypes.c_int(0))),
    "trace": call("ptrace", 0, 0, 0, 0),
    "foreign call": outcome(in_child(foreign_call)) if MACHINE == "x86_64" else "none",
    "session keyring": libc.syscall(NUMBERS["keyctl"], 0, -3, 0),
    "umask": of["Umask"].strip(),
    "no new privileges": of["NoNewPrivs"].strip(),
    "seccomp": of["Seccomp"].strip(),
    "bounding set": int(of["CapBnd"], 16),
    "core limit": [line.split()[4:6] for line in open("/proc/self/limits") if line.startswith("Max core")][0],
}
for kind in ("ipc", "mnt", "net", "user", "uts"):
    facts[f"namespace {kind}"] = os.readlink(f"/proc/self/ns/{kind}")
print(json.dumps(facts))
