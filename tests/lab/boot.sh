#!/bin/sh
# Boots the machine's own systemd as process 1 of namespaces of its own, on an overlay whose upper side is memory: what
# happens inside leaves nothing outside. `tests/src/lab.rs` runs this and says how the lab is used.
#
#   unshare --mount --propagation private -- sh boot.sh
#
# One line on the standard output, the process id of the lab's process 1, says that it was
# started. The lab ends with the standard input, or with this script, however that ends. Exit status 77: this machine
# lacks something; what, is the last line of the standard error.
set -eu
umask 022

# Units that would act on the kernel all share, or wait for hardware that is not there.
FOREIGN='systemd-sysctl systemd-modules-load systemd-binfmt systemd-udevd systemd-udev-trigger systemd-udev-settle
    systemd-random-seed systemd-timesyncd systemd-networkd systemd-resolved systemd-hwdb-update systemd-firstboot
    systemd-pstore systemd-remount-fs systemd-machine-id-commit kmod-static-nodes e2scrub_reap'

lacks() {
    echo "$1" >&2
    exit 77
}

# Runs as process 1, with the root file system of the machine around it; becomes systemd.
inside() {
    root=$1/root
    # /proc is still that of the machine, and so is the number in it.
    read -r pid _ </proc/self/stat

    mkdir "$1/upper" "$1/work" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root" || lacks 'no overlay can be mounted'
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc" || lacks 'no /proc can be mounted'
    mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys" || lacks 'no /sys can be mounted'
    mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup" || lacks 'no cgroup2 can be mounted'
    mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        : >"$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"

    : >"$root/etc/fstab"
    # Names must be found whatever a container image has made of these.
    chmod 755 "$root" "$root/etc"
    chmod 644 "$root/etc/passwd" "$root/etc/group" "$root/etc/nsswitch.conf"
    rm -f "$root/etc/machine-id"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    units=$root/etc/systemd/system
    mkdir -p "$units"
    # Whatever the machine has enabled does not start.
    rm -rf "$units"/*.wants "$root"/etc/systemd/user/*.wants
    for unit in $FOREIGN; do ln -sfn /dev/null "$units/$unit.service"; done
    for unit in systemd-journald-audit.socket proc-sys-fs-binfmt_misc.automount dev-hugepages.mount \
        dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount; do ln -sfn /dev/null "$units/$unit"; done
    cat >"$units/lab.target" <<'UNIT'
[Unit]
Description=The lab is up
Requires=basic.target
Wants=dbus.socket systemd-logind.service systemd-user-sessions.service
After=basic.target dbus.socket systemd-logind.service systemd-user-sessions.service
UNIT

    mkdir -p "$root/.machine"
    cd "$root"
    pivot_root . .machine
    umount -l /.machine
    # Without it systemd 252 leaves $CREDENTIALS_DIRECTORY empty.
    mount --make-rshared /
    hostname lab
    ip link set lo up 2>/dev/null || true
    echo "$pid"
    exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
        /lib/systemd/systemd --system --unit=lab.target --log-target=journal </dev/null >/dev/null 2>&1
}

if [ "${1:-}" = inside ]; then
    inside "$2"
fi

dir=$(mktemp -d)
mount -t tmpfs -o mode=755 lab "$dir" || lacks 'no tmpfs can be mounted'
mkdir "$dir/cgroup" "$dir/lab"
mount -t cgroup2 cgroup2 "$dir/cgroup" || lacks 'no cgroup2 can be mounted'
# Left by labs whose script was killed.
for old in "$dir"/cgroup/secretsd-lab-*; do
    if [ ! -d "/proc/${old##*-}" ] && grep -qs 'populated 0' "$old/cgroup.events"; then
        find "$old" -depth -type d -exec rmdir {} + || true
    fi
done
cgroup=$dir/cgroup/secretsd-lab-$$
mkdir "$cgroup" || lacks 'no cgroup can be made'

# What runs in the background has no standard input of its own.
exec 3<&0
# In its cgroup before it enters the cgroup namespace, of which this becomes the root.
sh -c 'echo $$ >"$1/cgroup.procs" && exec setpriv --pdeathsig KILL \
    unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup -- sh "$2" inside "$3"' \
    sh "$cgroup" "$0" "$dir/lab" </dev/null 3<&- &
lab=$!

# The standard input ends with the process that booted the lab.
{ cat >/dev/null <&3; kill -KILL "$lab" 2>/dev/null; } &
waiter=$!
# Nobody may be left to read what is said from here on.
exec >/dev/null 2>&1 3<&-
# An interrupt from the terminal is meant for the process that booted the lab, too; what it left is still cleared up.
trap : HUP INT TERM
status=0
wait "$lab" || status=$?
kill -KILL "$lab" "$waiter" 2>/dev/null || true
# Its last processes may still be ending.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.1
done
umount --lazy "$dir/cgroup" "$dir"
rmdir "$dir"
exit "$status"
