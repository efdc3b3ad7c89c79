#!/usr/bin/env python3
"""Opens a vault of format 1 without the daemon, verifies all that the format promises, and prints as JSON what is in
it: names, versions and the SHA-256 of values, never a value; and access tokens, of which the vault has digests alone.
What a newer program has added is printed as it is, fields by the record that they are in.

    check.py VAULT KEYFILE [--anchor ANCHOR]
    check.py VAULT --recovery KEY

The vault must not be in use, and its log must be empty, as after a clean stop.
"""

import argparse
import collections
import hashlib
import json
import pathlib
import sqlite3
import sys

import format1
from format1 import ITEM_KINDS, RECORD_KINDS, SLOT_KINDS, NewerVault, NotAuthentic

# The fields of each kind of record that holds an object.
FIELDS = {
    "secret": {
        *("name", "provider", "mask", "size", "created_at", "updated_at", "value_version"),
        *("note", "expires_at", "last_used_at", "deleted_at"),
    },
    "token": {
        *("name", "hash", "scopes", "secrets", "created_at", "expires_at", "rate_per_minute"),
        *("last_used_at", "made_by"),
    },
    "credential": {"unit", "secrets", "created_at", "updated_at"},
    "item": {
        *("label", "attributes", "content_type", "size", "created_at", "updated_at"),
        *("order", "value_version", "deleted_at", "guarded"),
    },
    "collection": {"label", "created_at", "updated_at"},
}
# What an audit entry holds, and what of it only one about a denial may.
DENIAL_FIELDS = {"refusal", "count", "until", "dropped"}
AUDIT_FIELDS = DENIAL_FIELDS | {
    *("time", "action", "uid", "pid", "comm", "exe", "unit", "token"),
    *("names", "items", "approvals", "purpose", "command", "reason", "outcome"),
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
    (row,) = rows(database, "manifest", ["generation", "sealed"])
    # Before all else: in a newer program's vault the rest may look otherwise.
    try:
        plaintext = keys.open("manifest", header["lineage"], row["generation"], row["sealed"])
        manifest = format1.parse_manifest(plaintext)
    except NotAuthentic:
        manifest = None
    demand(keys.header_mac(header["lineage"], slots) == header["mac"], "the header or a slot was changed")
    for slot in slots:
        json.loads(keys.open("slot", slot["id"], 0, slot["sealed"]))

    demand(manifest, "the manifest is not authentic")
    demand(manifest["generation"] == row["generation"], "the manifest is of another generation")
    demand(manifest["header_mac"] == header["mac"], "the manifest is of another header")

    records = rows(database, "record", ["kind", "id", "version", "sealed"])
    counts = {name: sum(row["kind"] == kind for row in records) for name, kind in RECORD_KINDS.items()}
    demand(counts == manifest["counts"], "rows were added or removed")
    others = collections.Counter(str(row["kind"]) for row in records if row["kind"] not in RECORD_KINDS.values())
    demand(others == manifest["more"].get("kinds", {}), "rows of other kinds were added or removed")
    tags = (keys.row_tag(row["kind"], row["id"], row["version"], row["sealed"]) for row in records)
    demand(format1.tally(tags) == manifest["tally"], "rows were changed or put back")

    unknown = {}

    def note_unknown(where, entry, known):
        if added := {name: entry[name] for name in entry if name not in known}:
            unknown[where] = added

    note_unknown("manifest", manifest["more"], {"kinds", "requires"})
    before, actions = bytes(32), []
    for sequence, row in enumerate(rows(database, "audit", ["sequence", "sealed", "mac"]), 1):
        before = keys.audit_mac(before, sequence, row["sealed"])
        demand((row["sequence"], row["mac"]) == (sequence, before), f"the audit log is broken at {sequence}")
        entry = json.loads(keys.open("audit", format1.u64(sequence), sequence, row["sealed"]))
        note_unknown(f"audit {sequence}", entry, AUDIT_FIELDS)
        denied = entry["outcome"] == "denied"
        demand(denied or not set(entry) & DENIAL_FIELDS, f"audit entry {sequence} is no denial and says why")
        actions.append(entry["action"])
    demand((len(actions), before) == (manifest["audit_count"], manifest["audit_head"]), "the audit log is cut off")

    if anchor:
        expected = keys.anchor(header["lineage"], manifest["generation"])
        demand(pathlib.Path(anchor).read_bytes() == expected, "the anchor is of another state")

    secrets, values, tokens, grants = {}, {}, {}, []
    items, item_values, collection = {}, {}, None
    later = {number: name for name, number in ITEM_KINDS.items()}
    for row in records:
        kind = format1.kind_name(row["kind"])
        plaintext = keys.open(kind, row["id"], row["version"], row["sealed"])
        kind = later.get(row["kind"], kind)
        if kind in FIELDS:
            note_unknown(f"{kind} {row['id'].hex()}", json.loads(plaintext), FIELDS[kind])
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
        elif kind == "item":
            items[row["id"]] = (row["version"], json.loads(plaintext))
        elif kind == "item value":
            # The time, i64; the length of the content type, u8; that; the value.
            end = 9 + plaintext[8]
            demand(end <= len(plaintext), "an item's value is cut off")
            stored = {
                "content_type": plaintext[9:end].decode(),
                "size": len(plaintext) - end,
                "sha256": hashlib.sha256(plaintext[end:]).hexdigest(),
            }
            item_values.setdefault(row["id"], {})[row["version"]] = stored
        elif kind == "collection":
            demand(row["id"] == bytes(16) and collection is None, "there is more than one collection")
            collection = {"label": json.loads(plaintext)["label"], "version": row["version"]}
        else:
            unknown[f"{kind} {row['id'].hex()} {row['version']}"] = plaintext.hex()
    demand(set(items) == set(item_values), "an item has no value, or a value no item")
    for row_id, (_, meta) in items.items():
        current = item_values[row_id][meta["value_version"]]
        described = {name: current[name] for name in ("content_type", "size")}
        demand(described == {name: meta[name] for name in described}, "an item's value is another one")
    return {
        "collection": collection,
        "items": [
            {
                "label": meta["label"],
                "attributes": meta["attributes"],
                "version": version,
                "deleted": "deleted_at" in meta,
                "guarded": meta.get("guarded", False),
                "versions": item_values[row_id],
            }
            for row_id, (version, meta) in sorted(items.items(), key=lambda item: item[1][1]["order"])
        ],
        "epoch": header["epoch"],
        "slots": sorted(slot["kind"] for slot in slots),
        "audit": actions,
        "tokens": tokens,
        "unknown": unknown,
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
    except (NewerVault, NotAuthentic) as reason:
        sys.exit(f"check.py: {reason}")
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
