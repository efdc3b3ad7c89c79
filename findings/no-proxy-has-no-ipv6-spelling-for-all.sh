#!/usr/bin/env bash
# No spelling of the loopback address of IPv6 in NO_PROXY is understood by all clients.
#
# node 24's two own clients want one each: node:https takes "::1", fetch takes "[::1]", and each sends the other
# spelling's requests to the proxy. Giving both is no way out: with "[::1]" anywhere in the list, httpx 0.28 raises
# InvalidURL on every request, whatever the host. No standard describes the variable; curl's manual, which others follow,
# has "an IP address" in it, without brackets. Seen with node 24.21.0 from npm and httpx 0.28.1 from PyPI.
#
# What follows for us: the broker sets "::1" alone, and understands a CONNECT to it; broker/src/environment.rs.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $(uname -m) in
aarch64) cpu=arm64 ;;
*) cpu=x64 ;;
esac
npm install --silent --ignore-scripts --no-audit --no-fund --prefix "$work" "node-linux-$cpu@24.21.0"
node=$work/node_modules/node-linux-$cpu/bin/node
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'httpx==0.28.1'

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

# Nobody listens there: what goes straight to it fails, and the proxy is not asked.
cat >"$work/ask.js" <<'ASK'
const https = require("node:https");
if (process.argv[2] === "fetch") fetch("https://[::1]:47110/").catch(() => {});
else https.get("https://[::1]:47110/").on("error", () => {});
ASK
cat >"$work/ask.py" <<'ASK'
import httpx

try:
    httpx.get("https://host.invalid/")
except httpx.ProxyError:
    print("proxied")
except Exception as error:
    print(type(error).__name__)
ASK
result=''
for list in ::1 '[::1]'; do
    result+="$list: "
    for client in https fetch; do
        : >"$work/asked"
        env -i PATH="$PATH" HTTPS_PROXY="http://127.0.0.1:$port" NO_PROXY="$list" NODE_USE_ENV_PROXY=1 \
            "$node" "$work/ask.js" "$client"
        way=direct
        [ ! -s "$work/asked" ] || way=proxied
        result+="$client $way, "
    done
    result+="httpx $(env -i PATH="$PATH" HTTPS_PROXY="http://127.0.0.1:$port" NO_PROXY="$list" \
        "$work/venv/bin/python" "$work/ask.py"); "
done

"$node" --version
"$work/venv/bin/pip" list --disable-pip-version-check 2>/dev/null | grep '^httpx '
echo 'expected: one of the two lists keeps https and fetch from the proxy, and lets httpx work for another host'
echo "came: $result"
[ "$result" = '::1: https direct, fetch proxied, httpx proxied; [::1]: https proxied, fetch direct, httpx InvalidURL; ' ]
echo 'as described'
