#!/usr/bin/env bash
# Python's keyring command takes nothing from a pipe if the line in it has no end.
#
# `keyring set SERVICE USER` reads the password from standard input where that is a pipe. One newline at the end is taken
# off (keyring's README, "Command-line Utility": a password can be piped in). keyring 23.9.3, the one of Debian 12, cuts off
# everything where there is none. So
# `printf %s "$token" | keyring set …` goes on to ask at the terminal, or ends with an error; with a newline behind it the
# password is stored. keyring 25.7.0 stores both.
#
# What follows for us: an import from a keyring takes off the one newline that `keyring get` puts behind a
# password (import/src/commands.rs), and its test puts passwords there by the library, not by the command.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'keyring==23.9.3' 'keyrings.alt==5.0.2'
export HOME=$work XDG_DATA_HOME=$work PYTHON_KEYRING_BACKEND=keyrings.alt.file.PlaintextKeyring
keyring=$work/venv/bin/keyring

printf 'kept\n' | "$keyring" set example.com with-end
printf 'lost' | setsid "$keyring" set example.com without-end 2>/dev/null || status=$?
with=$("$keyring" get example.com with-end)
without=$("$keyring" get example.com without-end || true)

echo "keyring $("$work/venv/bin/pip" show keyring 2>/dev/null | sed -n 's/^Version: //p')"
echo "with a newline: $with; without one: ${without:-nothing}, exit status ${status:-0}"
[ "$with" = kept ]
[ -z "$without" ]
[ "${status:-0}" -ne 0 ]
echo 'as described'
