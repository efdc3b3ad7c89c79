#!/usr/bin/env bash
# Builds the tests that the crate secret-service has of its own, to where the test looks for them: in cargo's target
# directory. It takes minutes, so it is part of the long form.
set -euo pipefail
version=5.2.0
here=$(dirname "$0")
place=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$here/../../../target}")/tmp/secret-service-crate
done=$place/tests-of-$version
[ ! -e "$done" ] || exit 0
rm -rf "$place"
mkdir -p "$place/fetch/src"
cd "$place/fetch"
touch src/lib.rs
printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\nsecret-service = "=%s"\n\n[workspace]\n' \
    "$version" >Cargo.toml
source=$(cargo metadata --format-version 1 --quiet |
    python3 -c 'import json, sys; print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "secret-service"))')
cp -r "$(dirname "$source")" "$place/source"
cd "$place/source"
printf '\n[workspace]\n' >>Cargo.toml
built=$(CARGO_TARGET_DIR=$place/target CARGO_INCREMENTAL=0 cargo test --features rt-tokio-crypto-rust --lib --no-run --message-format json |
    python3 -c 'import json, sys; print(next(m["executable"] for line in sys.stdin for m in [json.loads(line)] if m.get("executable")))')
cp "$built" "$done"
rm -rf "$place/target" "$place/fetch"
