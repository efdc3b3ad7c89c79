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
daemon=
clean_up() {
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
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

say "Who got what"
step "secretctl audit" reveal OPENAI_API_KEY

say "Locked: the keys are out of memory, and nothing is served"
step "secretctl lock"
step "curl -sS --unix-socket run/secretsd/secretsd.sock -H @header -w '\\nHTTP %{http_code}\\n' http://localhost/api/v1/user/secrets" \
    '"type":"vault_locked_error"' 'HTTP 403'

say "Done; the daemon is stopped and $demo removed"
