#!/usr/bin/env bash
# Installs the clients that the broker and the credential helpers are tested with, in the versions of requirements.txt and
# package-lock.json, where the tests look for them: in cargo's target directory. Nothing of theirs is executed by that.
set -euo pipefail
here=$(dirname "$0")
into=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$here/../../../target}")/tmp/clients
cd "$here"

# The packages of the file $1, into $2.
python() {
    cmp --silent "$1" "$2/requirements.txt" && return
    rm -rf "$2"
    python3 -m venv "$2" &&
        "$2/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --only-binary :all: \
            --no-deps --requirement "$1" &&
        cp "$1" "$2/"
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
python requirements.txt "$into/python" || failed=1
python ../helpers/requirements.txt "$into/helpers" || failed=1
node . "$into/node" || failed=1
node ../mcp "$into/mcp" || failed=1
exit $failed
