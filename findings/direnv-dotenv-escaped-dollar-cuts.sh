#!/usr/bin/env bash
# direnv's dotenv cuts a value at an escaped dollar sign.
#
# In double quotes a backslash takes its meaning from a dollar sign: in a shell (POSIX.1-2024, XCU 2.2.3), docker
# compose, dotenvy and systemd. In a file that direnv loads with its function `dotenv`, "pa\$word" becomes
# `pa\`: the dollar sign and what looks like a name behind it are replaced by nothing, although it was escaped, and
# the backslash stays. In single quotes the value is kept. Seen with direnv 2.32.1 of Debian 12.
#
# What follows for us: `export --format dotenv` writes a value with a dollar sign in single quotes wherever it can;
# docs/using.md recommends another way than a file for direnv.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Pinned, and unpacked here alone; the packages are of Debian 12.
(cd "$work" && apt-get download -qq direnv=2.32.1-2+b4 && for package in *.deb; do dpkg-deb -x "$package" root; done)
export PATH="$work/root/usr/bin:$PATH"
mkdir "$work/home" "$work/project"
cat >"$work/project/.env" <<'ENV'
DOUBLE="pa\$word"
SINGLE='pa$word'
ENV
echo dotenv >"$work/project/.envrc"
cd "$work/project"
direnv=(env -i HOME="$work/home" PATH="$PATH" direnv)
"${direnv[@]}" allow
# shellcheck disable=SC2016
show='printf "%s %s" "$DOUBLE" "$SINGLE"'
came=$("${direnv[@]}" exec . sh -c "$show" 2>/dev/null)
shell=$(env -i sh -c '. ./.env; '"$show")

echo "direnv $(direnv version)"
echo "sh: $shell"
echo "direnv: $came"
# shellcheck disable=SC2016
[ "$shell" = 'pa$word pa$word' ] && [ "$came" = 'pa\ pa$word' ]
echo 'as described'
