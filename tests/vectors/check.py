#!/usr/bin/env python3
"""Opens a vault of format 1 without the daemon, verifies all that the format promises, and prints as JSON what is in
it: names, versions and the SHA-256 of values, never a value; and access tokens, of which the vault has digests alone.

    check.py VAULT KEYFILE [--anchor ANCHOR]
    check.py VAULT --recovery KEY

The vault must not be in use, and its log must be empty, as after a clean stop.
"""

import argparse
import hashlib
import json
import pathlib
import sqlite3
import sys

import format1
from format1 import RECORD_KINDS, SLOT_KINDS, NotAuthentic

# What an audit entry may hold, and what of it only one about a denial may.
DENIAL_FIELDS = {"refusal", "count", "until", "dropped"}
AUDIT_FIELDS = DENIAL_FIELDS | {
    *("time", "action", "uid", "pid", "comm", "exe", "unit", "token"),
    *("names", "purpose", "command", "reason", "outcome"),
}


def demand(condition, what):
    if not condition:
        raise NotAuthentic(what)


def rows(database, table, columns):
    found = database.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
    return [dict(zip(columns, row)) for row in found]


def check(vault, kind, secret, anchor=None):
    log = pathlib.Path(f"{vault}-wal")
    demand(not log.exists() or log.stat().st_size == 0, "the log is not empty: stop the daemon first")
    # Immutable, so that not even a lock file is made beside the vault.
    database = sqlite3.connect(f"file:{vault}?immutable=1", uri=True)
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    demand((application, version) == (format1.APPLICATION_ID, format1.FORMAT), "not a vault of this format")

    (header,) = rows(database, "header", ["vault", "lineage", "epoch", "mac"])
    slots = rows(
        database, "slot", ["id", "kind", "memory_kib", "passes", "lanes", "salt", "wrapped", "sealed"]
    )
    tried = (
        format1.unwrap(slot, secret, header["vault"], header["epoch"]) for slot in slots if slot["kind"] == kind
    )
    data = next((data for data in tried if data), None)
    demand(data, "the key opens no slot")
    keys = format1.Keys(data, header["vault"], header["epoch"])
    demand(keys.header_mac(header["lineage"], slots) == header["mac"], "the header or a slot was changed")
    for slot in slots:
        json.loads(keys.open("slot", slot["id"], 0, slot["sealed"]))

    (row,) = rows(database, "manifest", ["generation", "sealed"])
    manifest = format1.parse_manifest(
        keys.open("manifest", header["lineage"], row["generation"], row["sealed"])
    )
    demand(manifest["generation"] == row["generation"], "the manifest is of another generation")
    demand(manifest["header_mac"] == header["mac"], "the manifest is of another header")

    records = rows(database, "record", ["kind", "id", "version", "sealed"])
    counts = {name: sum(row["kind"] == kind for row in records) for name, kind in RECORD_KINDS.items()}
    demand(counts == manifest["counts"], "rows were added or removed")
    tags = (keys.row_tag(row["kind"], row["id"], row["version"], row["sealed"]) for row in records)
    demand(format1.tally(tags) == manifest["tally"], "rows were changed or put back")

    before, actions = bytes(32), []
    for sequence, row in enumerate(rows(database, "audit", ["sequence", "sealed", "mac"]), 1):
        before = keys.audit_mac(before, sequence, row["sealed"])
        demand((row["sequence"], row["mac"]) == (sequence, before), f"the audit log is broken at {sequence}")
        entry = json.loads(keys.open("audit", format1.u64(sequence), sequence, row["sealed"]))
        demand(set(entry) <= AUDIT_FIELDS, f"audit entry {sequence} has other fields")
        denied = entry["outcome"] == "denied"
        demand(denied or not set(entry) & DENIAL_FIELDS, f"audit entry {sequence} is no denial and says why")
        actions.append(entry["action"])
    demand((len(actions), before) == (manifest["audit_count"], manifest["audit_head"]), "the audit log is cut off")

    if anchor:
        expected = keys.anchor(header["lineage"], manifest["generation"])
        demand(pathlib.Path(anchor).read_bytes() == expected, "the anchor is of another state")

    names = {kind: name for name, kind in RECORD_KINDS.items()}
    secrets, values, tokens, grants = {}, {}, {}, []
    for row in records:
        kind = names[row["kind"]]
        plaintext = keys.open(kind, row["id"], row["version"], row["sealed"])
        if kind == "secret":
            secrets[row["id"]] = (row["version"], json.loads(plaintext))
        elif kind == "value":
            digest = hashlib.sha256(plaintext[8:]).hexdigest()
            values.setdefault(row["id"], {})[row["version"]] = digest
        elif kind == "token":
            token = json.loads(plaintext)
            tokens[token.pop("name")] = token
        elif kind == "credential":
            grant = json.loads(plaintext)
            grants.append({"unit": grant["unit"], "secrets": grant["secrets"], "version": row["version"]})
    return {
        "epoch": header["epoch"],
        "slots": sorted(slot["kind"] for slot in slots),
        "audit": actions,
        "tokens": tokens,
        "credentials": sorted(grants, key=lambda grant: grant["unit"]),
        "secrets": [
            {
                "name": meta["name"],
                "version": version,
                "deleted": "deleted_at" in meta,
                "sha256": values[row_id][meta["value_version"]],
                "versions": values[row_id],
            }
            for row_id, (version, meta) in sorted(secrets.items(), key=lambda item: item[1][1]["name"])
        ],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("vault")
    parser.add_argument("key_file", nargs="?")
    parser.add_argument("--recovery")
    parser.add_argument("--anchor")
    given = parser.parse_args()
    if (given.key_file is None) == (given.recovery is None):
        parser.error("exactly one key is expected")
    if given.recovery:
        kind, secret = SLOT_KINDS["recovery"], format1.recovery_key(given.recovery)
    else:
        kind, secret = SLOT_KINDS["key_file"], pathlib.Path(given.key_file).read_bytes()
    try:
        found = check(given.vault, kind, secret, given.anchor)
    except NotAuthentic as reason:
        sys.exit(f"check.py: {reason}")
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
