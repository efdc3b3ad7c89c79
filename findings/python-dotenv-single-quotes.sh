#!/usr/bin/env bash
# python-dotenv puts variables into values that stand in single quotes.
#
# In a shell, single quotes keep every character (POSIX.1-2024, XCU 2.2.2), and other readers of dotenv files follow
# it there. python-dotenv 1.1.1 replaces ${NAME}, and ${NAME:-default}, in every value, however it is quoted: with
# what an earlier line or the environment of the reader holds, or with nothing. A password that holds such text comes
# out as another one, without a word.
#
# What follows for us: no spelling of a dotenv line keeps ${…} for this reader; docs/using.md says so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'python-dotenv==1.1.1'

cat >"$work/env" <<'ENV'
OTHER=replaced
PLAIN='a${OTHER}b'
ABSENT='a${NOT_SET_ANYWHERE:-default}b'
ENV
shell=$(env -i bash -c '. "$1"; printf "%s %s" "$PLAIN" "$ABSENT"' bash "$work/env")
python=$(env -i "$work/venv/bin/python" -c '
import sys
from dotenv import dotenv_values
values = dotenv_values(sys.argv[1])
print(values["PLAIN"], values["ABSENT"])' "$work/env")

echo "bash $(bash -c 'echo "$BASH_VERSION"'): $shell"
echo "python-dotenv $("$work/venv/bin/pip" show python-dotenv 2>/dev/null | sed -n 's/^Version: //p'): $python"
# shellcheck disable=SC2016
[ "$shell" = 'a${OTHER}b a${NOT_SET_ANYWHERE:-default}b' ]
[ "$python" = 'areplacedb adefaultb' ]
echo 'as described'
