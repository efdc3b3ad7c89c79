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

# The packages that the directory $1 names, into $2.
node() {
    cmp --silent "$1/package-lock.json" "$2/installed" && return
    rm -rf "$2"
    mkdir -p "$2" && cp "$1/package.json" "$1/package-lock.json" "$2/" &&
        npm ci --prefix "$2" --ignore-scripts --no-audit --no-fund --silent --fetch-retries 1 &&
        cp "$1/package-lock.json" "$2/installed"
}

failed=0
python || failed=1
node . "$into/node" || failed=1
node ../mcp "$into/mcp" || failed=1
exit $failed
