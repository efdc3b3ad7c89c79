#!/usr/bin/env bash
# git uses the answer of a credential helper that has failed.
#
# The exit status of a helper makes no difference: what it printed before it failed is taken as its answer.
# gitcredentials(7) does not speak of the status. Other programs that ask helpers do look at it: docker, cargo, the
# AWS SDKs. So a helper that prints as it goes, and finds out too late that it may not, has handed over what it
# printed. Seen with git 2.47.3 of Debian 13.
#
# What follows for us: our helper prints nothing until it has all of the answer, and after an error
# it prints nothing at all; ctl/src/command/git_credential.rs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Pinned packages of Debian 13, unpacked here alone, whatever system this is that has apt.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] http://deb.debian.org/debian trixie main" >"$work/sources.list"
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/root"
apt=(apt-get -qq -o Dir::State="$work/state" -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache"
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=-)
(cd "$work" && "${apt[@]}" update && "${apt[@]}" download git=1:2.47.3-0+deb13u1 libc6=2.41-12+deb13u5 \
    libpcre2-8-0=10.46-1~deb13u3 zlib1g=1:1.3.dfsg+really1.3.1-1+deb13u1)
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
# With the C library of its own system.
libraries=$work/root/usr/lib/$(uname -m)-linux-gnu
git() {
    env -i PATH="$PATH" HOME="$work" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 \
        "$(echo "$libraries"/ld-linux-*.so.*)" --library-path "$libraries" "$work/root/usr/bin/git" "$@"
}
cat >"$work/helper" <<'HELPER'
#!/bin/sh
[ "$1" = get ] && printf '%s\n' username=somebody password=something
exit 1
HELPER
chmod +x "$work/helper"
status=0
answer=$(printf '%s\n' protocol=https host=git.example '' |
    git -c credential.helper="$work/helper" credential fill) || status=$?

git --version
echo 'expected: no user name from a helper that ended with 1'
echo "came: $(tr '\n' ' ' <<<"$answer")and status $status"
[ "$status" = 0 ] && grep -qx 'password=something' <<<"$answer"
echo 'as described'
