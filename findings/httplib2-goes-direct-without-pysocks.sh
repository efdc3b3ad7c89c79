#!/usr/bin/env bash
# httplib2 reads https_proxy and goes straight to the host all the same, unless PySocks is installed.
#
# Its manual says that the proxy comes from the environment by default (Http, proxy_info). PySocks is no dependency of
# its package. Without it a request for http:// raises an error that names it, and one for https:// goes past the proxy
# without a word. Google's client library for Python is built on it. Seen with httplib2 0.32.1 and PySocks 1.7.1
# from PyPI.
#
# What follows for us: docs/clients.md says that it works with PySocks only.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
pip() { "$work/venv/bin/pip" "$@" --disable-pip-version-check; }
pip install --quiet 'httplib2==0.32.1'

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

cat >"$work/ask.py" <<'ASK'
import sys

import httplib2

try:
    httplib2.Http().request(sys.argv[1] + "://host.invalid/")
except Exception as error:
    print(type(error).__name__, end="")
ASK
asked() {
    : >"$work/asked"
    local error
    error=$(env -i PATH="$PATH" http_proxy="http://127.0.0.1:$port" https_proxy="http://127.0.0.1:$port" \
        "$work/venv/bin/python" "$work/ask.py" "$1")
    echo "$1 ${error:-answered}, the proxy was asked $(wc -l <"$work/asked") times; "
}
without=$(asked https)
plain=$(asked http)
pip install --quiet 'PySocks==1.7.1'
with=$(asked https)

pip list 2>/dev/null | grep -i -E '^(httplib2|pysocks) '
echo 'expected: the proxy is asked once each time, or an error says what is missing'
echo "came: without PySocks $without$plain"
echo "with it $with"
[ "$without" = 'https ServerNotFoundError, the proxy was asked 0 times; ' ]
grep -q 'asked 0 times' <<<"$plain" && ! grep -q ServerNotFoundError <<<"$plain"
grep -q 'asked 1 times' <<<"$with"
echo 'as described'
