#!/usr/bin/env bash
# Installs what others have that puts values into requests, or hands them to programs, where `make bench` looks for it: in
# cargo's target directory. What cannot be installed here is named, and is not measured then.
set -uo pipefail
here=$(realpath "$(dirname "$0")")
peers=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-$here/../../../target}")/tmp/peers
mkdir -p "$peers"

mitmproxy() {
    local pinned=mitmproxy==12.3.1 python
    grep --quiet --no-messages "$pinned" "$peers/mitmproxy/pinned" && return
    # It needs Python 3.12.
    for python in python3 python3.14 python3.13 python3.12; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2> /dev/null && break
    done
    rm -rf "$peers/mitmproxy"
    "$python" -m venv "$peers/mitmproxy" &&
        "$peers/mitmproxy/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 "$pinned" &&
        echo "$pinned" > "$peers/mitmproxy/pinned"
}

hudsucker() {
    cargo build --quiet --release --locked --manifest-path "$here/hudsucker/Cargo.toml" --target-dir "$peers/hudsucker-target" &&
        install "$peers/hudsucker-target/release/hudsucker-peer" "$peers/hudsucker"
}

varlock() {
    local pinned=varlock@1.20.0
    npm install --silent --no-audit --no-fund --no-save --prefix "$peers/varlock" "$pinned"
}

dotenvx() {
    npm install --silent --no-audit --no-fund --no-save --prefix "$peers/dotenvx" @dotenvx/dotenvx@2.38.2
}

rage() {
    cargo install --quiet --locked --root "$peers/rage" rage@0.12.1
}

for peer in mitmproxy hudsucker varlock dotenvx rage; do
    "$peer" || echo "$peer cannot be installed here" >&2
done
