#!/usr/bin/env bash
# Installs the store that the mover is tested with, moto's S3, in the versions of requirements.txt, where the tests look for it:
# in cargo's target directory.
set -euo pipefail
here=$(dirname "$0")
into=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$here/../../../target}")/tmp/stores
cd "$here"
cmp --silent requirements.txt "$into/requirements.txt" && exit
rm -rf "$into"
python3 -m venv "$into"
"$into/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --only-binary :all: --no-deps \
    --requirement requirements.txt
cp requirements.txt "$into/"
