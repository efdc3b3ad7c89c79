#!/usr/bin/env bash
# honcho replaces \n and \t in single quotes by a line break and a tab.
#
# In a shell, single quotes keep every character (POSIX.1-2024, XCU 2.2.2), and other readers of such files follow it
# there. A Windows path or a generated password with \n or \t in it arrives changed, without a word. Seen with honcho
# 2.0.0 from PyPI.
#
# What follows for us: for honcho no quoting keeps a backslash before n or t; docs/using.md says for which readers
# `export --format dotenv` is written, and `run` needs no file at all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'honcho==2.0.0'

cat >"$work/env" <<'ENV'
WINDOWS='C:\new\table'
ENV
: >"$work/Procfile"
show='import os; print(os.environ["WINDOWS"].replace("\n", "<line break>").replace("\t", "<tab>"))'
# shellcheck disable=SC2016
shell=$(env -i PATH="$PATH" sh -c '. "$1"; export WINDOWS; python3 -c "$2"' sh "$work/env" "$show")
honcho=$(cd "$work" && "$work/venv/bin/honcho" --env "$work/env" run python3 -c "$show")

echo "honcho $("$work/venv/bin/pip" show honcho 2>/dev/null | sed -n 's/^Version: //p')"
printf '%s\n' "sh: $shell" "honcho: $honcho"
[ "$shell" = 'C:\new\table' ] && [ "$honcho" = 'C:<line break>ew<tab>able' ]
echo 'as described'
