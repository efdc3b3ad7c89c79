#!/usr/bin/env python3
"""Writes format-1.json beside it, or the file that is named: fixed inputs, and what format1.py makes of them.

The daemon's unit tests open what is here, and make the same bytes from the same inputs. The output is the same at
every run; needs `cryptography` and `argon2-cffi`.
"""

import hashlib
import json
import pathlib
import sys

import format1
from format1 import RECORD_KINDS, SLOT_KINDS


def fixed(label, length):
    """Bytes without meaning, the same at every run and different for each label."""
    return hashlib.shake_256(label.encode()).digest(length)


VAULT, LINEAGE, EPOCH = fixed("vault", 16), fixed("lineage", 16), 7
KEYS = format1.Keys(fixed("data key", 32), VAULT, EPOCH)
CREATED_AT, CREATED_SECOND = "2026-04-15T12:00:00Z", 1776254400


def blob(label, table, row, version, plaintext, column="sealed"):
    """A sealed blob with everything that went into it."""
    salt, nonce = fixed(f"{label} blob salt", 16), fixed(f"{label} blob nonce", 12)
    sealed = KEYS.seal(table, row, version, plaintext, salt, nonce, column)
    return {
        "table": table,
        "row": row,
        "column": column,
        "version": version,
        "plaintext": plaintext,
        "salt": salt,
        "nonce": nonce,
        "sealed": sealed,
    }


def slot(name, secret, cost=(0, 0, 0)):
    slot = {
        "id": fixed(f"{name} id", 16),
        "kind": SLOT_KINDS[name],
        **dict(zip(("memory_kib", "passes", "lanes"), cost)),
        "salt": fixed(f"{name} salt", 16),
        "secret": secret,
        "nonce": fixed(f"{name} nonce", 12),
    }
    key = format1.slot_key(slot["kind"], *cost, slot["salt"], secret)
    slot["wrapped"] = format1.wrap(slot, key, VAULT, EPOCH, KEYS.data, slot["nonce"])
    description = format1.compact_json({"created_at": CREATED_AT})
    slot["sealed"] = blob(name, "slot", slot["id"], 0, description)["sealed"]
    return slot


def record(kind, label, row, version, plaintext):
    sealed = blob(label, kind, row, version, plaintext)["sealed"]
    number = RECORD_KINDS.get(kind) or int(kind.removeprefix("record-"))
    tag = KEYS.row_tag(number, row, version, sealed)
    return {"kind": number, "id": row, "version": version, "plaintext": plaintext, "sealed": sealed, "tag": tag}


def audit(entries):
    chained, before = [], bytes(32)
    for sequence, entry in enumerate(entries, 1):
        sealed = blob(f"audit {sequence}", "audit", format1.u64(sequence), sequence, entry)["sealed"]
        before = KEYS.audit_mac(before, sequence, sealed)
        chained.append({"sequence": sequence, "plaintext": entry, "sealed": sealed, "mac": before})
    return chained


