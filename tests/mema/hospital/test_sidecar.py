"""A side-car opens whole or not at all, and a new passphrase leaves what it holds as it is."""

import time

import numpy as np
import pytest

from mema.hospital.contents import Contents, pack, unpack
from mema.hospital.sidecar import (
    FIXED,
    HEADER_BYTES,
    KEYS_BYTES,
    MAGIC,
    VARIABLE,
    SidecarError,
    new_keys,
    open_sealed,
    rekey,
    seal,
)
from models.concealing.passwords import KdfParameters, Passphrase

CHEAP = KdfParameters(1, 8, 1)
SECRET = b"three faces at (12, 40)"


@pytest.fixture
def owner() -> Passphrase:
    return Passphrase("correct horse battery", CHEAP)


@pytest.fixture
def other() -> Passphrase:
    return Passphrase("another horse battery", CHEAP)


@pytest.fixture
def sealed(owner) -> bytes:
    return seal(SECRET, new_keys(owner), owner)


def flipped(data: bytes, place: int, bits: int) -> bytes:
    return data[:place] + bytes([data[place] ^ bits]) + data[place + 1 :]


def test_round_trip(owner):
    keys = new_keys(owner)
    assert open_sealed(seal(SECRET, keys, owner), Passphrase(owner.text)) == (SECRET, keys)


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_every_flipped_byte_is_refused(sealed, owner, bits):
    for place in range(len(sealed)):
        with pytest.raises(SidecarError):
            open_sealed(flipped(sealed, place, bits), owner)


def test_every_truncation_and_every_addition_is_refused(sealed, owner):
    for length in range(len(sealed)):
        with pytest.raises(SidecarError):
            open_sealed(sealed[:length], owner)
    with pytest.raises(SidecarError, match="does not open"):
        open_sealed(sealed + b"\0", owner)


def test_a_wrong_passphrase_and_damage_get_one_answer(sealed, owner, other):
    with pytest.raises(SidecarError) as wrong:
        open_sealed(sealed, other)
    with pytest.raises(SidecarError) as damaged:
        open_sealed(flipped(sealed, len(sealed) - 1, 1), owner)
    assert str(wrong.value) == str(damaged.value)
    assert "the passphrase is wrong, or the file was changed" in str(wrong.value)


def test_in_clear_stand_algorithms_cost_salt_and_nonces_and_nothing_else(sealed, owner):
    fixed, variable = FIXED.unpack_from(sealed), VARIABLE.unpack_from(sealed, FIXED.size)
    assert fixed[:4] == (MAGIC, 1, 1, 1)
    assert variable[:4] == (1, 8, 1, owner.salt)
    assert len(sealed) == HEADER_BYTES + KEYS_BYTES + len(SECRET) + 16
    assert HEADER_BYTES == 8 + 3 + 12 + 12 + 16 + 12
    assert SECRET not in sealed


def test_sealing_twice_shares_nothing_but_the_cost_and_the_salt(owner):
    one, two = (np.frombuffer(seal(SECRET, new_keys(owner), owner), np.uint8) for _ in range(2))
    assert (one[:11] == two[:11]).all()
    assert (one[11:23] != two[11:23]).any()  # the nonces
    assert (one[51:63] != two[51:63]).any()
    assert (one[HEADER_BYTES:] == two[HEADER_BYTES:]).mean() < 0.1


def test_contents_of_another_side_car_are_refused(owner):
    one, two = (seal(SECRET, new_keys(owner), owner) for _ in range(2))
    with pytest.raises(SidecarError, match="does not open"):
        open_sealed(one[: HEADER_BYTES + KEYS_BYTES] + two[HEADER_BYTES + KEYS_BYTES :], owner)
    header = two[: FIXED.size] + one[FIXED.size :]
    with pytest.raises(SidecarError, match="does not open"):
        open_sealed(header, owner)


def test_a_costly_header_is_refused_before_any_work(sealed, owner):
    costly = VARIABLE.pack(16, (1 << 32) - 1, 1, bytes(16), bytes(12))
    start = time.perf_counter()
    with pytest.raises(SidecarError, match="does not open"):
        open_sealed(sealed[: FIXED.size] + costly + sealed[HEADER_BYTES:], owner)
    assert time.perf_counter() - start < 0.5


def test_a_cost_is_taken_up_to_four_times_the_usual():
    dear = KdfParameters(3, 1 << 18, 4)
    assert Passphrase("correct horse battery", CHEAP).affords(KdfParameters())
    assert Passphrase("correct horse battery", CHEAP).affords(dear)
    for kdf in (KdfParameters(3, (1 << 18) + 1, 4), KdfParameters(4, 1 << 18, 4), KdfParameters(13, 65536, 4)):
        assert not Passphrase("correct horse battery", CHEAP).affords(kdf)
        assert Passphrase("correct horse battery", dear).affords(kdf)


def test_another_format_says_what_to_do(sealed, owner):
    with pytest.raises(SidecarError, match=r"format 2, .* install the one that wrote it"):
        open_sealed(flipped(sealed, 8, 3), owner)


def test_rekey_changes_the_passphrase_and_nothing_else(sealed, owner, other):
    contents, keys = open_sealed(sealed, owner)
    changed = rekey(sealed, owner, other)
    assert open_sealed(changed, other) == (contents, keys)
    assert changed[HEADER_BYTES + KEYS_BYTES :] == sealed[HEADER_BYTES + KEYS_BYTES :]
    assert changed[FIXED.size : HEADER_BYTES] != sealed[FIXED.size : HEADER_BYTES]
    with pytest.raises(SidecarError, match="does not open"):
        open_sealed(changed, owner)


def test_a_damaged_side_car_is_not_rekeyed(sealed, owner, other):
    with pytest.raises(SidecarError, match="does not open"):
        rekey(flipped(sealed, len(sealed) - 1, 1), owner, other)


@pytest.mark.parametrize("original", [None, b"\xff\xd8 a photo"])
def test_contents_survive_packing(original):
    contents = Contents(
        features=np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float16),
        matrices=np.random.default_rng(1).normal(size=(2, 2, 3)),
        crop_px=96, picture_shape=(120, 80), picture_sha256="a" * 64, pixels_sha256="b" * 64,
        source_sha256="c" * 64, model_sha256="d" * 64, file_id=bytes(range(16)), band=b"png",
        band_corner=(3, 4), original=original, original_suffix=".jpg" if original else "",
    )  # fmt: skip
    back = unpack(pack(contents))
    for name, value in vars(contents).items():
        np.testing.assert_array_equal(getattr(back, name), value)
    assert back.features.dtype == np.float16
    assert back.matrices.dtype == np.float64
