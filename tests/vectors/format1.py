"""The vault's format 1, written a second time from the doc comments of daemon/src/{crypto,vault,store}.

Shares no code with the daemon, so that a mistake in one of the two shows as a difference. Runs with the oldest
`cryptography` in use (Debian 12: 38) and, for passphrases only, `argon2-cffi`.
"""

import hashlib
import hmac
import json
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT = 1
APPLICATION_ID = int.from_bytes(b"SecD", "big")
SLOT_KINDS = {"passphrase": 1, "key_file": 2, "credential": 3, "recovery": 4, "provider": 5}
# The kinds that the manifest always counts. Others are named by their number.
RECORD_KINDS = {"secret": 1, "value": 2, "token": 3, "credential": 4}
# Kinds that came later, by the number that the manifest counts them under.
ITEM_KINDS = {"item": 8, "item value": 9, "collection": 10}
# What a program must know to open a vault that requires it: nothing yet.
MARKS = set()
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class NotAuthentic(Exception):
    """Something is not as its MAC or tag says."""


class NewerVault(Exception):
    """The vault requires something that is not known here."""


def kind_name(number):
    """As a record's content is authenticated with it."""
    return next((name for name, known in RECORD_KINDS.items() if known == number), f"record-{number}")


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


def framed(parts):
    """Each part with its length before it."""
    return b"".join(u32(len(part)) + part for part in parts)


def hkdf(secret, salt, info):
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


class Keys:
    """The data key of one vault and epoch, and one key for each purpose."""

    def __init__(self, data, vault, epoch):
        self.data, self.vault, self.epoch = data, vault, epoch

        def key(purpose):
            return hkdf(data, b"", b"secretsd/1/" + purpose + vault + u32(epoch))

        self.record = key(b"record")
        self.macs = {name: key(name.encode()) for name in ("header", "manifest", "audit", "anchor")}

    def mac(self, purpose, parts):
        return hmac.new(self.macs[purpose], framed(parts), hashlib.sha256).digest()

    # --- sealed blobs ---

    def _blob(self, table, row, column, version, salt):
        aad = framed(
            [u32(FORMAT), self.vault, table.encode(), row, column.encode(), u64(version), u32(self.epoch)]
        )
        return AESGCM(hkdf(self.record, salt, aad)), aad

    def seal(self, table, row, version, plaintext, salt, nonce, column="sealed"):
        cipher, aad = self._blob(table, row, column, version, salt)
        padded = (u32(len(plaintext)) + plaintext).ljust(padded_length(len(plaintext) + 4), b"\0")
        return b"\x01" + salt + nonce + cipher.encrypt(nonce, padded, aad)

    def open(self, table, row, version, blob, column="sealed"):
        if blob[0] != 1:
            raise NotAuthentic("a blob of another version")
        salt, nonce, body = blob[1:17], blob[17:29], blob[29:]
        cipher, aad = self._blob(table, row, column, version, salt)
        try:
            padded = cipher.decrypt(nonce, body, aad)
        except InvalidTag:
            raise NotAuthentic(f"{table} {row.hex()} version {version}") from None
        length = int.from_bytes(padded[:4], "big")
        if len(padded) != padded_length(length + 4) or padded[4 + length :].strip(b"\0"):
            raise NotAuthentic("the padding is not the format's")
        return padded[4 : 4 + length]

    # --- rows ---

    def row_tag(self, kind, row_id, version, sealed):
        return self.mac("manifest", [u32(kind), row_id, u64(version), sealed])

    def header_mac(self, lineage, slots):
        parts = [self.vault, lineage, u32(self.epoch)]
        for slot in sorted(slots, key=lambda slot: slot["id"]):
            parts.append(slot["id"])
            parts += [u32(slot[name]) for name in ("kind", "memory_kib", "passes", "lanes")]
            parts += [slot["salt"], slot["wrapped"], slot["sealed"]]
        return self.mac("header", parts)

    def audit_mac(self, before, sequence, sealed):
        return self.mac("audit", [before, u64(sequence), sealed])

    def anchor(self, lineage, generation):
        content = b"SDA1" + self.vault + lineage + u32(self.epoch) + u64(generation)
        return content + self.mac("anchor", [content])


