"""Keys and passwords: the KDF's parts against other implementations, and what must differ."""

import hashlib
import hmac
import statistics

import numpy as np
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from scipy.stats import kstest

from models.concealing.passwords import (
    PASSWORD_LABEL,
    KdfParameters,
    Passphrase,
    derive_key,
    expand,
    password_vector,
    standard_normals,
)

CHEAP = KdfParameters(1, 8, 1)
KEY, SALT = bytes(range(32)), bytes(16)


def hkdf(key: bytes, label: bytes, salt: bytes, num_bytes: int) -> bytes:
    """RFC 5869 in its own words."""
    extracted = hmac.digest(salt or bytes(32), key, hashlib.sha256)
    stream, block, counter = b"", b"", 1
    while len(stream) < num_bytes:
        block = hmac.digest(extracted, block + label + bytes([counter]), hashlib.sha256)
        stream, counter = stream + block, counter + 1
    return stream[:num_bytes]


def test_expand_is_rfc_5869s():
    assert expand(KEY, b"label", b"file", 100) == hkdf(KEY, b"label", b"file", 100)
    assert expand(KEY, b"label") == hkdf(KEY, b"label", b"", 32)


def test_the_vector_is_the_inverse_normal_cdf_of_the_stream():
    stream = hkdf(KEY, PASSWORD_LABEL, b"file", 4096)
    words = [int.from_bytes(stream[i : i + 8], "little") for i in range(0, 4096, 8)]
    expected = [statistics.NormalDist().inv_cdf(word / 2**64) for word in words]
    vector = password_vector(KEY, b"file")
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_vectors_are_standard_normal_and_independent():
    vectors = np.stack([password_vector(KEY, bytes([i])) for i in range(40)])
    assert kstest(vectors.ravel(), "norm").pvalue > 0.01
    correlations = np.corrcoef(vectors)[np.triu_indices(40, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(512)


def test_the_rarest_words_are_finite():
    low, high = standard_normals(bytes(8) + b"\xff" * 8)
    assert low == -high
    assert 8 < high < 9


def test_every_input_of_the_vector_counts():
    base = password_vector(KEY, b"file")
    assert (base == password_vector(KEY, b"file")).all()
    for other in (password_vector(KEY, b"filf"), password_vector(bytes(32), b"file")):
        assert (base != other).mean() > 0.99


def test_every_input_of_argon2id_counts():
    base = derive_key("correct horse", SALT, CHEAP)
    changed = [
        derive_key("correct horsf", SALT, CHEAP),
        derive_key("correct horse", b"\1" + SALT[1:], CHEAP),
        *(derive_key("correct horse", SALT, kdf)
          for kdf in (KdfParameters(2, 8, 1), KdfParameters(1, 16, 1), KdfParameters(1, 16, 2))),
    ]  # fmt: skip
    assert len({base, *changed}) == 6


def test_argon2id_gives_the_reference_programs_bytes():
    """test.c of P-H-C/phc-winner-argon2: version 0x13, t 2, m 2^8 KiB, p 1 (a salt of 8 bytes, ours has 16)."""
    kdf = Argon2id(salt=b"somesalt", length=32, iterations=2, lanes=1, memory_cost=256)
    expected = "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"
    assert kdf.derive(b"password").hex() == expected


def test_the_key_is_argon2id_of_the_passphrase_s_utf8():
    kdf = Argon2id(salt=SALT, length=32, iterations=1, lanes=1, memory_cost=8)
    assert derive_key("Schlüssel", SALT, CHEAP) == kdf.derive("Schlüssel".encode())


def test_one_passphrase_typed_two_ways_is_one():
    composed, decomposed = "Schlüssel-Träger", "Schlu\u0308ssel-Tra\u0308ger"
    assert composed != decomposed
    assert derive_key(composed, SALT, CHEAP) == derive_key(decomposed, SALT, CHEAP)


def test_sealing_and_passwords_have_keys_of_their_own():
    secret = Passphrase("correct horse battery", CHEAP)
    sealing, root = (key(SALT, CHEAP) for key in (secret.sealing_key, secret.password_root))
    assert len({sealing, root, derive_key(secret.text, SALT, CHEAP)}) == 3


def test_a_short_passphrase_is_refused_and_never_shown():
    with pytest.raises(ValueError, match="passphrase: 6 characters, at least 12") as error:
        Passphrase("secret")
    assert "secret" not in str(error.value)
    assert "battery" not in repr(Passphrase("correct horse battery", CHEAP))


@pytest.mark.parametrize(
    ("values", "name"),
    [((17, 64, 1), "iterations"), ((0, 64, 1), "iterations"), ((1, 1 << 21, 1), "memory_kib"),
     ((1, 8, 2), "memory_kib"), ((1, 65536, 17), "lanes")],
)  # fmt: skip
def test_costs_out_of_bounds_are_named(values, name):
    with pytest.raises(ValueError, match=rf"kdf\.{name}: "):
        KdfParameters(*values)
