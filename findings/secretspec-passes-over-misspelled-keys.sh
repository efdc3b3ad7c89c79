#!/usr/bin/env bash
# secretspec passes over keys that it does not know, at the root of a manifest, in [project] and in a secret.
#
# A slip such as `requierd = false` or `as_paht = true` changes what a manifest means, and nothing says so: the secret
# stays required, the value goes into the environment instead of a file. In other tables of the same file ([defaults], a
# ref) unknown keys are refused. Seen with secretspec 0.21.1 from crates.io.
#
# What follows for us: in secretspec.toml every key that is not known is an error, with file, line and key
# (project::places::faults_are_told_by_file_line_and_key_and_no_value_is; the cases strict-* of tests/manifests).
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
unknown = 1

[project]
name = "p"
revision = "1.0"
unknown = 1

[profiles.default]
A = { description = "a", requierd = false, as_paht = true }
TOML
: >stored.env
export SECRETSPEC_REASON=test HOME=$work
report=$("$program" check --json --provider dotenv:stored.env 2>/dev/null || true)
printf '%s\n' 'expected: an error that names the keys' "came: $report"
grep -q '"status": "missing_required"' <<<"$report" && grep -q '"as_path": false' <<<"$report"
echo 'as described'
