#!/usr/bin/env bash
# `skopeo logout` and `podman logout` end with a stack overflow if a credential helper fails.
#
# A helper that cannot erase a login says why on its standard output and ends with an exit code (the protocol of
# docker-credential-helpers). Login and pull show that line. Logout compares the error, which holds another list of
# errors, with a known one, and the comparison calls itself without end: thousands of lines of a Go stack, exit code 2,
# and the line of the helper is not among what a person sees. Expected: the line, and exit code 1 or 125. Seen with
# skopeo 1.9.3 and podman 4.3.1 of Debian 12; the fault is in a library of theirs.
#
# What follows for us: nothing can be done from a helper that may not say that it has erased what it has not; docs/helpers.md
# tells to unlock before a logout.
set -euo pipefail
# Pinned: the packages of few systems can be had in more than one version.
[ "$(skopeo --version)" = 'skopeo version 1.9.3' ] || { echo 'skopeo 1.9.3 is needed in PATH' >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/docker-credential-failing" <<'HELPER'
#!/bin/sh
[ "$1" = get ] && { echo '{"ServerURL":"","Username":"me","Secret":"x"}'; exit 0; }
echo 'the store is locked'
exit 1
HELPER
chmod +x "$work/docker-credential-failing"
echo '{"credHelpers": {"registry.example": "failing"}}' >"$work/auth.json"

skopeo --version
status=0
env -i HOME="$work" PATH="$work:$PATH" skopeo logout --authfile "$work/auth.json" registry.example \
    >"$work/said" 2>&1 || status=$?
echo "status $status, $(wc -l <"$work/said") lines, the first two:"
head -n 1 "$work/said"
grep -m 1 '^fatal error' "$work/said"
grep -q '^fatal error: stack overflow' "$work/said" && [ "$status" = 2 ]
echo 'as described'
