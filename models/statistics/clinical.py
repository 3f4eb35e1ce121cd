"""Whether physicians see the same in de-identified images: majority votes and Cohen's kappa (Table 4)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.annotation.agreement import cohen

ORIGINAL = "original"
TIE = ""  # no diagnosis has more than half of the votes


@dataclass(frozen=True)
class Diagnosis:
    """What one reader said about one image as shown by one method; "original" is the photograph itself."""

    image_id: str
    method: str
    reader: str
    disease: str


def majority(votes: Sequence[str]) -> str:
    """Return the diagnosis that more than half of the votes name, else TIE: three readers may name three."""
    if not votes:
        return TIE
    disease, count = Counter(votes).most_common(1)[0]
    return disease if 2 * count > len(votes) else TIE


def decisions(diagnoses: Iterable[Diagnosis], num_readers: int) -> dict[str, dict[str, str]]:
    """Return {method: {image_id: majority or TIE}} of the images that exactly `num_readers` readers diagnosed.

    A reader who said two things about the same image and method is refused (ValueError).
    """
    votes: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for one in diagnoses:
        said = votes[one.method, one.image_id]
        if said.setdefault(one.reader, one.disease) != one.disease:
            raise ValueError(
                f"diagnoses: reader {one.reader!r} said both {said[one.reader]!r} and {one.disease!r} of one "
                f"image of {one.method!r}; keep one"
            )
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for (method, image_id), said in votes.items():
        if len(said) == num_readers:
            found[method][image_id] = majority(list(said.values()))
    return dict(found)


def clinical_rows(
    decided: dict[str, dict[str, str]], diseases: Sequence[str], *, num_resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Return a row per method: Cohen's kappa with the originals for each disease against the rest, and over all.

    Images without a majority on either side are left out and counted in `undecided`; images that only one side
    has, in `unpaired`.
    """
    if ORIGINAL not in decided:
        raise ValueError(f"diagnoses: none of the method {ORIGINAL!r}, to which the others are compared")
    rows = []
    for method in sorted(set(decided) - {ORIGINAL}):
        both = sorted(decided[method].keys() & decided[ORIGINAL].keys())
        pairs = [(decided[ORIGINAL][i], decided[method][i]) for i in both]
        sure = [pair for pair in pairs if TIE not in pair]
        codes = np.array([[diseases.index(name) for name in pair] for pair in sure], np.int64).reshape(-1, 2)
        first, second = codes[:, 0], codes[:, 1]
        kappas = {
            disease: cohen(
                (first == index).astype(np.int64), (second == index).astype(np.int64),
                num_resamples=num_resamples, seed=seed,
            )
            for index, disease in enumerate(diseases)
        }  # fmt: skip
        kappas["all"] = cohen(first, second, num_resamples=num_resamples, seed=seed)
        counts = {
            "n": len(sure), "undecided": len(pairs) - len(sure),
            "unpaired": len(decided[method].keys() ^ decided[ORIGINAL].keys()),
        }  # fmt: skip
        rows.append({"method": method} | {name: _with_reason(kappa) for name, kappa in kappas.items()} | counts)
    return rows


def _with_reason(kappa: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in kappa.items() if key != "why"}
    return found | {"ci95": kappa["ci95"] or [None, None]} | ({"reason": kappa["why"]} if "why" in kappa else {})
