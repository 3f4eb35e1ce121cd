"""The side-car's envelope: AES-256-GCM under a random data key, which the passphrase's key wraps.

In clear stand magic, format version, algorithm ids, the KDF's parameters, its salt and two nonces:

    magic 8 | version 1 | kdf 1 | cipher 1 | nonce of the contents 12 |     <- bound to the contents
    iterations 4 | memory in KiB 4 | lanes 4 | salt 16 | nonce of the keys 12 |   <- all bound to the keys
    the keys, sealed: data key 32, root of passwords 32, tag 16 | the contents, sealed, with their tag

A new passphrase wraps the same two keys again: contents, picture and network passwords stay as they are.
"""

import os
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models.concealing.passwords import KEY_BYTES, SALT_BYTES, KdfParameters, Passphrase

MAGIC, VERSION = b"MEMADEID", 1
KDF_ARGON2ID_HKDF_SHA256, CIPHER_AES_256_GCM = 1, 1
NONCE_BYTES, TAG_BYTES = 12, 16
FIXED = struct.Struct(f">8sBBB{NONCE_BYTES}s")
VARIABLE = struct.Struct(f">III{SALT_BYTES}s{NONCE_BYTES}s")
HEADER_BYTES = FIXED.size + VARIABLE.size
KEYS_BYTES = 2 * KEY_BYTES + TAG_BYTES


class SidecarError(ValueError):
    """A side-car that does not open; one message whether it was damaged or the passphrase is another."""


@dataclass(frozen=True)
class Keys:
    """What the passphrase protects; both survive a change of it."""

    data_key: bytes = field(repr=False)  # seals the contents
    password_root: bytes = field(repr=False)  # gives the network's passwords

    def packed(self) -> bytes:
        """Return both in the order of the file."""
        return self.data_key + self.password_root


def new_keys(passphrase: Passphrase) -> Keys:
    """Return a random data key, and the root of passwords that comes from the passphrase."""
    root = passphrase.password_root(passphrase.salt, passphrase.kdf)
    return Keys(AESGCM.generate_key(8 * KEY_BYTES), root)


def seal(contents: bytes, keys: Keys, passphrase: Passphrase) -> bytes:
    """Return a side-car that only the passphrase opens."""
    fixed = FIXED.pack(MAGIC, VERSION, KDF_ARGON2ID_HKDF_SHA256, CIPHER_AES_256_GCM, os.urandom(NONCE_BYTES))
    nonce = FIXED.unpack(fixed)[-1]
    return _wrap(fixed, keys, passphrase) + AESGCM(keys.data_key).encrypt(nonce, contents, fixed)


def open_sealed(data: bytes, passphrase: Passphrase) -> tuple[bytes, Keys]:
    """Return the contents and the keys; raises SidecarError at any flipped bit, and at a wrong passphrase."""
    keys = _unwrap_any(data, passphrase)
    fixed = data[: FIXED.size]
    try:
        nonce = FIXED.unpack(fixed)[-1]
        contents = AESGCM(keys.data_key).decrypt(nonce, data[HEADER_BYTES + KEYS_BYTES :], fixed)
    except InvalidTag:
        raise refusal() from None
    return contents, keys


def rekey(data: bytes, old: Passphrase, new: Passphrase) -> bytes:
    """Return the side-car under another passphrase; raises SidecarError unless the old one opens all of it."""
    _, keys = open_sealed(data, old)
    return _wrap(data[: FIXED.size], keys, new) + data[HEADER_BYTES + KEYS_BYTES :]


def refusal() -> SidecarError:
    """Return the one answer to every failure behind the magic."""
    return SidecarError("the side-car does not open: the passphrase is wrong, or the file was changed")


def _wrap(fixed: bytes, keys: Keys, passphrase: Passphrase) -> bytes:
    kdf, nonce = passphrase.kdf, os.urandom(NONCE_BYTES)
    header = fixed + VARIABLE.pack(kdf.iterations, kdf.memory_kib, kdf.lanes, passphrase.salt, nonce)
    key = passphrase.sealing_key(passphrase.salt, kdf)
    return header + AESGCM(key).encrypt(nonce, keys.packed(), header)


def _unwrap_any(data: bytes, passphrase: Passphrase) -> Keys:
    """Unwrap with the passphrase, or else with another reading of its file."""
    for reading in passphrase.older:
        try:
            return _unwrap(data, reading)
        except SidecarError:
            continue
    return _unwrap(data, passphrase)


def _unwrap(data: bytes, passphrase: Passphrase) -> Keys:
    if not data.startswith(MAGIC):
        raise SidecarError("this is no side-car of mema deid, or its first bytes were changed")
    if len(data) < HEADER_BYTES + KEYS_BYTES + TAG_BYTES:
        raise refusal()
    _, version, kdf_id, cipher_id, _ = FIXED.unpack_from(data)
    if (version, kdf_id, cipher_id) != (VERSION, KDF_ARGON2ID_HKDF_SHA256, CIPHER_AES_256_GCM):
        raise SidecarError(
            f"the side-car has format {version}, kdf {kdf_id}, cipher {cipher_id}; this mema reads 1, 1, 1: "
            "install the one that wrote it, or take the file from a backup"
        )
    iterations, memory_kib, lanes, salt, nonce = VARIABLE.unpack_from(data, FIXED.size)
    try:
        kdf = KdfParameters(iterations, memory_kib, lanes)
        if not passphrase.affords(kdf):
            raise SidecarError(
                f"the side-car asks Argon2id for {memory_kib} KiB and {iterations} passes, far more than this "
                "mema takes, which damage or malice may have written; if it was sealed so, set "
                "deid_files.argon2_memory_kib and argon2_iterations of params.yaml to these"
            )
        key = passphrase.sealing_key(salt, kdf)
        packed = AESGCM(key).decrypt(nonce, data[HEADER_BYTES:][:KEYS_BYTES], data[:HEADER_BYTES])
    except SidecarError:
        raise
    except (InvalidTag, ValueError):  # a cost out of bounds is refused before any work
        raise refusal() from None
    return Keys(packed[:KEY_BYTES], packed[KEY_BYTES:])
