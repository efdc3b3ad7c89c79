#!/usr/bin/env bash
# Shows the programs at work in a directory of its own, and fails when a step does not give what it should.
# Usage: tests/demo.sh DIRECTORY-OF-THE-PROGRAMS
set -euo pipefail

programs=$(cd "${1:?usage: tests/demo.sh DIRECTORY-OF-THE-PROGRAMS}" && pwd)
PATH=$programs:$PATH

# A socket's path has at most 107 bytes, so that a long runtime directory is no place for it.
base=${XDG_RUNTIME_DIR:-/tmp}
if [ ! -w "$base" ] || [ ${#base} -gt 60 ]; then base=/tmp; fi
demo=$(mktemp -d "$base/secretsd-demo.XXXXXX")
running=()
clean_up() {
    for process in "${running[@]}"; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$demo"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Nothing of the user's own settings or vault takes part.
for variable in "${!SECRETSD_@}"; do unset "$variable"; done
export HOME=$demo/home XDG_DATA_HOME=$demo/data XDG_STATE_HOME=$demo/state
export XDG_CONFIG_HOME=$demo/config XDG_RUNTIME_DIR=$demo/run NO_COLOR=1
mkdir -m 0700 "$HOME" "$XDG_DATA_HOME" "$XDG_STATE_HOME" "$XDG_CONFIG_HOME" "$XDG_RUNTIME_DIR"
socket=$XDG_RUNTIME_DIR/secretsd/secretsd.sock
cd "$demo"

say() { printf '\n# %s\n' "$*"; }

fail() {
    printf '\ndemo: %s\n' "$*" >&2
    if [ -s "$demo/log" ]; then
        printf 'the daemon'\''s log ends with:\n' >&2
        tail -n 20 "$demo/log" >&2
    fi
    exit 1
}

# step COMMAND TEXT…: shows and runs the command, which must succeed and print each of the texts.
step() {
    local command=$1 output status=0
    shift
    printf '$ %s\n' "$command"
    output=$(eval "$command" 2>&1) || status=$?
    [ -z "$output" ] || printf '%s\n' "$output"
    [ "$status" -eq 0 ] || fail "that ended with status $status"
    local text
    for text in "$@"; do
        case $output in
        *"$text"*) ;;
        *) fail "that should have printed: $text" ;;
        esac
    done
    last=$output
}

say "The daemon, on a throw-away directory: $demo"
printf '$ secretsd &\n'
secretsd 2>"$demo/log" &
daemon=$!
running+=("$daemon")
tries=0
until curl --silent --output /dev/null --unix-socket "$socket" http://localhost/healthz; do
    kill -0 "$daemon" 2>/dev/null || fail "the daemon has ended"
    tries=$((tries + 1))
    [ "$tries" -lt 200 ] || fail "the daemon does not answer"
    sleep 0.05
done

say "A vault, with a passphrase from standard input"
printf '%s' 'a passphrase for the demo' >"$demo/passphrase"
chmod 0600 "$demo/passphrase"
step "secretctl init --passphrase-file - < passphrase"
step "secretctl status" unlocked

say "Three secrets; their values come from standard input, never from the command line"
printf '%s' 'sk-proj-demo-AbCdEfGhIjKlMnOpQrStUvWxYz789' >"$demo/openai"
printf '%s' 'ghp_demo0123456789AbCdEfGhIjKlMnOpQrSt' >"$demo/github"
printf '%s' 'postgres://demo:demo@localhost/demo' >"$demo/database"
step "secretctl preset openai < openai"
step "secretctl set GITHUB_TOKEN --provider github < github"
step "secretctl set DATABASE_URL < database"
rm "$demo/openai" "$demo/github" "$demo/database"

say "What is stored: names, providers and masks"
step "secretctl list" OPENAI_API_KEY GITHUB_TOKEN DATABASE_URL 'sk-pro••••789'
case $last in
*AbCdEf*) fail "the list shows a value" ;;
esac

say "The same as JSON, by any HTTP client; the token is in a file, so that no process list shows it"
step "(umask 077; printf 'Authorization: Bearer %s\\n' \"\$(cat run/secretsd/token)\" > header)"
step "curl -sS --unix-socket run/secretsd/secretsd.sock -H @header http://localhost/api/v1/user/secrets" \
    '"masked_value":"sk-pro••••789"' '"total":3'

say "Without a token"
step "curl -sS --unix-socket run/secretsd/secretsd.sock -w '\\nHTTP %{http_code}\\n' http://localhost/api/v1/user/secrets" \
    '"type":"authentication_error"' 'HTTP 401'

say "A program that gets one secret, asked for by name, and no other"
step "secretctl run -s OPENAI_API_KEY -- sh -c 'echo \"the key has \${#OPENAI_API_KEY} characters, GITHUB_TOKEN is \${GITHUB_TOKEN-not set}\"'" \
    'the key has 42 characters, GITHUB_TOKEN is not set'

# A host with TLS on this machine, which writes down what key it was sent.
cat >"$demo/host.py" <<'END'
import http.server, ssl
class Host(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("host-got", "w") as got:
            print(self.headers["Authorization"], file=got)
        answer = b"hello, you are known here\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_): pass
host = http.server.HTTPServer(("127.0.0.1", 0), Host)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "cert.key")
host.socket = context.wrap_socket(host.socket, server_side=True)
with open("port", "w") as port:
    print(host.server_address[1], file=port)
host.serve_forever()
END
cat >"$demo/cert.cnf" <<'END'
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
commonName = demo
[extensions]
subjectAltName = DNS:localhost
basicConstraints = critical, CA:FALSE
END
if ! python3 -c 'import ssl' 2>/dev/null || ! command -v openssl >/dev/null; then
    say "SKIPPED: a program that uses a secret and never sees it, because python3 with ssl, or openssl, is not installed"
else
    say "A program that uses a secret and never sees it: it has a placeholder, and the host gets the value"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout cert.key -out cert.pem -days 1 -config cert.cnf 2>/dev/null
    python3 host.py &
    running+=("$!")
    tries=0
    until [ -s port ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "the host does not listen"
        sleep 0.05
    done
    port=$(cat port)
    step "secretctl proxy rule set OPENAI_API_KEY --host localhost:$port --private"
    # Only here is a host on this machine to be reached by the proxy.
    request="curl -sS --noproxy \"\" -H \"Authorization: Bearer \$OPENAI_API_KEY\" https://localhost:$port"
    step "SSL_CERT_FILE=cert.pem secretctl proxy run -s OPENAI_API_KEY -- sh -c 'echo \"\$OPENAI_API_KEY\"; $request'" \
        'sk-proj-ssdph' 'you are known here'
    case $last in
    *AbCdEf*) fail "the program has the value" ;;
    esac
    step "cat host-got" 'Bearer sk-proj-demo-AbCdEf'
    step "secretctl audit --name OPENAI_API_KEY | grep ' use'" "rule 1: GET localhost:$port/"
fi

say "Who got what"
step "secretctl audit" reveal OPENAI_API_KEY

say "Locked: the keys are out of memory, and nothing is served"
step "secretctl lock"
step "curl -sS --unix-socket run/secretsd/secretsd.sock -H @header -w '\\nHTTP %{http_code}\\n' http://localhost/api/v1/user/secrets" \
    '"type":"vault_locked_error"' 'HTTP 403'

say "Done; the daemon is stopped and $demo removed"
