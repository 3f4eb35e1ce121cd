"""A run that was killed goes on where it was; no side-car is ever made anew for a picture in use."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mema.hospital.places import sidecar_of
from tests.mema.hospital.workspace import encoded, mema, rejected, smooth

ROOT = Path(__file__).parents[3]
PROGRAM = "from tests.mema.hospital.workspace import program; program()()"


def test_a_side_car_without_its_picture_gives_the_same_picture_again(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    assert hospital.deid().exit_code == 0
    picture, sidecar = hospital.out / "a.png.png", sidecar_of(hospital.out / "a.png.png")
    before = picture.read_bytes(), sidecar.read_bytes()
    picture.unlink()
    assert hospital.deid().exit_code == 0
    assert (picture.read_bytes(), sidecar.read_bytes()) == before


def test_a_side_car_of_another_picture_is_kept_and_told(hospital):
    """As after another detector or model: the picture that it belongs to may be in use elsewhere."""
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1, (200, 100))))
    assert hospital.deid().exit_code == 0
    sidecar = sidecar_of(hospital.out / "a.png.png")
    before = sidecar.read_bytes()
    (hospital.out / "a.png.png").unlink()
    model = Path("toy").resolve()
    Path("toy").unlink()
    Path("toy").mkdir()
    for path in model.iterdir():
        (Path("toy") / path.name).symlink_to(path)
    config = Path("toy/config.json")
    text = config.read_text()
    config.unlink()
    config.write_text(text + "\n")  # another digest, and so another model
    assert hospital.deid().exit_code == 1
    assert rejected(hospital.photos) == {"a.png": "sidecar_without_picture"}
    assert sidecar.read_bytes() == before
    assert not (hospital.out / "a.png.png").exists()


def test_half_written_files_of_a_killed_run_are_removed(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    hospital.out.mkdir()
    stale = [hospital.out / name for name in (".a.png.12345.tmp", ".mema-77-0123abcd.tmp")]
    kept = hospital.out / ".mema-notes.tmp"
    for path in (*stale, kept):
        path.write_bytes(b"half")
    assert hospital.deid().exit_code == 0
    assert not any(path.exists() for path in stale)
    assert kept.exists()


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_run_goes_on(hospital):
    for number in range(24):
        (hospital.photos / f"{number:03d}.png").write_bytes(encoded(smooth(number)))
    command = [sys.executable, "-c", PROGRAM, "deid", "photos", "out", "--key-file", "key", "--aligned"]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(list(hospital.out.glob("*.png"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path: path.read_bytes() for path in hospital.out.iterdir() if not path.name.startswith(".")}
    pictures = {path for path in finished if path.suffix == ".png"}
    assert 3 <= len(pictures) < 24
    assert all(sidecar_of(path) in finished for path in pictures)
    result = hospital.deid()
    assert result.exit_code == 0, result.output
    assert f"{len(pictures)} done before" in result.output
    assert all(path.read_bytes() == data for path, data in finished.items())
    assert len(list(hospital.out.glob("*.png"))) == 24
    assert not [path for path in hospital.out.iterdir() if path.name.startswith(".")]
    assert mema("audit", "verify").exit_code == 0
