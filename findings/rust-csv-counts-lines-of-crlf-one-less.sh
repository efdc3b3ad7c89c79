#!/usr/bin/env bash
# The Rust crate csv says of a record that it begins one line earlier than it does, if lines end with CRLF.
#
# `csv::Position::line` is documented as the line number of a record, from 1. Lines of CSV end with CRLF (RFC 4180, 2). csv
# 1.4.0 begins the next record behind the CR, before the LF: of a file with three lines the third record is said to be on
# line 2. With LF alone it is on line 3. An editor that is told to go there shows the wrong record.
#
# What follows for us: an import of CSV counts lines itself (import/src/read/table.rs), so that a fault names the right
# one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "lines"
version = "0.0.0"
edition = "2024"

[dependencies]
csv = "=1.4.0"

[workspace]
TOML
cat >"$work/src/main.rs" <<'RUST'
fn main() {
    for (name, text) in [("LF", "a,b\n1,2\n3,4\n"), ("CRLF", "a,b\r\n1,2\r\n3,4\r\n")] {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let lines: Vec<u64> =
            reader.records().map(|record| record.unwrap().position().unwrap().line()).collect();
        println!("{name}: {lines:?}");
    }
}
RUST
seen=$(cargo run --quiet --manifest-path "$work/Cargo.toml")

echo 'csv 1.4.0'
echo "$seen"
[ "$seen" = $'LF: [1, 2, 3]\nCRLF: [1, 1, 2]' ]
echo 'as described'
