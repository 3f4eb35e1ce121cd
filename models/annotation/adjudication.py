"""From several readers' votes to one verdict an image, and which images a senior reader has to see."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from models.annotation.opinion import LOW, USABLE

UNANIMOUS, MAJORITY, SENIOR = "unanimous", "majority", "senior"
TOO_FEW_VOTES, QUALITY_TIE, DISEASE_SPLIT = "too_few_votes", "quality_tie", "disease_split"
MIDDLE = "mid"  # a tie between severities
COLUMNS = ["image_id", "reader", "round", "copy", "disease", "severity", "quality"]
Vote = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What is held true of an image; `unresolved` names why there is none, and the rest is "" then.

    A rejected image has quality "low" and no disease.
    """

    image_id: str
    disease: str = ""
    severity: str = ""
    quality: str = ""
    decided_by: str = ""
    unresolved: str = ""


def adjudicate(votes: pa.Table, num_readers: int) -> list[Verdict]:
    """Return the verdict of every image that has a vote, in the order of its first vote.

    `votes` has COLUMNS. More than half of the `num_readers` must have voted; of those, more than half
    decide about the quality, and more than half of those who found it usable about the disease. Where
    there is no such half, the senior's vote stands. A hidden repeat never votes.
    """
    readers: defaultdict[str, list[Vote]] = defaultdict(list)
    senior: dict[str, Vote] = {}
    for vote in votes.select(COLUMNS).to_pylist():
        cast = readers[vote["image_id"]]
        if vote["round"] == "adjudication":
            senior[vote["image_id"]] = vote
        elif vote["copy"] == 0:
            cast.append(vote)
    return [_verdict(image_id, cast, senior.get(image_id), num_readers) for image_id, cast in readers.items()]


def disagreements(votes: pa.Table, num_readers: int) -> list[str]:
    """Return the images on which the readers, each having spoken as far as they will, do not agree.

    Sorted, so that the order tells nothing. Images with too few votes are not the senior's business.
    """
    reading = votes.filter([name == "reading" for name in votes["round"].to_pylist()])
    verdicts = adjudicate(reading, num_readers)
    return sorted(one.image_id for one in verdicts if one.unresolved in (QUALITY_TIE, DISEASE_SPLIT))


def _verdict(image_id: str, cast: Sequence[Vote], senior: Vote | None, num_readers: int) -> Verdict:
    fault = ""
    if 2 * len(cast) <= num_readers:
        fault = TOO_FEW_VOTES
    elif not (quality := _more_than_half([vote["quality"] for vote in cast])):
        fault = QUALITY_TIE
    elif quality == LOW:
        return Verdict(image_id, quality=LOW, decided_by=_by(vote["quality"] for vote in cast))
    else:
        diseases = [vote["disease"] for vote in cast if vote["quality"] == USABLE]
        if disease := _more_than_half(diseases):
            by = _by(diseases) if len(diseases) == len(cast) else MAJORITY
            return Verdict(image_id, disease, severity(disease, cast), USABLE, by)
        fault = DISEASE_SPLIT
    if senior is None:
        return Verdict(image_id, unresolved=fault)
    if senior["quality"] == LOW:
        return Verdict(image_id, quality=LOW, decided_by=SENIOR)
    said = senior["severity"] if senior["disease"] != "normal" else ""
    level = said or severity(senior["disease"], cast)
    return Verdict(image_id, senior["disease"], level, USABLE, SENIOR)


def severity(disease: str, cast: Sequence[Vote]) -> str:
    """Return the severity most often given by those who saw this disease, the middle one of a tie.

    "" where nobody gave one, and for normal.
    """
    given = Counter(vote["severity"] for vote in cast if vote["disease"] == disease and vote["severity"])
    if disease == "normal" or not given:
        return ""
    most = max(given.values())
    leading = [name for name, count in given.items() if count == most]
    return leading[0] if len(leading) == 1 else MIDDLE


def _more_than_half(values: Sequence[str]) -> str:
    """Return the value that more than half of `values` have, else ""."""
    value, count = Counter(values).most_common(1)[0]
    return value if 2 * count > len(values) else ""


def _by(values: Iterable[str]) -> str:
    return UNANIMOUS if len(set(values)) == 1 else MAJORITY
