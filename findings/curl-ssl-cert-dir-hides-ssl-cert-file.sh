#!/usr/bin/env bash
# curl does not read SSL_CERT_FILE as soon as SSL_CERT_DIR is set, even to the directory that it reads anyway.
#
# Its manual names both, as does OpenSSL's, whose variables they are: there the two add up, and Python, Go and others
# that are built on it or follow it read both. curl 7.88 takes the first of CURL_CA_BUNDLE, SSL_CERT_DIR and
# SSL_CERT_FILE that is set and leaves the others alone. So an authority that is given by SSL_CERT_FILE is believed on one
# machine and not on another, where a login script sets SSL_CERT_DIR=/etc/ssl/certs. Seen with curl 7.88.1 with
# OpenSSL 3.0.19, and Python 3.11 beside it.
#
# What follows for us: the broker removes SSL_CERT_DIR and sets CURL_CA_BUNDLE besides; broker/src/environment.rs.
set -euo pipefail
work=$(mktemp -d)
# Pinned, and unpacked here alone; the packages are of Debian 12.
(cd "$work" && apt-get download -qq curl=7.88.1-10+deb12u15 libcurl4=7.88.1-10+deb12u15 && for package in *.deb; do dpkg-deb -x "$package" root; done)
export PATH="$work/root/usr/bin:$PATH"
libraries=$(echo "$work"/root/usr/lib/*-linux-gnu)
mkdir "$work/empty"
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$work/key" -out "$work/cert" 2>"$work/said"
cat >"$work/server.py" <<'SERVER'
import http.server
import ssl

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert", "key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
SERVER
(cd "$work" && exec python3 server.py >port 2>log) &
server=$!
trap 'kill "$server"; rm -rf "$work"' EXIT
until [ -s "$work/port" ]; do sleep 0.1; done
url=https://localhost:$(cat "$work/port")/

ask() {
    local status=0
    env -i PATH="$PATH" HOME="$work" "$@" >"$work/out" 2>&1 || status=$?
    echo "$status"
}
by_curl=(LD_LIBRARY_PATH="$libraries" curl -sS --resolve "localhost:$(cat "$work/port"):127.0.0.1" "$url")
by_python=(python3 -c "import urllib.request; urllib.request.urlopen('$url')")
result="file $(ask SSL_CERT_FILE="$work/cert" "${by_curl[@]}")"
for directory in /etc/ssl/certs "$work/empty"; do
    both=(SSL_CERT_FILE="$work/cert" SSL_CERT_DIR="$directory")
    result+=", both $(ask "${both[@]}" "${by_curl[@]}"), Python with both $(ask "${both[@]}" "${by_python[@]}")"
done

curl --version | head -n 1
python3 -c 'import ssl, sys; print("Python", sys.version.split()[0], ssl.OPENSSL_VERSION)'
echo 'expected: status 0 each time'
echo "came: $result"
[ "$result" = 'file 0, both 60, Python with both 0, both 60, Python with both 0' ]
echo 'as described'
