#!/usr/bin/env bash
# A read-only mount over a file ends when somebody outside replaces the file by renaming another one over it: in the mount
# namespace of the sandbox the new file is there, as writable as its directory. git, editors and package managers replace
# files that way. So a sandbox that lets a program write to a checkout, but not to .git/config, stops doing so with the first
# `git config` outside.
#
# What one would expect: mount_namespaces(7) says that what happens in one namespace does not reach another, and that mounts
# of a more privileged namespace are locked together. rename(2) says EBUSY for a mount point; but only one of the same
# namespace, since Linux 3.18 ("detach_mounts").
#
# Seen with: Linux 6.18, bubblewrap 0.8.0 (Debian's 0.8.0-2+deb12u1).
#
# What follows: after a sandbox has ended, it is looked at whether what was mounted read-only was replaced, and that is said
# (test `fence::checkout::settings_that_are_replaced_from_outside_meanwhile_are_told`).
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd "$dir" && apt-get download -q bubblewrap=0.8.0-2+deb12u1 >/dev/null && dpkg-deb -x bubblewrap_*.deb package)
bwrap() { "$dir/package/usr/bin/bwrap" "$@"; }
bwrap --version
uname -r
echo before >"$dir/file"
bwrap --unshare-user --ro-bind / / --dev /dev --bind "$dir" "$dir" --ro-bind "$dir/file" "$dir/file" sh -c '
    cd "$0"
    echo x 2>/dev/null >>file && echo "came: writable at the start" || echo "read-only at the start, as expected"
    : >ready
    until [ -e go ]; do sleep 0.05; done
    echo written >>file 2>/dev/null && exit 7
    exit 0' "$dir" &
until [ -e "$dir/ready" ]; do sleep 0.05; done
echo after >"$dir/new"
mv "$dir/new" "$dir/file"
: >"$dir/go"
status=0
wait $! || status=$?
echo "expected: read-only until the sandbox ends"
if [ "$status" -eq 7 ]; then
    echo "came: the sandbox wrote to it: $(tr '\n' ' ' <"$dir/file")"
    exit 0
fi
echo "came: read-only"
exit 1
