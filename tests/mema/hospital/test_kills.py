"""SIGKILL at random moments: no plaintext that a later start leaves, no side-car without its picture unmentioned.

MEMA_KILLS says how many for each command; the seed is the number of the kill.
"""

import os
import random
import shutil
from pathlib import Path

import pytest

from mema.hospital.places import halves
from mema.hospital.private import LOCK, TEMPORARY
from mema.hospital.sidecar import SidecarError, open_sealed
from models.concealing.passwords import KdfParameters, Passphrase
from tests.mema.hospital.killing import files, finish, kill, measure, run
from tests.mema.hospital.workspace import PASSPHRASE, encoded, mema, smooth, write_key

NUM = int(os.environ.get("MEMA_KILLS", "8"))
NEW = "another horse battery"
DEID = ("deid", "photos", "out", "--key-file", "key", "--aligned", "--keep-original")
RESTORE = ("restore", "out", "back", "--key-file", "key", "--exact")
REKEY = ("rekey", "out", "--key-file", "key", "--new-key-file", "new")

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(300 + 60 * NUM)]


@pytest.fixture
def world(hospital):
    """Three photos, and another key."""
    write_key("new", NEW)
    (hospital.photos / "sub").mkdir()
    for number, name in enumerate(("a.png", "sub/b.jpg", "sub/c.png")):
        (hospital.photos / name).write_bytes(encoded(smooth(number), "PNG"))
    return hospital


def forget(*folders: str) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def is_unfinished(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last == LOCK or bool(TEMPORARY.fullmatch(last))


def opens(data: bytes, text: str) -> bool:
    try:
        return bool(open_sealed(data, Passphrase(text, KdfParameters(1, 128, 1))))
    except SidecarError:
        return False


def test_deid_killed_at_any_moment(world):
    known = measure(DEID)
    killed = unfinished = lonely = 0
    for number in range(NUM):
        forget("out", "back", "log")
        killed += kill(DEID, known, random.Random(number))
        left = files(Path("out"))
        unfinished += any(TEMPORARY.fullmatch(Path(name).name) for name in left)
        assert {name for name in left if not is_unfinished(name)} <= {
            f"{name}.png{ending}" for name in files(world.photos) for ending in ("", ".mema")
        }
        lost = halves(world.out)
        lonely += bool(lost)
        _, code, said = finish(run(RESTORE))
        assert not lost or code == 1, (number, said)
        assert not lost or f"sidecar_without_picture {len(lost)}" in said, (number, said)
        _, code, said = finish(run(DEID))
        assert code == 0, (number, said)
        assert not any(map(is_unfinished, files(Path("out"))))
        assert len(files(Path("out"))) == 6
        assert not halves(world.out)
        assert mema("audit", "verify").exit_code == 0
    print(f"\ndeid: {killed} of {NUM} killed, {unfinished} left a file half-written, {lonely} a side-car alone")
    assert killed > NUM / 3


def test_restore_killed_at_any_moment(world):
    measure(DEID)
    known = measure(RESTORE)
    killed = unfinished = 0
    for number in range(NUM):
        forget("back")
        killed += kill(RESTORE, known, random.Random(number))
        left = files(Path("back"))
        unfinished += any(TEMPORARY.fullmatch(Path(name).name) for name in left)
        photos = files(world.photos)
        assert all(photos[name] == data for name, data in left.items() if not is_unfinished(name)), number
        _, code, said = finish(run(RESTORE))
        assert code == 0, (number, said)
        assert files(Path("back")) == photos
        assert mema("audit", "verify").exit_code == 0
    print(f"\nrestore: {killed} of {NUM} killed, {unfinished} left a file half-written")
    assert killed > NUM / 3


def test_rekey_killed_at_any_moment(world):
    measure(DEID)
    shutil.copytree("out", "before")
    known = measure(REKEY)
    killed = unfinished = 0
    for number in range(NUM):
        forget("out")
        shutil.copytree("before", "out")
        killed += kill(REKEY, known, random.Random(number))
        left = files(Path("out"))
        unfinished += any(TEMPORARY.fullmatch(Path(name).name) for name in left)
        sidecars = {name: data for name, data in left.items() if name.endswith(".mema")}
        assert len(sidecars) == 3
        assert all(opens(data, PASSPHRASE) != opens(data, NEW) for data in sidecars.values()), number
        _, code, said = finish(run(REKEY))
        assert code == 0, (number, said)
        left = files(Path("out"))
        assert len(left) == 6
        assert all(opens(data, NEW) for name, data in left.items() if name.endswith(".mema"))
        assert mema("audit", "verify").exit_code == 0
    print(f"\nrekey: {killed} of {NUM} killed, {unfinished} left a file half-written")
    assert killed > NUM / 3
