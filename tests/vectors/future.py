#!/usr/bin/env python3
"""Does to a vault of format 1 what a newer program might: adds a field to every object, records of kinds that are not
known yet, an entry of the audit log about something new, and, if asked to, a mark that the vault requires.

    future.py VAULT KEYFILE [--requires MARK]

The vault must not be in use, and its log must be empty. What it adds is the same at every run.
"""

import argparse
import hashlib
import json
import pathlib
import sqlite3

import format1
from check import rows
from format1 import SLOT_KINDS

FUTURE = {"deep": [{"note": "für später"}, None, True, -1], "large": 18446744073709551615, "name": "ONE_BYTE"}
KINDS = [5, 6, 4_000_000_000]


class Writer:
    def __init__(self, vault, key_file):
        self.database = sqlite3.connect(vault)
        self.database.execute("PRAGMA secure_delete = ON")
        (self.header,) = rows(self.database, "header", ["vault", "lineage", "epoch", "mac"])
        self.slots = rows(
            self.database, "slot", ["id", "kind", "memory_kib", "passes", "lanes", "salt", "wrapped", "sealed"]
        )
        (slot,) = (slot for slot in self.slots if slot["kind"] == SLOT_KINDS["key_file"])
        secret = pathlib.Path(key_file).read_bytes()
        data = format1.unwrap(slot, secret, self.header["vault"], self.header["epoch"])
        self.keys = format1.Keys(data, self.header["vault"], self.header["epoch"])

    def seal(self, table, row, version, plaintext):
        fresh = hashlib.shake_256(b"future" + table.encode() + row + format1.u64(version)).digest(28)
        return self.keys.seal(table, row, version, plaintext, fresh[:16], fresh[16:])

    def records(self):
        for row in rows(self.database, "record", ["kind", "id", "version", "sealed"]):
            kind = format1.kind_name(row["kind"])
            if kind != "value":
                content = json.loads(self.keys.open(kind, row["id"], row["version"], row["sealed"]))
                sealed = self.seal(kind, row["id"], row["version"], format1.compact_json(grown(content)))
                where = (sealed, row["kind"], row["id"], row["version"])
                self.database.execute("UPDATE record SET sealed = ? WHERE (kind, id, version) = (?, ?, ?)", where)
        for kind in KINDS:
            for version in (1, 2):
                row = hashlib.shake_256(b"future" + format1.u32(kind)).digest(16)
                content = f"kind {kind}, version {version}\0".encode() + bytes(range(256))
                sealed = self.seal(format1.kind_name(kind), row, version, content)
                self.database.execute("INSERT INTO record VALUES (?, ?, ?, ?)", (kind, row, version, sealed))

    def header_and_slots(self):
        for slot in self.slots:
            content = json.loads(self.keys.open("slot", slot["id"], 0, slot["sealed"]))
            slot["sealed"] = self.seal("slot", slot["id"], 0, format1.compact_json(grown(content)))
            self.database.execute("UPDATE slot SET sealed = ? WHERE id = ?", (slot["sealed"], slot["id"]))
        self.header["mac"] = self.keys.header_mac(self.header["lineage"], self.slots)
        self.database.execute("UPDATE header SET mac = ?", (self.header["mac"],))

    def audit(self, sequence, before):
        entry = {"time": "2040-01-01T00:00:00Z", "action": "ask", "uid": 1000, "pid": 1, "token": "later"}
        entry |= {"outcome": "asked", "future": FUTURE}
        sealed = self.seal("audit", format1.u64(sequence), sequence, format1.compact_json(entry))
        mac = self.keys.audit_mac(before, sequence, sealed)
        self.database.execute("INSERT INTO audit VALUES (?, ?, ?)", (sequence, sealed, mac))
        return mac

    def manifest(self, requires):
        lineage = self.header["lineage"]
        (row,) = rows(self.database, "manifest", ["generation", "sealed"])
        opened = self.keys.open("manifest", lineage, row["generation"], row["sealed"])
        manifest = format1.parse_manifest(opened)
        records = rows(self.database, "record", ["kind", "id", "version", "sealed"])
        tags = (self.keys.row_tag(row["kind"], row["id"], row["version"], row["sealed"]) for row in records)
        manifest["tally"] = format1.tally(tags)
        manifest["header_mac"] = self.header["mac"]
        manifest["audit_count"] += 1
        manifest["audit_head"] = self.audit(manifest["audit_count"], manifest["audit_head"])
        manifest["generation"] += 1
        manifest["more"] = {"kinds": {str(kind): 2 for kind in KINDS}, "future": FUTURE}
        if requires:
            manifest["more"]["requires"] = [requires]
        generation = manifest["generation"]
        sealed = self.seal("manifest", lineage, generation, format1.manifest_plaintext(manifest))
        self.database.execute("UPDATE manifest SET generation = ?, sealed = ?", (generation, sealed))


def grown(content):
    return {"future": FUTURE} | content


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("vault")
    parser.add_argument("key_file")
    parser.add_argument("--requires")
    given = parser.parse_args()
    writer = Writer(given.vault, given.key_file)
    with writer.database:
        writer.records()
        writer.header_and_slots()
        writer.manifest(given.requires)
    writer.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    writer.database.close()


if __name__ == "__main__":
    main()
