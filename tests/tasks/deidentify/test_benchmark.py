"""Somebody's folder in all tables: the row of a blur made outside is that of the built-in blur (acceptance 5)."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mema.params.deidentify import Deidentify
from mema.runtime import shards
from tasks.deidentify import benchmark, deidentify, evaluate_identity, evaluate_medical, evaluate_utility, train_judges
from tasks.works.generation import GeneratorFiles
from tests.worlds import judges as judges_world
from tests.worlds.deid import PROFILE, PSEUDONYMS, SIZE_PX, UTILITY, write_deid_world

JUDGED = evaluate_medical.EvaluateMedical(bootstrap=50, seed=7)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """MeMa with the built-in blur and its rows in data/metrics, and toy judges."""
    root = tmp_path_factory.mktemp("world")
    world = write_deid_world(root)
    data, mema, mema_seg = world.data, world.data / "mema", world.data / "mema_seg"
    section = Deidentify.model_validate(
        {"methods": {"blur": {"use": "gaussian_blur", "options": {"sigma": 0.05}}}, "password_dim": 8,
         "batch_size": 4, "shard_rows": 6, "seed": 7}
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        judges = judges_world.section(judges_world.toy_pretrained(root))
        train_judges.run(mema, mema_seg, data / "judges", root / "judges.json", judges)
        files = deidentify.Files(GeneratorFiles(Path(), None, None, "fp32"), mema / "train", Path())
        deidentify.run(mema, mema_seg, data / "deidentified", section, files)
        metrics, made = data / "metrics", data / "deidentified"
        loss = world.loss_recogniser
        evaluate_identity.run(
            mema, data / "public/faces", made, metrics / "identity.json", world.identity(), loss, PSEUDONYMS, "phantom"
        )
        evaluate_utility.run(mema, made, metrics / "utility.json", UTILITY, "phantom")
        evaluate_medical.run(mema, mema_seg, made, data / "judges", metrics / "medical.json", JUDGED, "phantom")
    return world


@pytest.fixture(scope="module")
def params(world):
    return SimpleNamespace(
        release=PROFILE.release,
        release_key=PROFILE.release_key,
        profile="phantom",
        evaluate_identity=world.identity(),
        evaluate_utility=UTILITY,
        evaluate_medical=JUDGED,
    )


@pytest.fixture
def folder(world, tmp_path):
    """Blurred by OpenCV alone, from PNG to PNG, as a user would."""
    rows = deidentify.validation_images(world.data / "mema", world.data / "mema_seg")
    (tmp_path / "mine").mkdir()
    for image_id, data in zip(rows["image_id"].to_pylist(), rows["image"].to_pylist(), strict=True):
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None
        blurred = cv2.GaussianBlur(bgr, (0, 0), 0.05 * SIZE_PX)
        assert cv2.imwrite(str(tmp_path / "mine" / f"{image_id}.png"), blurred)
    return tmp_path / "mine"


def ids(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.iterdir())


def test_blur_made_outside_has_the_row_of_the_built_in_blur(world, params, folder, tmp_path):
    said: list[str] = []
    (folder / "readme.txt").write_text("made with OpenCV")
    found = benchmark.run(folder, "mine", params, world.data, tmp_path / "out", said.append)
    for table in benchmark.TABLES:
        expected = next(
            row for row in benchmark.built_in(world.data / f"metrics/{table}.json") if row["method"] == "blur"
        )
        assert found[table] == expected | {"method": "mine"}
    assert (tmp_path / "out/mine.json").is_file()
    text = "\n".join(said)
    assert "1 other files ignored; wanted are <image_id>.png or .jpg" in text
    for title in ("Table 3, profile phantom", "Tables 5 and 6, profile phantom", "Table 7, profile phantom"):
        assert title in text
    value = found["identity"]["id_dis"]["coarse"]["value"]
    lines = [line.split() for line in said if f" {value:.4f} [" in line]
    assert [line[0] for line in lines[:2]] == ["blur", "mine"]


@pytest.mark.slow
def test_another_blur_has_another_row(world, params, folder, tmp_path):
    for path in folder.iterdir():
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(path), cv2.blur(image, (15, 15)))
    found = benchmark.run(folder, "mine", params, world.data, tmp_path / "out", lambda _: None)
    (blur,) = benchmark.built_in(world.data / "metrics/identity.json")
    assert found["identity"]["id_dis"] != blur["id_dis"]


def test_jpeg_counts_too(world, folder):
    first = ids(folder)[0]
    image = cv2.imread(str(folder / f"{first}.png"))
    assert image is not None
    (folder / f"{first}.png").unlink()
    cv2.imwrite(str(folder / f"{first}.jpg"), image)
    findings = benchmark.read_images(folder, deidentify.validation_images(world.data / "mema", world.data / "mema_seg"))
    assert not findings.missing
    assert not findings.unusable
    assert len(findings.found) == 16


def test_missing_and_unusable_images_are_named_and_no_row_is_made(world, params, folder, tmp_path):
    names = ids(folder)
    (folder / f"{names[0]}.png").unlink()
    cv2.imwrite(str(folder / f"{names[1]}.png"), np.zeros((64, 48, 3), np.uint8))
    (folder / f"{names[2]}.png").write_bytes(b"")  # as a copy that was cut off leaves it
    cv2.imwrite(str(folder / f"{names[3]}.jpg"), np.zeros((96, 96, 3), np.uint8))
    with pytest.raises(ValueError, match=r"of 16 images 1 missing: .*3 unusable") as caught:
        benchmark.run(folder, "mine", params, world.data, tmp_path / "out", lambda _: None)
    message = str(caught.value)
    assert f"1 missing: {names[0]}" in message
    for part in ("48x64 px of 96x96 px", f"{names[2]}.png: no readable picture", f"{names[3]}: both .png and .jpg"):
        assert part in message
    assert not (tmp_path / "out").exists()


def test_a_name_and_a_folder_that_are_none(world, params, tmp_path):
    with pytest.raises(ValueError, match=r"--name: '../x'; allowed: small letters"):
        benchmark.run(tmp_path, "../x", params, world.data, tmp_path / "out")
    with pytest.raises(ValueError, match=r"--images: no folder .*absent"):
        benchmark.run(tmp_path / "absent", "x", params, world.data, tmp_path / "out")


def test_long_lists_are_cut():
    findings = benchmark.Findings(missing=[f"id{i}" for i in range(25)])
    assert list(findings.lines()) == [f"25 missing: {', '.join(f'id{i}' for i in range(10))}, and 15 more"]
    assert shards.SCRATCH in benchmark.OUT.parents
