#!/usr/bin/env bash
# s3s-fs answers 200 to two uploads of one name that both say `If-None-Match: *`, if the second begins before the first has
# ended: it looks whether the name is there when an upload begins, and not when it is stored. The later one replaces the
# earlier one, which was answered as created.
#
# What one would expect: S3's own guide ("How to prevent object overwrites with conditional writes") says that of several such
# uploads the first to finish succeeds, and the others get 412 Precondition Failed; so programs use it as a lock. One after
# the other it does so here, too.
#
# Seen with: s3s-fs 0.14.1 (crates.io, feature `binary`), rustc 1.95.0. Building it takes some two minutes.
#
# What follows: nothing that several machines write to a store rests on a condition. An object's name has the hash of its
# bytes (`fleet/src/name.rs`), so that who writes the same name writes the same (docs/design/machines.md; test
# `sync::fleet::three_machines_have_one_vault_by_s3s_fs`).
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT
cargo install --quiet --locked --features binary --root "$work" --target-dir "$work/target" s3s-fs@0.14.1
"$work/bin/s3s-fs" --version
mkdir -p "$work/data/bucket"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$work/bin/s3s-fs" --host 127.0.0.1 --port "$port" "$work/data" >/dev/null 2>&1 &
server=$!
until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
answers=$(python3 - "$port" <<'PYTHON'
import socket
import sys
import time

def begin(name):
    stream = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    head = f"PUT /bucket/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nIf-None-Match: *\r\nContent-Length: 8\r\n\r\n"
    stream.sendall(head.encode() + b"half")
    return stream

def end(stream, rest):
    stream.sendall(rest)
    return stream.recv(4096).split()[1].decode()

one = end(begin("in-turn"), b"-one"), end(begin("in-turn"), b"-two")
first, second = begin("at-once"), begin("at-once")
time.sleep(1)
both = end(first, b"-one"), end(second, b"-two")
print(*one, *both)
PYTHON
)
echo "expected: 200 412 200 412"
echo "came:     $answers, and what is stored: $(cat "$work/data/bucket/at-once")"
[ "$answers" = '200 412 200 200' ]
echo 'as described'
