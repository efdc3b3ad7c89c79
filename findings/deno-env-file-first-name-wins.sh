#!/usr/bin/env bash
# Of two lines with the same name, Deno takes the first.
#
# A shell that reads the file takes the last, and so do node, docker, systemd, python-dotenv and others: people
# append a line to change a value. Of two files given by --env-file Deno takes the last, too. So a key that was
# renewed by an appended line stays the old one, without a word. Seen with Deno 2.9.8 from PyPI.
#
# What follows for us: `import` refuses a name that is there twice, instead of choosing; ctl/src/command/import.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'deno==2.9.8'

printf '%s\n' 'KEY=old' 'KEY=new' >"$work/one"
printf '%s\n' 'KEY=old' >"$work/two"
printf '%s\n' 'KEY=new' >"$work/three"
printf '%s\n' 'console.log(Deno.env.get("KEY"))' >"$work/show.ts"
deno=(env -i HOME="$work" DENO_NO_UPDATE_CHECK=1 "$work/venv/bin/deno" run --quiet --allow-env)
# shellcheck disable=SC2016
shell=$(env -i sh -c '. "$1"; printf %s "$KEY"' sh "$work/one")
lines=$("${deno[@]}" --env-file="$work/one" "$work/show.ts")
files=$("${deno[@]}" --env-file="$work/two" --env-file="$work/three" "$work/show.ts")

"${deno[0]}" -i "$work/venv/bin/deno" --version | head -n 1
echo "two lines: sh $shell, Deno $lines"
echo "two files: Deno $files"
[ "$shell" = new ] && [ "$lines" = old ] && [ "$files" = new ]
echo 'as described'
