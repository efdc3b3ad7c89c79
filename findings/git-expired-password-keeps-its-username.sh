#!/usr/bin/env bash
# git drops an expired password, and keeps the user name that came with it.
#
# A credential helper may say when a password ends (password_expiry_utc, gitcredentials(7)); git then treats one that
# has ended as not given and asks the next helper. It asks with the first helper's user name, and sends the two
# together: the old account with the new helper's password. A helper that answers by host alone gives its token to
# another account's name. Seen with git 2.47.3.
#
# What follows for us: our helper says when a password ends, and answers nothing at all once it has, no user name
# either; ctl/src/command/git_credential.rs.
set -euo pipefail
# Pinned: the packages of few systems can be had in more than one version.
[ "$(git --version)" = 'git version 2.47.3' ] || { echo 'git 2.47.3 is needed in PATH' >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
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
    env -i PATH="$PATH" HOME="$work" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 \
        git -c credential.helper="$work/first" -c credential.helper="$work/second" credential fill)

git --version
echo "the second helper was asked: $(tr '\n' ' ' <"$work/question")"
echo "git's answer: $(tr '\n' ' ' <<<"$answer")"
grep -qx 'username=old-account' "$work/question"
grep -qx 'username=old-account' <<<"$answer" && grep -qx 'password=new' <<<"$answer"
echo 'as described'
