#!/usr/bin/env bash
# bun's fetch takes the proxy from HTTPS_PROXY or ALL_PROXY; bun's node:https does so only with NODE_USE_ENV_PROXY=1.
#
# One program may use both: what it asks by fetch is seen by the proxy, what a library asks by node:https is not, and
# nothing says so. bun's manual has HTTPS_PROXY under "Fetch", and calls node:https implemented. Seen with bun 1.4.5
# from npm.
#
# What follows for us: NODE_USE_ENV_PROXY is set for every program, not for Node alone; broker/src/environment.rs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $(uname -m) in
aarch64) cpu=aarch64 ;;
*) cpu=x64 ;;
esac
npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$work" "@oven/bun-linux-$cpu@1.4.5"
bun=$work/node_modules/@oven/bun-linux-$cpu/bin/bun

cat >"$work/proxy.py" <<'PROXY'
import socket

server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    with connection, open("asked", "a") as asked:
        asked.write(connection.recv(65536).split(b"\r\n")[0].decode() + "\n")
        asked.flush()
        connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
PROXY
# A proxy that writes down what it is asked and refuses it.
(cd "$work" && exec python3 proxy.py >port) &
proxy=$!
trap 'kill "$proxy"; rm -rf "$work"' EXIT
until [ -s "$work/port" ]; do sleep 0.1; done
port=$(cat "$work/port")

cat >"$work/ask.js" <<'ASK'
const https = require("node:https");
await fetch("https://fetch.invalid/").catch(() => {});
await new Promise((done) => https.get("https://https.invalid/").on("error", done).on("response", done));
process.exit(0);
ASK
asked() {
    : >"$work/asked"
    env -i PATH="$PATH" "$@" "$bun" "$work/ask.js"
    cut -d' ' -f2 "$work/asked" | sort -u | tr '\n' ' '
}
address=http://127.0.0.1:$port
alone=$(asked HTTPS_PROXY="$address")
with=$(asked HTTPS_PROXY="$address" NODE_USE_ENV_PROXY=1)

echo "bun $("$bun" --version)"
echo 'expected: the proxy is asked for both, by HTTPS_PROXY alone'
echo "came: $alone; with NODE_USE_ENV_PROXY=1: $with"
[ "$alone" = 'fetch.invalid:443 ' ] && [ "$with" = 'fetch.invalid:443 https.invalid:443 ' ]
echo 'as described'
