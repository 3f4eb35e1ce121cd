"""Stage evaluate_medical: what each method leaves of the signs and the tumours (Table 3)."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

from mema.params import load
from mema.params.deidentify import EvaluateMedical
from mema.runtime import durable, shards, stage
from models.diseases import DISEASES
from models.judges.lesion_segmenter import LesionSegmenter, dice_and_jaccard, load_lesion_segmenter
from models.judges.sign_classifier import SignClassifier, load_sign_classifier
from models.segmentation.masks import decode_mask
from models.statistics.bootstrap import mean_with_interval
from models.statistics.recall import top1
from tasks.deidentify.judged_images import batches, check_complete

STAGE = "evaluate_medical"
OVERLAPS = ("dice", "jaccard")
NOTHING_TO_OUTLINE = "MeMa-Seg has no validation image in this profile"
Batch = tuple[list[str], list[np.ndarray]]


class Judges:
    """Both judges with the truth of MeMa's and MeMa-Seg's validation splits."""

    def __init__(self, judges: Path, mema: Path, mema_seg: Path, section: EvaluateMedical):
        self.classifier: SignClassifier = load_sign_classifier(judges / "classifier")
        self.segmenter: LesionSegmenter | str = load_lesion_segmenter(judges / "segmenter")
        columns = ["image_id", "disease", "planned_disease"]
        table = shards.read_table(mema / "val", columns=columns)
        ids, diseases, planned = (table[name].to_pylist() for name in columns)
        self.diseases: dict[str, str] = dict(zip(ids, diseases, strict=True))
        self.planned: dict[str, str] = dict(zip(ids, planned, strict=True))
        table = shards.read_table(mema_seg / "val", columns=["image_id", "mask"])
        self.masks = dict(zip(*(table[name].to_pylist() for name in ("image_id", "mask")), strict=True))
        self._section = section

    def row(self, method: str, source: Path, made: Iterable[Batch]) -> dict[str, Any]:
        """Return Table 3's row of a method; raises ValueError where it lacks an image of either split."""
        found: dict[str, int] = {}
        overlaps: dict[str, tuple[float, float]] = {}
        names: list[str] = []
        for ids, images in made:
            names += ids
            self._classify(ids, images, found)
            self._outline(method, source, ids, images, overlaps)
        wanted = list(dict.fromkeys([*self.diseases, *self.masks]))
        check_complete(method, source, wanted, names)
        planned = {"planned": self._recall(found, self.planned)}
        return {"method": method, **self._recall(found, self.diseases), **planned, **self._overlap(overlaps)}

    def labels(self) -> dict[str, int]:
        """Return how many images have another label than was planned."""
        differ = sum(disease != self.planned[name] for name, disease in self.diseases.items())
        return {"n": len(self.diseases), "differ_from_plan": differ}

    def _classify(self, ids: list[str], images: list[np.ndarray], found: dict[str, int]) -> None:
        rows = [row for row, name in enumerate(ids) if name in self.diseases]
        answers = self.classifier.predict([images[row] for row in rows]).argmax(1)
        found.update({ids[row]: int(answer) for row, answer in zip(rows, answers, strict=True)})

    def _outline(
        self, method: str, source: Path, ids: list[str], images: list[np.ndarray], overlaps: dict[str, Any]
    ) -> None:
        if isinstance(self.segmenter, str):
            return
        rows = [row for row, name in enumerate(ids) if name in self.masks]
        masks = self.segmenter.segment([images[row] for row in rows])
        for row, mask in zip(rows, masks, strict=True):
            truth = decode_mask(self.masks[ids[row]])
            if mask.shape != truth.shape:
                raise ValueError(
                    f"{source}: {method} made an image of {mask.shape[0]} x {mask.shape[1]} px where the outline "
                    f"has {truth.shape[0]} x {truth.shape[1]}; keep the size of the original"
                )
            overlaps[ids[row]] = dice_and_jaccard(mask, truth)

    def _recall(self, found: dict[str, int], diseases: dict[str, str]) -> dict[str, Any]:
        truth = np.array([DISEASES.index(name) for name in diseases.values()], np.int64)
        answers = np.array([found[name] for name in diseases], np.int64)
        seed, num = self._section.seed, self._section.bootstrap
        return top1(answers, truth, DISEASES, seed=seed, num_resamples=num)

    def _overlap(self, overlaps: dict[str, tuple[float, float]]) -> dict[str, Any]:
        if isinstance(self.segmenter, str) or not self.masks:
            reason = self.segmenter if isinstance(self.segmenter, str) else NOTHING_TO_OUTLINE
            return {name: {"value": None, "n": 0, "ci95": [None, None], "reason": reason} for name in OVERLAPS}
        values = np.array([overlaps[name] for name in self.masks])
        known = values[~np.isnan(values[:, 0])]
        seed, num = self._section.seed, self._section.bootstrap
        return {name: mean_with_interval(known[:, k], seed=seed, num_resamples=num) for k, name in enumerate(OVERLAPS)}


def original_batches(splits: Iterable[Path]) -> Iterable[Batch]:
    """Yield the originals of several splits, an image that stands in two of them once."""
    seen: set[str] = set()
    for split in splits:
        for ids, images in batches(split):
            fresh = [row for row, name in enumerate(ids) if name not in seen]
            seen.update(ids)
            yield [ids[row] for row in fresh], [images[row] for row in fresh]


def method_folders(deidentified: Path) -> list[Path]:
    """Return the methods' folders by name; raises ValueError where there is none."""
    folders = sorted(path for path in deidentified.iterdir() if path.is_dir()) if deidentified.is_dir() else []
    if not folders:
        raise ValueError(f"{deidentified}: no folder of a method there; run the stage deidentify (dvc repro)")
    return folders


def evaluate(judges: Judges, mema: Path, mema_seg: Path, folders: list[Path]) -> list[dict[str, Any]]:
    """Return the row of the originals, then one a method."""
    splits = [mema / "val", mema_seg / "val"]
    sources: dict[str, tuple[Path, Callable[[], Iterable[Batch]]]] = {
        "original": (mema / "val", lambda: original_batches(splits))
    }
    for folder in folders:
        sources[folder.name] = (folder, lambda folder=folder: batches(folder))
    bar = tqdm(sources.items(), desc=STAGE, unit=" methods")
    return [judges.row(name, source, made()) for name, (source, made) in bar]


def run(
    mema: Path, mema_seg: Path, deidentified: Path, judges: Path, metrics: Path, section: EvaluateMedical, profile: str
) -> int:
    """Write Table 3; return the number of rows."""
    folders = method_folders(deidentified)
    both = Judges(judges, mema, mema_seg, section)
    rows = evaluate(both, mema, mema_seg, folders)
    durable.write_json(metrics, {"profile": profile, "rows": rows, "labels": both.labels()})
    return len(rows)


def main(
    mema: Annotated[Path, typer.Option(help="folder of train, select and val")],
    mema_seg: Annotated[Path, typer.Option(help="folder of train and val, with masks")],
    deidentified: Annotated[Path, typer.Option(help="folder of one folder of shards a method")],
    judges: Annotated[Path, typer.Option(help="folder of classifier and segmenter")],
    metrics: Annotated[Path, typer.Option(help="out: Table 3 as JSON")],
) -> None:
    """Measure the medical utility of every method."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(mema, mema_seg, deidentified, judges, metrics, params.evaluate_medical, params.profile)


if __name__ == "__main__":
    stage.start(main)
