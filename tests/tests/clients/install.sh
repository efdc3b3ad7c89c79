#!/usr/bin/env bash
# Installs the clients that the broker is tested with, in the versions of requirements.txt and package-lock.json, where the
# tests look for them: in cargo's target directory. Nothing of theirs is executed by that.
set -euo pipefail
here=$(dirname "$0")
into=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$here/../../../target}")/tmp/clients
cd "$here"

python() {
    local venv=$into/python
    cmp --silent requirements.txt "$venv/requirements.txt" && return
    rm -rf "$venv"
    python3 -m venv "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --only-binary :all: \
            --no-deps --requirement requirements.txt &&
        cp requirements.txt "$venv/"
}

node() {
    cmp --silent package-lock.json "$into/node/installed" && return
    rm -rf "$into/node"
    mkdir -p "$into/node" && cp package.json package-lock.json "$into/node/" &&
        npm ci --prefix "$into/node" --ignore-scripts --no-audit --no-fund --silent --fetch-retries 1 &&
        cp package-lock.json "$into/node/installed"
}

failed=0
python || failed=1
node || failed=1
exit $failed
