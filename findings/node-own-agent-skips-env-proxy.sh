#!/usr/bin/env bash
# NODE_USE_ENV_PROXY=1 sends fetch and the default agent of node:https by HTTPS_PROXY, and no other agent.
#
# Node's manual says of the variable that requests are tunnelled over the proxy ("Command-line API",
# NODE_USE_ENV_PROXY). An https.Agent that a program or a library makes for itself goes straight to the host all the
# same, without a word: so does all of AWS's SDK for JavaScript, which has an agent of its own for its timeouts. Seen with
# node 24.21.0 from npm.
#
# What follows for us: docs/clients.md says of such agents that they go past the broker, and what to give them;
# unsupported.rs among the tests of clients has one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $(uname -m) in
aarch64) cpu=arm64 ;;
*) cpu=x64 ;;
esac
npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$work" "node-linux-$cpu@24.21.0"
node=$work/node_modules/node-linux-$cpu/bin/node

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
const ask = (name, options) => https.get(`https://${name}.invalid/`, options).on("error", () => {});
fetch("https://fetch.invalid/").catch(() => {});
ask("default", {});
ask("own", { agent: new https.Agent() });
ASK
env -i PATH="$PATH" HTTPS_PROXY="http://127.0.0.1:$port" NODE_USE_ENV_PROXY=1 "$node" "$work/ask.js"

"$node" --version
echo 'expected: the proxy is asked for fetch.invalid, default.invalid and own.invalid'
echo "came: $(cut -d' ' -f2 "$work/asked" | sort | tr '\n' ' ')"
[ "$(cut -d' ' -f2 "$work/asked" | sort -u | tr '\n' ' ')" = 'default.invalid:443 fetch.invalid:443 ' ]
echo 'as described'
