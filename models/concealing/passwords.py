"""From a passphrase to keys: Argon2id once, then HKDF-SHA256 under one label per purpose."""

import os
import unicodedata
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jaxtyping import Float32
from scipy.special import ndtri

PASSWORD_DIM = 512
KEY_BYTES, SALT_BYTES = 32, 16
MIN_PASSPHRASE = 12
MAX_COST = 4  # times the usual cost that opening a side-car may take
# One label per purpose, so that no key tells anything of another
SEALING_LABEL = b"mema deid v1: AES-256-GCM key that wraps a side-car's keys"
ROOT_LABEL = b"mema deid v1: root of the network's passwords"
PASSWORD_LABEL = b"mema deid v1: the network's password"


@dataclass(frozen=True)
class KdfParameters:
    """Argon2id's cost; the default is RFC 9106's second recommended choice (64 MiB, 3 passes, 4 lanes)."""

    iterations: int = 3
    memory_kib: int = 65536
    lanes: int = 4

    def __post_init__(self) -> None:
        """Refuse what no side-car of ours has: a header must not make the reader work for an hour."""
        bounds = {"iterations": (1, 16), "lanes": (1, 16), "memory_kib": (8 * self.lanes, 1 << 20)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"kdf.{name}: {getattr(self, name)} is not within {low} to {high}")


def derive_key(passphrase: str, salt: bytes, kdf: KdfParameters | None = None) -> bytes:
    """Return Argon2id's 32 bytes; the passphrase is UTF-8 in NFC, so that every keyboard types the same."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"salt: {len(salt)} bytes, {SALT_BYTES} needed")
    kdf = kdf or KdfParameters()
    secret = unicodedata.normalize("NFC", passphrase).encode()
    return Argon2id(
        salt=salt, length=KEY_BYTES, iterations=kdf.iterations, lanes=kdf.lanes, memory_cost=kdf.memory_kib
    ).derive(secret)


def expand(key: bytes, label: bytes, salt: bytes | None = None, num_bytes: int = KEY_BYTES) -> bytes:
    """Return HKDF-SHA256 of a key under a purpose's label."""
    return HKDF(algorithm=SHA256(), length=num_bytes, salt=salt, info=label).derive(key)


def password_vector(key: bytes, file_id: bytes) -> Float32[np.ndarray, "512"]:
    """Return P: 512 standard-normal numbers that only the key and the file's id determine."""
    return standard_normals(expand(key, PASSWORD_LABEL, file_id, 8 * PASSWORD_DIM))


def standard_normals(stream: bytes) -> Float32[np.ndarray, " n"]:
    """Return the inverse normal CDF of uniform 64-bit little-endian words.

    Their upper 52 bits choose one of 2^52 equal intervals, whose middle is exact in a double: never 0 or 1.
    """
    words = np.frombuffer(stream, "<u8") >> np.uint64(12)
    return ndtri((words.astype(np.float64) + 0.5) * 2.0**-52).astype(np.float32)


@dataclass
class Passphrase:
    """A passphrase, and what Argon2id made of it for each salt: once for a whole folder."""

    text: str = field(repr=False)
    kdf: KdfParameters = field(default_factory=KdfParameters)
    salt: bytes = field(default_factory=lambda: os.urandom(SALT_BYTES))  # of what is newly sealed
    older: tuple["Passphrase", ...] = field(default=(), repr=False)  # other readings of it, tried to open only
    _derived: dict[tuple[bytes, KdfParameters], bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse what can be guessed; the message never shows the passphrase."""
        if len(self.text) < MIN_PASSPHRASE:
            raise ValueError(
                f"passphrase: {len(self.text)} characters, at least {MIN_PASSPHRASE}; six random words are good"
            )

    def affords(self, kdf: KdfParameters) -> bool:
        """Return whether a file's cost is at most a few times what new files get, or what is usual.

        A header is authenticated only after that cost was paid, so anybody may write one.
        """
        usual = (self.kdf, KdfParameters())
        memory = max(own.memory_kib for own in usual)
        work = max(own.memory_kib * own.iterations for own in usual)
        return kdf.memory_kib <= MAX_COST * memory and kdf.memory_kib * kdf.iterations <= MAX_COST * work

    def sealing_key(self, salt: bytes, kdf: KdfParameters) -> bytes:
        """Return the AES key that wraps a side-car's keys."""
        return expand(self._derive(salt, kdf), SEALING_LABEL)

    def password_root(self, salt: bytes, kdf: KdfParameters) -> bytes:
        """Return the key for `password_vector` of files that are newly sealed."""
        return expand(self._derive(salt, kdf), ROOT_LABEL)

    def _derive(self, salt: bytes, kdf: KdfParameters) -> bytes:
        if (salt, kdf) not in self._derived:
            self._derived[salt, kdf] = derive_key(self.text, salt, kdf)
        return self._derived[salt, kdf]