def padded_length(length):
    """In steps of 64 bytes to 1 KiB, then of an eighth of the largest power of two below `length`."""
    step = 64 if length <= 1024 else (1 << ((length - 1).bit_length() - 1)) // 8
    return -(-length // step) * step


# --- key slots ---


def slot_key(kind, memory_kib, passes, lanes, salt, secret):
    if kind != SLOT_KINDS["passphrase"]:
        return hkdf(secret, salt, b"secretsd/1/slot")
    # Only here, because opening a vault with a key file must not need it.
    from argon2.low_level import Type, hash_secret_raw

    return hash_secret_raw(secret, salt, passes, memory_kib, lanes, 32, Type.ID, version=0x13)


def _slot_aad(slot, vault, epoch):
    numbers = [u32(slot[name]) for name in ("kind", "memory_kib", "passes", "lanes")]
    return framed([u32(FORMAT), vault, b"slot", slot["id"], *numbers, slot["salt"], u32(epoch)])


def wrap(slot, key, vault, epoch, data, nonce):
    return nonce + AESGCM(key).encrypt(nonce, data, _slot_aad(slot, vault, epoch))


def unwrap(slot, secret, vault, epoch):
    """The data key, or None if this slot does not open with this secret."""
    key = slot_key(*(slot[name] for name in ("kind", "memory_kib", "passes", "lanes", "salt")), secret)
    try:
        return AESGCM(key).decrypt(slot["wrapped"][:12], slot["wrapped"][12:], _slot_aad(slot, vault, epoch))
    except InvalidTag:
        return None


def recovery_text(key):
    """32 bytes and 3 bytes of their SHA-256, in Crockford's base32, in groups of 4."""
    digits = int.from_bytes(key + hashlib.sha256(key).digest()[:3], "big")
    text = "".join(CROCKFORD[digits >> shift & 31] for shift in range(275, -1, -5))
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def recovery_key(text):
    digits = 0
    for digit in text.replace("-", ""):
        digits = digits << 5 | CROCKFORD.index(digit)
    key = digits.to_bytes(35, "big")[:32]
    if recovery_text(key) != text:
        raise ValueError("not a recovery key")
    return key


# --- the manifest ---


def tally(tags):
    """The sum of the tags modulo 2^256, each read least significant byte first."""
    return (sum(int.from_bytes(tag, "little") for tag in tags) % 2**256).to_bytes(32, "little")


def manifest_plaintext(manifest):
    return b"".join(
        [
            u64(manifest["generation"]),
            *(u64(manifest["counts"][kind]) for kind in RECORD_KINDS),
            manifest["tally"],
            manifest["header_mac"],
            u64(manifest["audit_count"]),
            manifest["audit_head"],
            compact_json(more) if (more := manifest.get("more")) else b"",
        ]
    )


def parse_manifest(plaintext):
    fixed = struct.Struct(">Q4Q32s32sQ32s")
    generation, *counts, sums, header, audits, head = fixed.unpack(plaintext[: fixed.size])
    more = json.loads(plaintext[fixed.size :] or "{}")
    if set(more.get("requires", [])) - MARKS:
        raise NewerVault("the vault was made by a newer program")
    return {
        "generation": generation,
        "counts": dict(zip(RECORD_KINDS, counts)),
        "tally": sums,
        "header_mac": header,
        "audit_count": audits,
        "audit_head": head,
        "more": more,
    }


# --- what rows hold ---


def value_plaintext(stored_at, value):
    """The time it was stored (seconds since 1970), then the value's bytes."""
    return struct.pack(">q", stored_at) + value


def compact_json(document):
    """JSON as the daemon writes it: in the order given, without spaces, not escaped beyond what JSON demands."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
