"""Stage train_judges: both judges on originals, val never trained on, a killed run goes on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mema.runtime import shards
from models.diseases import DISEASES
from models.judges.lesion_segmenter import LesionSegmenter, dice_and_jaccard, load_lesion_segmenter
from models.judges.sign_classifier import load_sign_classifier
from models.segmentation.masks import decode_mask, encode_mask
from tasks import schemas
from tasks.deidentify import judged_images, train_judges
from tests.worlds.judges import NUM_SEG, PATHS, face, section, toy_pretrained, write_split, write_world


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A workspace with MeMa, MeMa-Seg and a toy DINOv2; the stage's parameters."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    write_world()
    return section(toy_pretrained(tmp_path))


def weights() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path("judges").rglob("*")) if path.is_file()}


def test_writes_judges_and_what_they_read_on_originals(given):
    assert train_judges.run(*PATHS, given) == 16
    report = json.loads(PATHS[3].read_text())
    assert report["chosen"]["of"] == 2
    assert {name: report["top1"][name]["micro"]["n"] for name in ("select", "val")} == {"select": 8, "val": 16}
    val = judged_images.faces(Path("mema/val"), 96)
    found = load_sign_classifier(Path("judges/classifier")).predict(val.images).argmax(1)
    assert report["top1"]["val"]["micro"]["value"] == round(float((found == val.disease).mean()), 4)
    for k, name in enumerate(DISEASES):
        recall = (found == k)[val.disease == k].mean()
        assert report["top1"]["val"][name] == report["top1"]["val"][name] | {"value": recall, "n": 2}
    judge, seg = (load_lesion_segmenter(Path("judges/segmenter")), judged_images.outlined(Path("mema_seg/val"), 64))
    assert isinstance(judge, LesionSegmenter)
    pairs = zip(judge.segment(list(seg.images)), seg.masks, strict=True)
    overlaps = np.mean([dice_and_jaccard(*pair) for pair in pairs], 0)
    assert [report["segmenter"][name]["value"] for name in ("dice", "jaccard")] == pytest.approx(overlaps, abs=1e-4)
    assert report["segmenter"]["dice"]["n"] == NUM_SEG["val"]


def test_val_does_not_reach_the_weights(given):
    train_judges.run(*PATHS, given)
    before = weights()
    rng = np.random.default_rng(9)
    images = [face(rng) for _ in range(8)]
    write_split(Path("mema/val"), schemas.MEMA, images, {"disease": ["tao"] * 8})
    mask = encode_mask(np.ones((96, 96), bool))
    write_split(Path("mema_seg/val"), schemas.MEMA_SEG, images, {"mask": [mask] * 8})
    train_judges.run(*PATHS, given)
    assert weights() == before


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(given, monkeypatch):
    train_judges.run(*PATHS, given)
    whole = weights()
    shutil.rmtree("judges")
    shutil.rmtree(shards.SCRATCH)
    trained, started = train_judges.train_lesion_segmenter, []

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_judges, "train_lesion_segmenter", killed)
    with pytest.raises(KeyboardInterrupt):
        train_judges.run(*PATHS, given)
    monkeypatch.setattr(train_judges, "train_lesion_segmenter", trained)
    from models.judges import sign_classifier

    augment = sign_classifier.augment
    monkeypatch.setattr(sign_classifier, "augment", lambda *args: started.append(1) or augment(*args))
    train_judges.run(*PATHS, given)
    assert weights() == whole
    assert started == []  # the classifier stood in the scratch folder
    assert all((path / ".published").exists() for path in shards.SCRATCH.glob("train_judges-*"))


def test_a_profile_without_outlines_has_no_segmenter_and_says_why(given):
    write_world({"train": 0, "val": 0})
    train_judges.run(*PATHS, given)
    assert json.loads(PATHS[3].read_text())["segmenter"] == {"reason": train_judges.NO_OUTLINES}
    assert load_lesion_segmenter(Path("judges/segmenter")) == train_judges.NO_OUTLINES


def test_masks_shrink_by_area():
    mask = np.zeros((8, 8), bool)
    mask[:4, :4] = mask[6, 6] = True
    assert np.array_equal(judged_images.resized_mask(mask, 4), np.pad(np.ones((2, 2), bool), (0, 2)))
    assert decode_mask(encode_mask(mask)).sum() == 17
