#!/usr/bin/env bash
# git uses the answer of a credential helper that has failed.
#
# The exit status of a helper makes no difference: what it printed before it failed is taken as its answer.
# gitcredentials(7) does not speak of the status. Other programs that ask helpers do look at it: docker, cargo, the
# AWS SDKs. So a helper that prints as it goes, and finds out too late that it may not, has handed over what it
# printed. Seen with git 2.47.3.
#
# What follows for us: our helper prints nothing until it has all of the answer, and after an error
# it prints nothing at all; ctl/src/command/git_credential.rs.
set -euo pipefail
# Pinned: the packages of few systems can be had in more than one version.
[ "$(git --version)" = 'git version 2.47.3' ] || { echo 'git 2.47.3 is needed in PATH' >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/helper" <<'HELPER'
#!/bin/sh
[ "$1" = get ] && printf '%s\n' username=somebody password=something
exit 1
HELPER
chmod +x "$work/helper"
status=0
answer=$(printf '%s\n' protocol=https host=git.example '' |
    env -i PATH="$PATH" HOME="$work" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 \
        git -c credential.helper="$work/helper" credential fill) || status=$?

git --version
echo 'expected: no user name from a helper that ended with 1'
echo "came: $(tr '\n' ' ' <<<"$answer")and status $status"
[ "$status" = 0 ] && grep -qx 'password=something' <<<"$answer"
echo 'as described'
