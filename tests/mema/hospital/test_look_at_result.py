"""No photo leaves with a face that was missed, kept or is still known; the hospital gets an account of each."""

import csv
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import yaml
from insightface.data import get_image
from PIL import Image

from mema.hospital.places import sidecar_of
from models.deid.card import TrainedOn, digest_of
from models.images import image_id
from models.photos.every_face import Seeker
from tests.mema.hospital.workspace import SECTION, encoded, lay_out, mema, pixels, smooth
from tests.toys.deid import toy_deidentifier


def face() -> Image.Image:
    """Return one person of the photograph that insightface ships."""
    return Image.fromarray(np.asarray(get_image("t1"))[120:340, 224:444, ::-1])


def three_ways() -> Image.Image:
    """Return a face upright, on its side and upside down."""
    ground = Image.new("RGB", (620, 420), (90, 120, 110))
    for turn, place in ((0, (0, 0)), (90, (390, 20)), (180, (200, 200))):
        ground.paste(face().rotate(turn), place)
    return ground


def pair() -> Image.Image:
    """Return two faces side by side."""
    ground = Image.new("RGB", (520, 220), (90, 120, 110))
    ground.paste(face(), (0, 0))
    ground.paste(face().transpose(Image.Transpose.FLIP_LEFT_RIGHT), (300, 0))
    return ground


def account() -> list[dict[str, str]]:
    (table,) = Path().rglob("report.csv")
    return list(csv.DictReader(table.open()))


def run(hospital, *more):
    return mema("deid", hospital.photos, hospital.out, "--key-file", hospital.key, *more)


@pytest.mark.slow
def test_faces_turned_to_all_sides_are_changed_and_come_back(hospital):
    photo = np.asarray(three_ways())
    three_ways().save(hospital.photos / "=three.png")
    result = run(hospital)
    (row,) = account()
    assert int(row["faces"]) >= 3
    assert row["file"] == "'=three.png"
    if result.exit_code == 0:
        (made,) = hospital.out.glob("*.png")
        out = pixels(made)
        for x, y in ((110, 82), (472, 129), (309, 337)):
            assert (out[y - 20 : y + 20, x - 20 : x + 20] != photo[y - 20 : y + 20, x - 20 : x + 20]).any()
        assert mema("restore", hospital.out, "back", "--key-file", hospital.key).exit_code == 0
    else:
        assert row["reason"] in ("face_left", "still_recognisable")
        assert not list(hospital.out.glob("*.png"))


@pytest.mark.slow
def test_what_the_first_search_misses_and_the_look_sees_is_hidden(hospital, monkeypatch):
    """The finder is made blind to all but one face."""
    faces = Seeker.faces
    monkeypatch.setattr(Seeker, "faces", lambda self, rgb: faces(self, rgb)[:1])
    photo = np.asarray(three_ways())
    three_ways().save(hospital.photos / "a.png")
    result = run(hospital)
    assert result.exit_code == 0, result.output
    out = pixels(hospital.out / "a.png.png")
    for x, y in ((110, 82), (472, 129), (309, 337)):
        part = np.s_[y - 20 : y + 20, x - 20 : x + 20]
        assert (out[part] != photo[part]).any(axis=-1).mean() > 0.95
    (row,) = account()
    assert int(row["faces"]) >= 3
    assert mema("restore", hospital.out, "back", "--key-file", hospital.key).exit_code == 0


def test_a_dry_run_writes_the_account_and_nothing_else(hospital):
    face().save(hospital.photos / "a.png")
    result = mema("deid", hospital.photos, hospital.out, "--dry-run", "--expect-faces", "4")
    assert result.exit_code == 1
    (row,) = account()
    assert row["reason"] == "unexpected_faces"
    assert row["done"].startswith("would be")
    assert not hospital.out.exists()
    assert "faces smaller than 40 px were not looked for" in result.output
    for name in ("report.csv", "report.html"):
        (path,) = Path().rglob(name)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert not path.resolve().is_relative_to(hospital.out.resolve())
    page = next(Path().rglob("report.html")).read_text()
    assert "Patients' photographs" in page
    assert "data:image/jpeg;base64," in page
    assert "http" not in page


@pytest.mark.parametrize("aligned", [True, False])
def test_a_model_of_drawn_faces_takes_its_own_pictures_and_no_others(tmp_path, monkeypatch, aligned):
    own = np.asarray(smooth(1))
    ids = [image_id(own)]
    model = toy_deidentifier(tmp_path / "drawn", TrainedOn("drawn", digest_of(ids), "0" * 64, ids))
    monkeypatch.chdir(tmp_path)
    hospital = lay_out(model)
    Path("params.yaml").write_text(yaml.safe_dump({"profile": "paper", "deid_files": SECTION}))
    (hospital.photos / "own.png").write_bytes(encoded(smooth(1)))
    (hospital.photos / "patient.png").write_bytes(encoded(face()))
    result = run(hospital, *(["--aligned"] if aligned else []))
    assert result.exit_code == 1
    reasons = {row["file"]: row["reason"] for row in account()}
    assert reasons["patient.png"] == "model_of_drawn_faces"
    assert reasons["own.png"] == ("" if aligned else "no_face")


def test_the_judge_is_never_the_recogniser_that_the_model_learned_to_fool(hospital, tmp_path):
    from mema.hospital.settings import PACKAGED_JUDGE, _sha256
    from models.photos.alignment import packaged_predictor

    used = _sha256(packaged_predictor().with_name(PACKAGED_JUDGE))
    model = toy_deidentifier(tmp_path / "fooling", TrainedOn("photograph", digest_of([]), used))
    face().save(hospital.photos / "a.png")
    result = run(hospital, "--model", model)
    assert result.exit_code == 2
    assert "the one that the model fools" in " ".join(result.output.split())


@pytest.mark.slow
def test_two_people_side_by_side_in_an_aligned_picture_are_both_changed(hospital):
    """Each lies outside the central square in part."""
    pair().save(hospital.photos / "pair.png")
    result = run(hospital, "--aligned")
    (row,) = account()
    assert int(row["faces"]) >= 3
    out = hospital.out / "pair.png.png"
    assert out.exists() == (result.exit_code == 0)
    if out.exists():
        changed = (pixels(out) != np.asarray(pair())).any(axis=-1)
        assert changed[62:102, 80:140].mean() > 0.95
        assert changed[62:102, 380:440].mean() > 0.95
        assert sidecar_of(out).exists()
