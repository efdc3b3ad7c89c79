#!/usr/bin/env bash
# Installs schemathesis, in the versions of requirements.txt, where the tests look for it: in cargo's target directory.
set -euo pipefail
here=$(dirname "$0")
venv=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$here/../../../target}")/tmp/schemathesis
cd "$here"
if ! cmp --silent requirements.txt "$venv/requirements.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --requirement requirements.txt
    cp requirements.txt "$venv/requirements.txt"
fi
