#!/usr/bin/env python3
"""Reads what a machine of a fleet exchanges with the others, without the daemon: a second implementation of the objects.
The keys are in the machine's vault. Prints as JSON how many objects of each kind there are, and of the logs, which
values were ever said: by name, the SHA-256 of each value.

    fleet1.py VAULT KEYFILE EXCHANGE [--say NAME VALUE [--forge]] [--epochs] [--count TEXT]

With --say it writes the next object of the machine's log, which gives a new secret this name and value; with --forge
another key has signed it. With --epochs it prints of which epochs the machine has the key, and reads nothing.
With --count it prints how many objects hold this text anywhere in what they say.
The vault must not be in use.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import sqlite3
import uuid

import format1
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NAME = re.compile(r"([lsm])-([0-9a-f]{16})-([0-9]{10})-([0-9a-f]{32})")
STEPS = [size << 10 for size in (2, 8, 32, 128, 512, 1024, 2048)]


def demand(condition, what):
    if not condition:
        raise format1.NotAuthentic(what)


def fleet_of(vault, secret):
    """What the vault knows of the fleet: the row of kind 16."""
    database = sqlite3.connect(f"file:{vault}?immutable=1", uri=True)
    ident, epoch = database.execute("SELECT vault, epoch FROM header").fetchone()
    columns = ["id", "kind", "memory_kib", "passes", "lanes", "salt", "wrapped", "sealed"]
    slots = [dict(zip(columns, row)) for row in database.execute(f"SELECT {', '.join(columns)} FROM slot")]
    opened = (format1.unwrap(slot, secret, ident, epoch) for slot in slots if slot["kind"] == 2)
    keys = format1.Keys(next(data for data in opened if data), ident, epoch)
    ((row, version, sealed),) = database.execute("SELECT id, version, sealed FROM record WHERE kind = 16")
    return json.loads(keys.open("record-16", row, version, sealed))


def associated(fleet, epoch, kind, writer, number):
    return b"\x01" + fleet + format1.u32(epoch) + kind.encode() + writer + format1.u32(number)


def read(meta, name, content):
    """The JSON of an object, once all is as it must be."""
    kind, writer, number, digest = NAME.fullmatch(name).groups()
    demand(hashlib.sha256(content).hexdigest()[:32] == digest, f"{name} has other bytes")
    demand(content[0] == 1, f"{name} is of another format")
    epoch, salt, nonce = int.from_bytes(content[1:5], "big"), content[5:21], content[21:33]
    key = bytes.fromhex(meta["keys"][str(epoch)])
    aad = associated(bytes.fromhex(meta["fleet"]), epoch, kind, bytes.fromhex(writer), int(number))
    plaintext = object_cipher(key, salt, aad).decrypt(nonce, content[33:], aad)
    by, length = plaintext[:8].hex(), int.from_bytes(plaintext[8:12], "big")
    body, signature, rest = plaintext[12 : 12 + length], plaintext[12 + length : 76 + length], plaintext[76 + length :]
    demand(not rest.strip(b"\0"), f"{name} has something behind its signature")
    demand(len(plaintext) == step_of(76 + length), f"{name} is longer than it need be")
    (member,) = [member for member in meta["members"] if member["id"] == by]
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(member["signing"])).verify(signature, aad + salt + nonce + body)
    except InvalidSignature:
        demand(False, f"{name} is signed by nobody")
    said = json.loads(body)
    demand(said["by"] == by, f"{name} names two authors")
    return kind, said


def step_of(length):
    return next(step for step in STEPS if step >= length)


def object_cipher(key, salt, aad):
    return AESGCM(format1.hkdf(key, salt, format1.framed([b"secretsd/fleet/object", aad])))


def write(stored, exchange, changes, forge):
    """The next object of this machine's log."""
    meta, known = stored["meta"], stored["known"]
    epoch = max(int(epoch) for epoch in meta["keys"])
    writer, number = bytes.fromhex(known["writer"]), known["number"] + 1
    body = json.dumps({"by": known["me"], "prev": known["last"], "seen": [], "changes": changes}).encode()
    aad = associated(bytes.fromhex(meta["fleet"]), epoch, "l", writer, number)
    signer = os.urandom(32) if forge else bytes.fromhex(meta["signing"])
    salt, nonce = os.urandom(16), os.urandom(12)
    signature = Ed25519PrivateKey.from_private_bytes(signer).sign(aad + salt + nonce + body)
    plaintext = bytes.fromhex(known["me"]) + format1.u32(len(body)) + body + signature
    plaintext = plaintext.ljust(step_of(len(plaintext)), b"\0")
    key = bytes.fromhex(meta["keys"][str(epoch)])
    content = b"\x01" + format1.u32(epoch) + salt + nonce
    content += object_cipher(key, salt, aad).encrypt(nonce, plaintext, aad)
    name = f"l-{writer.hex()}-{number:010}-{hashlib.sha256(content).hexdigest()[:32]}"
    half = pathlib.Path(exchange, f".tmp-{name}")
    half.write_bytes(content)
    half.rename(pathlib.Path(exchange, name))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("vault")
    parser.add_argument("key_file")
    parser.add_argument("exchange")
    parser.add_argument("--say", nargs=2, metavar=("NAME", "VALUE"))
    parser.add_argument("--forge", action="store_true")
    parser.add_argument("--epochs", action="store_true")
    parser.add_argument("--count", metavar="TEXT")
    arguments = parser.parse_args()
    stored = fleet_of(arguments.vault, pathlib.Path(arguments.key_file).read_bytes())
    if arguments.epochs:
        print(json.dumps(sorted(int(epoch) for epoch in stored["meta"]["keys"])))
        return
    if arguments.say:
        name, value = arguments.say
        ident = str(uuid.uuid4())
        fields = {"name": name, "provider": None, "note": None, "expires_at": None, "guarded": None}
        write(
            stored,
            arguments.exchange,
            [
                {"do": "fields", "id": ident, "clock": 1, "fields": fields},
                {"do": "value", "id": ident, "clock": 1, "at": 0, "covers": [], "value": value},
            ],
            arguments.forge,
        )
        return
    counts, names, values, found = {}, {}, {}, 0
    for path in sorted(pathlib.Path(arguments.exchange).iterdir()):
        if not NAME.fullmatch(path.name):
            continue
        kind, said = read(stored["meta"], path.name, path.read_bytes())
        counts[kind] = counts.get(kind, 0) + 1
        found += arguments.count is not None and arguments.count in json.dumps(said, ensure_ascii=False)
        for change in said["changes"] if kind == "l" else []:
            if change["do"] == "fields" and change["fields"].get("name"):
                names[change["id"]] = change["fields"]["name"]
            elif change["do"] == "value":
                digest = hashlib.sha256(change["value"].encode()).hexdigest()
                values.setdefault(change["id"], []).append(digest)
    if arguments.count is not None:
        print(found)
        return
    secrets = {names[ident]: digests for ident, digests in values.items()}
    print(json.dumps({"objects": counts, "values": secrets}))


main()
