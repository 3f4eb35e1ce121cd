"""The sections of pictures: examples of each disease, disputed images, and outlines over MeMa-Seg."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from jaxtyping import Bool

from models.annotation.adjudication import SENIOR
from models.annotation.opinion import LOW
from models.diseases import DISEASE_NAMES, DISEASES
from models.report.markup import Markup, section, tag
from models.report.pictures import data_uri
from models.report.readers.agreement import PROVENANCES
from models.report.readers.measured import Disputed, Example, Outlined, ReadersGallery
from models.report.words import count, planned, plural
from models.segmentation.masks import decode_mask

NORMAL = "normal"
SHOWN_PX, OUTLINED_PX = 192, 288  # twice and three times a twin's image


def named(disease: str, severity: str) -> str:
    """Return 'ptosis, mid'."""
    name = DISEASE_NAMES.get(disease, disease)
    return f"{name}, {severity}" if severity else name


def _picture(example: Example) -> Markup:
    alt = f"generated face: {named(example.disease, example.severity)}"
    return tag("img", src=data_uri(example.image), alt=alt, width=SHOWN_PX, height=SHOWN_PX)


def _caption(example: Example) -> Markup | None:
    severity = None if example.disease == NORMAL else example.severity or "no severity"
    other = planned(example.disease, example.planned_disease)
    lines = [severity, tag("span", other, class_="planned") if other else None]
    shown = [line for line in lines if line]
    return tag("figcaption", *shown) if shown else None


def examples(gallery: ReadersGallery) -> Markup:
    """Return a row of examples a disease."""
    rows = []
    for disease in DISEASES:
        shown = gallery.by_disease.get(disease, ())
        figures = [tag("figure", _picture(one), _caption(one), class_="case") for one in shown]
        none = tag("p", f"No image of {DISEASE_NAMES[disease]} in train.", class_="weak")
        rows += [tag("h3", DISEASE_NAMES[disease]), tag("div", *figures, class_="cases row") if shown else none]
    return section(
        "examples",
        "Examples of each disease",
        tag(
            "p",
            "Disease and severity as adjudicated; images that all readers named alike before others, severities in "
            "turn, not chosen for their looks. Where the readers' disease is not the one that was planned, the "
            "plan's stands below: either may be wrong. This page shows images of train only: select and val stay "
            "unseen.",
        ),
        *rows,
    )


def disputed(gallery: ReadersGallery) -> Markup:
    """Return images on which readers disagreed, their votes below."""
    shown, number = gallery.disputed, gallery.num_disputed
    if not shown:
        return section("disputed", "Where readers disagreed", tag("p", "They agreed on every image of train."))
    of_all = "" if len(shown) == number else f" {len(shown)} of them, those that went to the senior first."
    return section(
        "disputed",
        "Where readers disagreed",
        tag(
            "p",
            f"On {plural(number, 'image')} of train readers named different diseases, or rejected what others "
            f"kept.{of_all} In bold the verdict; in red the votes against it.",
        ),
        tag("div", *(_disputed(case) for case in shown), class_="cases"),
    )


def _disputed(case: Disputed) -> Markup:
    example = case.example
    by = "by the senior" if case.decided_by == SENIOR else "by majority"
    other = planned(example.disease, example.planned_disease)
    plan = tag("span", other, class_="planned") if other else "as planned"
    return tag(
        "figure",
        _picture(example),
        tag(
            "figcaption",
            tag("b", named(example.disease, example.severity)),
            f" {by}, ",
            plan,
            tag("ul", *(_vote(vote, example.disease) for vote in case.votes), class_="votes"),
        ),
        class_="case",
    )


def _vote(vote: Mapping[str, str], verdict: str) -> Markup:
    low = vote["quality"] == LOW
    said = "low quality" if low else named(vote["disease"], vote["severity"])
    against = low or vote["disease"] != verdict
    return tag("li", f"{vote['reader']}: {said}", class_="against" if against else None)


def outlined(gallery: ReadersGallery) -> Markup:
    """Return images of MeMa-Seg with the consensus outline drawn over them."""
    shown = gallery.outlined
    if not shown:
        return section("seg", "MeMa-Seg", tag("p", "MeMa-Seg is empty: no outline was wanted."))
    of_all = "All" if len(shown) == gallery.num_outlined else f"{len(shown)} of"
    return section(
        "seg",
        "MeMa-Seg: the outlines",
        tag(
            "p",
            f"{of_all} {plural(gallery.num_outlined, 'image')} of train, with the edge of the consensus mask. "
            "Point at a picture, or tap it, to see what lies beneath.",
        ),
        tag("div", *(_outlined(one) for one in shown), class_="cases wide"),
    )


def _outlined(one: Outlined) -> Markup:
    mask = decode_mask(one.mask)
    height, width = mask.shape
    caption = (
        f"{one.example.severity or 'no severity'}; {PROVENANCES[one.provenance]}; "
        f"{plural(one.num_masks, 'outline')}, {count(int(mask.sum()))} px"
    )
    other = planned(one.example.disease, one.example.planned_disease)
    picture = tag("image", href=data_uri(one.example.image), width=width, height=height)
    edge = tag("path", d=contour(mask), class_="edge")
    svg = tag(
        "svg", picture, edge, viewBox=f"0 0 {width} {height}", width=OUTLINED_PX,
        height=round(OUTLINED_PX * height / width), role="img", tabindex=0, class_="outlined",
        aria_label=f"generated face with an outlined {DISEASE_NAMES[one.example.disease]}",
    )  # fmt: skip
    note = tag("span", other, class_="planned") if other else None
    return tag("figure", svg, tag("figcaption", caption, note), class_="case")


def contour(mask: Bool[np.ndarray, "h w"]) -> str:
    """Return an SVG path along the outer edges of a mask's pixels, straight pieces in one stroke."""
    padded = np.pad(mask, 1).astype(np.int8)
    across = [f"M{x} {y}h{length}" for y, x, length in _runs(np.diff(padded, axis=0)[:, 1:-1])]
    down = [f"M{x} {y}v{length}" for x, y, length in _runs(np.diff(padded, axis=1)[1:-1].T)]
    return "".join(across + down)


def _runs(steps: np.ndarray) -> list[tuple[int, int, int]]:
    """Return (line, start, length) of the runs of equal steps along each line, the zeros left out."""
    found = []
    for line, values in enumerate(steps):
        edges = np.flatnonzero(np.diff(np.pad(values, 1)))
        starts = edges.tolist()
        for start, end in pairwise(starts):
            if values[start]:
                found.append((line, start, end - start))
    return found
