"""Pseudonyms keep groups apart and together, and are nobody's without the key."""

import hashlib

import pytest

from mema.params.hospital import Release, ReleaseKey
from tasks.works.pseudonyms import Pseudonyms, pseudonyms

IDS = [hashlib.sha256(bytes([k])).hexdigest() for k in range(200)]
NAMES = Pseudonyms(b"k" * 32)


def release(version: str) -> Release:
    return Release(version=version, licence="", terms="")


def test_one_donor_has_one_name_and_two_have_two() -> None:
    made = NAMES.of(IDS + IDS[::-1])
    assert made[:200] == made[200:][::-1]
    assert len(set(made)) == 200
    assert NAMES.of(["", IDS[0]]) == ["", made[0]]  # nobody is no donor


def test_another_key_gives_names_that_cannot_be_matched() -> None:
    assert not set(NAMES.of(IDS)) & set(Pseudonyms(b"q" * 32).of(IDS))
    assert "kkkk" not in repr(NAMES)


def test_a_plain_digest_is_no_pseudonym() -> None:
    guesses = {hashlib.new(kind, name.encode()).hexdigest()[:32] for kind in ("sha256", "sha1", "md5") for name in IDS}
    assert not set(NAMES.of(IDS)) & (guesses | {name[:32] for name in IDS})


def test_names_last_through_a_major_version() -> None:
    key = ReleaseKey(path="", published="phantom-key")
    first, again, later = (pseudonyms(release(version), key) for version in ("1.0.0", "1.12.3", "2.0.0"))
    assert first == again != later
    for version in ("1.0", "v1.0.0", "01.0.0", "1.0.0-rc1"):
        with pytest.raises(ValueError, match="version"):
            release(version)


def test_donors_who_are_nobody_here_are_counted() -> None:
    wanted = NAMES.of([*IDS[:3], "stranger"])
    with pytest.raises(ValueError, match=r"release_key: 1 of 4 donors of MeMa are none of the 200 public faces"):
        NAMES.recognise(IDS, wanted)
    assert NAMES.recognise(IDS, wanted[:3]) == NAMES.of(IDS)
