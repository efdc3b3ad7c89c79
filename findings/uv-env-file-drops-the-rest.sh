#!/usr/bin/env bash
# uv runs the command although it has read only the beginning of its --env-file.
#
# One line that its parser does not take (here a name without "=", which node, docker and python-dotenv skip) ends
# the reading: this line and all after it are missing. It is a warning, not an error, and the command starts with
# status 0 to come. uv's manual says of --env-file only that variables are loaded from the file. Seen with uv 0.13.9
# from PyPI.
#
# What follows for us: `import` refuses such a line with its number, so that no file is taken over in part;
# ctl/src/dotenv/read.rs. A file for uv is better written by `export --format dotenv`, which has no such lines.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'uv==0.13.9'

printf '%s\n' 'BEFORE=1' 'NOTHING' 'AFTER=2' >"$work/env"
status=0
seen=$(env -i HOME="$work" PATH=/usr/bin:/bin "$work/venv/bin/uv" run --no-project --no-python-downloads \
    --python "$work/venv/bin/python" --env-file "$work/env" \
    python -c 'import os; print(os.environ.get("BEFORE"), os.environ.get("AFTER"))' 2>"$work/said") || status=$?

"$work/venv/bin/uv" --version
echo "expected: 1 2, or a status other than 0"
echo "came: $seen, status $status"
sed 's/^/said: /' "$work/said"
[ "$seen" = '1 None' ] && [ "$status" = 0 ]
grep -q '^warning:' "$work/said"
echo 'as described'
