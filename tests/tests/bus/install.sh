#!/usr/bin/env bash
# Fetches the tests that SecretStorage and keyring have of their own, and what these need, to where the tests look for
# them: in cargo's target directory.
set -euo pipefail
here=$(dirname "$0")
venv=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$here/../../../target}")/tmp/secret-service
done=$venv/secretstorage-3.5.0+keyring-25.7.0
[ ! -e "$done" ] || exit 0
rm -rf "$venv"
python3 -m venv "$venv"
pip() { "$venv/bin/python" -m pip --quiet --disable-pip-version-check --retries 1 "$@"; }
pip install pytest==8.4.2 SecretStorage==3.5.0 keyring==25.7.0
pip download --no-deps --no-binary :all: --dest "$venv/sources" SecretStorage==3.5.0 keyring==25.7.0
for source in "$venv"/sources/*.tar.gz; do tar --extract --gzip --file "$source" --directory "$venv/sources"; done
touch "$done"
