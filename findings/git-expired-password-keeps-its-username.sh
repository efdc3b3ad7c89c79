#!/usr/bin/env bash
# git drops an expired password, and keeps the user name that came with it.
#
# A credential helper may say when a password ends (password_expiry_utc, gitcredentials(7)); git then treats one that
# has ended as not given and asks the next helper. It asks with the first helper's user name, and sends the two
# together: the old account with the new helper's password. A helper that answers by host alone gives its token to
# another account's name. Seen with git 2.47.3 of Debian 13.
#
# What follows for us: our helper says when a password ends, and answers nothing at all once it has, no user name
# either; ctl/src/command/git_credential.rs.
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
cat >"$work/first" <<'HELPER'
#!/bin/sh
[ "$1" = get ] && printf '%s\n' username=old-account password=old password_expiry_utc=1000000000
exit 0
HELPER
cat >"$work/second" <<HELPER
#!/bin/sh
[ "\$1" = get ] && cat >"$work/question" && echo password=new
exit 0
HELPER
chmod +x "$work/first" "$work/second"
answer=$(printf '%s\n' protocol=https host=git.example '' |
    git -c credential.helper="$work/first" -c credential.helper="$work/second" credential fill)

git --version
echo "the second helper was asked: $(tr '\n' ' ' <"$work/question")"
echo "git's answer: $(tr '\n' ' ' <<<"$answer")"
grep -qx 'username=old-account' "$work/question"
grep -qx 'username=old-account' <<<"$answer" && grep -qx 'password=new' <<<"$answer"
echo 'as described'
