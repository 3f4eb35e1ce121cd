"""Stage evaluate_medical: rows as counted by hand from the judges' answers; nothing missing goes unseen."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from mema.runtime import shards
from models.diseases import DISEASES
from models.images import decode, encode_png
from models.judges.lesion_segmenter import LesionSegmenter, dice_and_jaccard, load_lesion_segmenter
from models.judges.sign_classifier import load_sign_classifier
from models.segmentation.masks import decode_mask
from tasks.deidentify import evaluate_medical, train_judges
from tasks.deidentify.evaluate_medical import EvaluateMedical
from tests.worlds.judges import PATHS, section, toy_pretrained, write_world

SECTION = EvaluateMedical(bootstrap=200, seed=7)
METHODS, METRICS = Path("deidentified"), Path("medical.json")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MeMa, MeMa-Seg and trained judges."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_world()
        train_judges.run(*PATHS, section(toy_pretrained(folder)))
    return folder


@pytest.fixture
def inside(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of its own with links to the world."""
    monkeypatch.chdir(tmp_path)
    for name in ("mema", "mema_seg", "judges"):
        Path(name).symlink_to(world / name)
    return tmp_path


def originals() -> dict[str, np.ndarray]:
    table = shards.read_table(Path("mema/val"))
    return {
        name: decode(data) for name, data in zip(*(table[c].to_pylist() for c in ("image_id", "image")), strict=True)
    }


def write_method(name: str, images: dict[str, np.ndarray]) -> None:
    columns = {"image_id": list(images), "image": [encode_png(image) for image in images.values()]}
    shards.write_shards(pa.table(columns), METHODS / name, shard_rows=6)


def rows() -> dict[str, dict]:
    evaluate_medical.run(Path("mema"), Path("mema_seg"), METHODS, Path("judges"), METRICS, SECTION, "phantom")
    report = json.loads(METRICS.read_text())
    assert report["profile"] == "phantom"
    return {row["method"]: row for row in report["rows"]}


def test_a_row_is_what_the_judges_say_of_its_images_whatever_their_order(inside):
    images = originals()
    negative = {name: 255 - image for name, image in reversed(images.items())}
    write_method("negative", negative)
    write_method("identity", images)
    found = rows()
    assert list(found) == ["original", "identity", "negative"]
    assert {k: v for k, v in found["original"].items() if k != "method"} == {
        k: v for k, v in found["identity"].items() if k != "method"
    }
    table = shards.read_table(Path("mema/val"))
    classifier = load_sign_classifier(Path("judges/classifier"))
    truth = np.array([DISEASES.index(name) for name in table["disease"].to_pylist()])
    answers = classifier.predict([negative[name] for name in table["image_id"].to_pylist()]).argmax(1)
    recalls = [(answers == k)[truth == k].mean() for k in range(8)]
    assert [found["negative"][name]["value"] for name in DISEASES] == recalls
    assert found["negative"]["all"]["value"] == pytest.approx(np.mean(recalls), abs=1e-4)
    assert found["negative"]["micro"]["value"] == pytest.approx((answers == truth).mean(), abs=1e-4)
    judge, seg = load_lesion_segmenter(Path("judges/segmenter")), shards.read_table(Path("mema_seg/val"))
    assert isinstance(judge, LesionSegmenter)
    masks = judge.segment([negative[name] for name in seg["image_id"].to_pylist()])
    pairs = zip(masks, map(decode_mask, seg["mask"].to_pylist()), strict=True)
    overlaps = np.mean([dice_and_jaccard(*pair) for pair in pairs], 0)
    assert [found["negative"][name]["value"] for name in ("dice", "jaccard")] == pytest.approx(overlaps, abs=1e-4)
    assert found["negative"]["dice"]["n"] == 3


def test_recall_against_the_plan_stands_beside_recall_against_the_readers(inside):
    table = shards.read_table(Path("mema/val"))
    planned = table["planned_disease"].to_pylist()
    ids = table["image_id"].to_pylist()
    planned[2], planned[5] = planned[5], planned[2]
    planned[0] = "tao"  # now nobody was planned normal but row 8
    Path("mema").unlink()
    other = table.set_column(table.schema.get_field_index("planned_disease"), "planned_disease", pa.array(planned))
    shards.write_shards(other, Path("mema/val"), shard_rows=5)
    write_method("identity", originals())
    found = rows()["identity"]
    classifier = load_sign_classifier(Path("judges/classifier"))
    answers = classifier.predict([originals()[name] for name in ids]).argmax(1)
    truth = np.array([DISEASES.index(name) for name in planned])
    assert [found["planned"][name]["n"] for name in DISEASES] == np.bincount(truth, minlength=8).tolist()
    assert found["planned"]["micro"]["value"] == pytest.approx((answers == truth).mean(), abs=1e-4)
    assert [found[name]["n"] for name in DISEASES] == [2] * 8
    assert json.loads(METRICS.read_text())["labels"] == {"n": 16, "differ_from_plan": 3}


def test_a_method_that_lacks_an_image_or_has_one_twice_fails_with_numbers(inside):
    images = originals()
    names = list(images)
    write_method("short", {name: images[name] for name in names if name not in (names[3], names[11])})
    with pytest.raises(ValueError, match=r"short: short lacks 2 of 16 images \(rows 3, 11\); run the stage"):
        rows()
    write_method("short", images)
    columns = {"image_id": [*names, names[0]], "image": [encode_png(images[n]) for n in [*names, names[0]]]}
    shards.write_shards(pa.table(columns), METHODS / "short", shard_rows=6)
    with pytest.raises(ValueError, match="short has 1 images twice"):
        rows()
    assert not METRICS.exists()


def test_an_image_of_another_size_than_its_outline_fails(inside):
    write_method("shrunk", {name: image[:48, :48] for name, image in originals().items()})
    with pytest.raises(ValueError, match="shrunk made an image of 48 x 48 px where the outline has 96 x 96"):
        rows()


def test_no_method_at_all_fails(inside):
    with pytest.raises(ValueError, match="deidentified: no folder of a method there"):
        rows()


def test_a_profile_without_outlines_says_why(inside, monkeypatch):
    for name in ("mema_seg", "mema"):
        Path(name).unlink()
    write_world({"train": 0, "val": 0})
    write_method("identity", originals())
    assert rows()["identity"]["dice"] == {
        "value": None, "n": 0, "ci95": [None, None], "reason": evaluate_medical.NOTHING_TO_OUTLINE
    }  # fmt: skip
    assert rows()["identity"]["micro"]["n"] == 16
