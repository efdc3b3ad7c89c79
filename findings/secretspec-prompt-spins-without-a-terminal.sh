#!/usr/bin/env bash
# secretspec run with `prompt = true` and no terminal never ends: it asks nobody, again and again, on a whole processor.
#
# A secret with `prompt = true` is asked for when a command needs it. In a pipeline, a cron job or a CI there is nobody to
# ask; the program should fail there, as it does for a secret that is missing otherwise. It prints its question and loops
# until it is killed. Seen with secretspec 0.21.1 from crates.io.
#
# What follows for us: without a terminal `secretctl run` names what is missing and ends with 125
# (project::fill::what_is_to_be_asked_for_is_asked_when_a_command_needs_it); tests/manifests/record.py gives the program a
# time limit.
set -euo pipefail
version=0.21.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# SECRETSPEC names a program of that version that is there already: to build one takes long.
program=${SECRETSPEC-}
if [ -z "$program" ]; then
    cargo install --quiet secretspec --version "$version" --locked --no-default-features --features cli --root "$work"
    program=$work/bin/secretspec
fi
"$program" --version
[[ $("$program" --version) == *"$version"* ]]

cd "$work"
cat >secretspec.toml <<'TOML'
[project]
name = "p"
revision = "1.0"

[profiles.default]
A = { description = "a", prompt = true }
TOML
: >stored.env
export SECRETSPEC_REASON=test HOME=$work
code=0
# setsid takes the terminal away.
timeout 5 setsid --wait "$program" run --provider dotenv:stored.env -- true </dev/null >out 2>&1 || code=$?
echo 'expected: an error within a moment'
echo "came: exit code $code (124 is that of timeout, after 5 seconds)"
[ "$code" = 124 ]
echo 'as described'
