"""Photographs there and back, with the detectors that a hospital uses."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mema.hospital.places import sidecar_of
from tests.mema.hospital.workspace import SECTION, encoded, mema, pixels, rejected, write_key

ULTRAFACE = "weights/ultraface/version-RFB-320.onnx"


@pytest.mark.real
def test_photographs_there_and_back(assets: Path, hospital):
    section = SECTION | {"detector": "ultraface", "detector_path": str(assets / ULTRAFACE)}
    Path("params.yaml").write_text(yaml.safe_dump({"deid_files": section}))
    exif = Image.Exif()
    exif[0x013B] = "Dr Photographer"
    folders = sorted(path for path in (assets / "data/lfw_10x10").iterdir() if path.is_dir())
    for folder in folders[:4]:
        photo = Image.open(sorted(folder.glob("*.jpg"))[0])
        (hospital.photos / f"{folder.name}.jpg").write_bytes(encoded(photo, "JPEG", exif=exif, quality=95))
    result = mema("deid", hospital.photos, hospital.out, "--key-file", hospital.key, "--keep-original")
    assert result.exit_code == 0, (result.output, rejected(hospital.photos))
    assert mema("restore", hospital.out, "back", "--key-file", hospital.key).exit_code == 0
    assert mema("restore", hospital.out, "exact", "--key-file", hospital.key, "--exact").exit_code == 0
    for path in sorted(hospital.photos.iterdir()):
        out = hospital.out / f"{path.name}.png"
        assert not Image.open(out).getexif()
        assert b"Photographer" not in out.read_bytes() + sidecar_of(out).read_bytes()
        assert Path("exact", path.name).read_bytes() == path.read_bytes()
        photo, changed, back = pixels(path), pixels(out), pixels(Path("back", out.name))
        share = (photo != changed).any(axis=-1).mean()
        assert 0.03 < share < 0.7
        assert np.abs(photo.astype(int) - changed)[(photo != changed)].mean() > 10
        assert (photo != back).any(axis=-1).mean() <= 1.05 * share
    other = write_key("other", "a passphrase of others")
    assert mema("restore", hospital.out, "no", "--key-file", other).exit_code == 1
    assert mema("audit", "verify").exit_code == 0
