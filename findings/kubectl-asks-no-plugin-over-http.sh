#!/usr/bin/env bash
# kubectl does not run a credential plugin for a cluster that it reaches over http, and does not say so.
#
# With an `exec` plugin in the kubeconfig and a server whose address begins with http, kubectl sends the request without a
# credential and reports what the server answers: "You must be logged in". The plugin is never started; no warning says
# that it is left out, not with -v=6 either. The manual ("Authenticating", "client-go credential plugins") does not speak of
# it. The same setup with https, or with Kubernetes's client for Python, runs the plugin. Who tries a plugin on a
# test server or through `kubectl proxy` looks for the fault in the plugin. Seen with kubectl 1.32.3 of Debian 13, and 1.32.4.
#
# What follows for us: the helper for kubectl is tested against a server with TLS (tests/tests/helpers/kube.rs), and
# docs/helpers.md says it.
set -euo pipefail
work=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
# Pinned packages of Debian 13, unpacked here alone, whatever system this is that has apt.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keyring] http://deb.debian.org/debian trixie main" >"$work/sources.list"
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/root"
apt=(apt-get -qq -o Dir::State="$work/state" -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache"
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=-)
(cd "$work" && "${apt[@]}" update && "${apt[@]}" download kubectl=1.32.3+ds-2)
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
export PATH="$work/root/usr/bin:$PATH"
cat >"$work/plugin" <<PLUGIN
#!/bin/sh
touch "$work/started"
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"x"}}'
PLUGIN
chmod +x "$work/plugin"
cat >"$work/server.py" <<'SERVER'
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def do_GET(self):
        self.send_response(200 if self.headers.get("Authorization") else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
SERVER
mkfifo "$work/port"
python3 "$work/server.py" >"$work/port" &
server=$!
read -r port <"$work/port"
cat >"$work/kubeconfig" <<CONFIG
{"apiVersion": "v1", "kind": "Config", "current-context": "x",
 "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:$port"}}],
 "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
 "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "$work/plugin",
   "interactiveMode": "Never"}}}]}
CONFIG
status=0
env -i HOME="$work" PATH="$PATH" kubectl -v=6 --kubeconfig "$work/kubeconfig" get --raw /version >"$work/said" 2>&1 || status=$?

kubectl version --client 2>/dev/null | sed -n 1p
echo 'expected: the plugin is started, or a word on why not'
echo "came: status $status, $([ -e "$work/started" ] && echo started || echo 'not started')"
tail -n 1 "$work/said" | sed 's/^/said last: /'
[ ! -e "$work/started" ] && [ "$status" = 1 ] && grep -q 'must be logged in' "$work/said"
if grep -qiE "plugin|exec" "$work/said"; then exit 1; fi
echo 'as described'