def vectors():
    slots = [
        slot("passphrase", "correct horse battery stäple".encode(), (19_456, 2, 1)),
        slot("key_file", fixed("key file", 32)),
        slot("recovery", fixed("recovery key", 32)),
    ]
    header_mac = KEYS.header_mac(LINEAGE, slots)

    first, second = fixed("first secret", 16), fixed("second secret", 16)
    plain = {
        "name": "OPENAI_API_KEY",
        "mask": "sk-pro••••789",
        "size": 40,
        "created_at": CREATED_AT,
        "updated_at": CREATED_AT,
        "value_version": 1,
    }
    full = {
        "name": "DB_URL",
        "provider": "postgres",
        "mask": "••••",
        "size": 5,
        "created_at": CREATED_AT,
        "updated_at": "2026-04-16T00:00:00Z",
        "value_version": 2,
        "note": "für „prod“",
        "expires_at": "2027-01-01T00:00:00Z",
        "last_used_at": "2026-04-16T01:02:03Z",
        "deleted_at": "2026-04-16T00:00:00Z",
    }
    records = [
        record("secret", "first", first, 1, format1.compact_json(plain)),
        record("value", "first value", first, 1, format1.value_plaintext(CREATED_SECOND, b"x" * 40)),
        record("secret", "second", second, 3, format1.compact_json(full)),
        record("value", "old value", second, 1, format1.value_plaintext(-1, "ä\n".encode())),
        record("value", "new value", second, 2, format1.value_plaintext(CREATED_SECOND + 1, b"value")),
    ]
    caller = {"uid": 1000, "pid": 4242}
    entries = audit(
        [
            format1.compact_json(
                {"time": "2026-04-15T12:00:00.25Z", "action": "init", **caller, "token": "owner", "outcome": "ok"}
            ),
            format1.compact_json(
                {
                    "time": "2026-04-15T12:00:01Z",
                    "action": "reveal",
                    **caller,
                    "comm": "secretctl",
                    "exe": "/usr/bin/secretctl",
                    "unit": "app.service",
                    "token": "owner",
                    "names": ["OPENAI_API_KEY", "DB_URL"],
                    "purpose": "run",
                    "command": "psql",
                    "reason": "migration",
                    "outcome": "ok",
                }
            ),
            format1.compact_json(
                {
                    "time": "2026-04-15T11:59:00.007Z",
                    "action": "access",
                    **caller,
                    "pid": 0,
                    "comm": "cu\ufffdl",
                    "token": "",
                    "outcome": "denied",
                    "refusal": "unknown_token",
                    "count": 12,
                    "until": "2026-04-15T11:59:58Z",
                    "dropped": 3,
                }
            ),
        ]
    )
    counts = {kind: sum(row["kind"] == number for row in records) for kind, number in RECORD_KINDS.items()}
    manifest = {
        "generation": 12,
        "counts": counts,
        "tally": format1.tally(row["tag"] for row in records),
        "header_mac": header_mac,
        "audit_count": len(entries),
        "audit_head": entries[-1]["mac"],
    }
    plaintext = format1.manifest_plaintext(manifest)
    # With a record of another kind, and as a newer program may write it.
    other = record("record-5", "other", fixed("other record", 16), 2, b"anything")
    grown = manifest | {
        "generation": 13,
        "tally": format1.tally([other["tag"], *(row["tag"] for row in records)]),
        "more": {"kinds": {"5": 1}, "future": {"text": "ä"}},
    }
    parts = [b"", b"one", bytes(300)]
    lengths = [0, 1, 7, 60, 61, 1020, 1021, 2044, 2045]
    return {
        "identity": {"vault": VAULT, "epoch": EPOCH, "lineage": LINEAGE},
        "data_key": KEYS.data,
        "record_key": KEYS.record,
        "macs": {"parts": parts, **{name: KEYS.mac(name, parts) for name in KEYS.macs}},
        "padded": [[n, format1.padded_length(n)] for n in (4, 64, 65, 1024, 1025, 2048, 2049, 65_540, 65_552)],
        "blobs": [
            blob(f"blob {n}", "secret" if n % 2 else "value", fixed(f"row {n}", 16), n, fixed(f"text {n}", n))
            for n in lengths
        ]
        + [blob("another column", "token", b"", 2**63 - 1, b"x", column="other")],
        "recovery": [{"key": key, "text": format1.recovery_text(key)} for key in (bytes(32), fixed("recovery key", 32))],
        "slots": slots,
        "header_mac": header_mac,
        "records": records,
        "audit": entries,
        "manifest": manifest | {"blob": blob("manifest", "manifest", LINEAGE, manifest["generation"], plaintext)},
        "grown": {
            "record": other,
            "manifest": grown | {"blob": blob("grown", "manifest", LINEAGE, 13, format1.manifest_plaintext(grown))},
        },
        "anchor": {"generation": 12, "content": KEYS.anchor(LINEAGE, 12)},
    }


def hexed(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: hexed(member) for name, member in value.items()}
    if isinstance(value, list):
        return [hexed(item) for item in value]
    return value


if __name__ == "__main__":
    path = pathlib.Path(sys.argv[1] if sys.argv[1:] else pathlib.Path(__file__).with_name("format-1.json"))
    path.write_text(json.dumps(hexed(vectors()), indent=1) + "\n")
