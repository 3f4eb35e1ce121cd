"""How far readers agree: with one another, with themselves, on outlines, and with what was intended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from models.annotation import agreement
from models.annotation.adjudication import Verdict
from models.annotation.consensus import Method, leave_one_out_dice
from models.annotation.opinion import LOW, USABLE
from models.annotation.outlines import Outline
from models.annotation.provenance import ACCEPTED
from models.diseases import DISEASES
from models.statistics.bootstrap import mean_with_interval
from models.statistics.leakage import wilson_interval

DECIMALS = 6
NONE = -1  # no rating: not voted, or rejected
NOTES = {
    "agreement_with_plan": "Share of images called what the plan intended: the image may not show it.",
    "cohen": "Diseases, on the images that both found usable.",
    "dice": "Each reader against the consensus of the others; a majority of two others is what they share.",
    "expected": "The population's value of simulated readers, from their confusions and the plan's diseases.",
    "fleiss": "Diseases, on the images that all readers found usable; quality on all that all voted on.",
    "intra": "Cohen's kappa of a reader's own hidden repeats.",
}


@dataclass(frozen=True, eq=False)
class Ratings:
    """Who called what: images by readers, diseases as indices into DISEASES, NONE where there is no rating."""

    images: list[str]
    readers: tuple[str, ...]
    disease: Int[np.ndarray, "n r"]
    repeat: Int[np.ndarray, "n r"]
    quality: Int[np.ndarray, "n r"]  # 1 is low, NONE is no vote


def ratings(votes: pa.Table, readers: Sequence[str]) -> Ratings:
    """Return the readers' votes (not the senior's) as a table of indices."""
    columns = ("image_id", "reader", "copy", "disease", "quality")
    images: dict[str, int] = {}
    rows = [vote for vote in votes.select(columns).to_pylist() if vote["reader"] in readers]
    for vote in rows:
        images.setdefault(vote["image_id"], len(images))
    disease, repeat, quality = (np.full((len(images), len(readers)), NONE) for _ in range(3))
    for vote in rows:
        place = images[vote["image_id"]], readers.index(vote["reader"])
        named = DISEASES.index(vote["disease"]) if vote["quality"] == USABLE else NONE
        if vote["copy"]:
            repeat[place] = named
        else:
            disease[place] = named
            quality[place] = vote["quality"] == LOW
    return Ratings(list(images), tuple(readers), disease, repeat, quality)


def reader_report(
    rated: Ratings,
    plan: Mapping[str, str],
    verdicts: Mapping[str, Verdict],
    outlines: Mapping[str, Mapping[str, Outline]],
    confusions: Mapping[str, Sequence[Sequence[float]]] | None,
    *,
    method: Method,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return the whole of readers.json but its source: kappas, Dice and shares, each with n and ci95.

    `plan` names the intended disease of every image; with `confusions`, of simulated readers, every kappa
    of diseases carries the value that their skill lets expect.
    """
    intended = np.array([DISEASES.index(plan[name]) for name in rated.images], np.int64)
    skill = np.array([confusions[name] for name in rated.readers]) if confusions else None
    options = {"num_resamples": num_resamples, "seed": seed}
    called = {name: one.disease for name, one in verdicts.items() if one.disease}
    return {
        "agreement_with_plan": {
            **{
                name: _share(rated.disease[:, r] == intended, rated.disease[:, r] != NONE)
                for r, name in enumerate(rated.readers)
            },
            "adjudicated": _rate(sum(plan[name] == said for name, said in called.items()), len(called)),
        },
        "cohen": _pairs(rated, intended, skill, options),
        "dice": _dice(outlines, rated.readers, method, options),
        "fleiss": _fleiss(rated, intended, skill, options),
        "intra": _intra(rated, intended, skill, options),
        "masks_accepted": {name: _accepted(outlines, name) for name in rated.readers},
        "notes": NOTES,
    }


def _fleiss(rated: Ratings, intended: np.ndarray, skill: np.ndarray | None, options: dict[str, int]) -> dict[str, Any]:
    all_usable = (rated.disease != NONE).all(1)
    found, voted = rated.disease[all_usable], rated.quality[(rated.quality != NONE).all(1)]
    overall = agreement.fleiss(found, len(DISEASES), **options)
    by_disease = agreement.fleiss_by_category(found, DISEASES, **options)
    if skill is not None and len(found) and len(rated.readers) > 1:
        prior = _prior(intended[all_usable])
        overall["expected"] = _rounded(agreement.expected_fleiss(skill, prior))
        for index, name in enumerate(DISEASES):
            merged = agreement.one_against_rest(skill, index)
            by_disease[name]["expected"] = _rounded(agreement.expected_fleiss(merged, prior))
    return {"overall": overall, "per_disease": by_disease, "quality": agreement.fleiss(voted, 2, **options)}


def _pairs(rated: Ratings, intended: np.ndarray, skill: np.ndarray | None, options: dict[str, int]) -> dict[str, Any]:
    return {
        f"{rated.readers[a]}|{rated.readers[b]}": _cohen(
            rated.disease[:, a], rated.disease[:, b], intended, None if skill is None else (skill[a], skill[b]), options
        )
        for a, b in combinations(range(len(rated.readers)), 2)
    }


def _intra(rated: Ratings, intended: np.ndarray, skill: np.ndarray | None, options: dict[str, int]) -> dict[str, Any]:
    return {
        name: _cohen(
            rated.disease[:, r], rated.repeat[:, r], intended, None if skill is None else (skill[r], skill[r]), options
        )
        for r, name in enumerate(rated.readers)
    }


def _cohen(
    first: np.ndarray,
    second: np.ndarray,
    intended: np.ndarray,
    skill: tuple[np.ndarray, np.ndarray] | None,
    options: dict[str, int],
) -> agreement.Kappa:
    both = (first != NONE) & (second != NONE)
    kappa = agreement.cohen(first[both], second[both], **options)
    if skill is not None and both.any():
        kappa["expected"] = _rounded(agreement.expected_cohen(*skill, _prior(intended[both])))
    return kappa


def _prior(intended: Int[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
    return np.bincount(intended, minlength=len(DISEASES)) / len(intended)


def _dice(
    outlines: Mapping[str, Mapping[str, Outline]], readers: Sequence[str], method: Method, options: dict[str, int]
) -> dict[str, Any]:
    found: dict[str, list[float]] = {name: [] for name in readers}
    for drawn in outlines.values():
        masks = {name: one.mask for name, one in drawn.items() if name in found}
        for name, value in leave_one_out_dice(masks, method).items():
            found[name].append(value)
    return {name: mean_with_interval(np.array(values), **options) for name, values in found.items()}


def _accepted(outlines: Mapping[str, Mapping[str, Outline]], name: str) -> dict[str, Any]:
    kinds = [drawn[name].provenance for drawn in outlines.values() if name in drawn]
    return _rate(kinds.count(ACCEPTED), len(kinds))


def _share(hits: np.ndarray, counted: np.ndarray) -> dict[str, Any]:
    return _rate(int((hits & counted).sum()), int(counted.sum()))


def _rate(hits: int, n: int) -> dict[str, Any]:
    return {
        "value": _rounded(hits / n) if n else None,
        "n": n,
        "ci95": [_rounded(edge) for edge in wilson_interval(hits, n)],
    }


def _rounded(value: float) -> float | None:
    """Return the value to DECIMALS, None where it is undefined: JSON has no nan."""
    return round(float(value), DECIMALS) if np.isfinite(value) else None
