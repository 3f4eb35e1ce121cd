"""The sections on how far readers agree, with one another, with themselves, on outlines and with machines."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from models.diseases import DISEASE_NAMES, DISEASES
from models.report.dataset.dataset import with_total
from models.report.forest import Estimate, forest, forest_legend, has_interval
from models.report.markup import Markup, fragment, section, tag
from models.report.readers.measured import ReadersMeasured
from models.report.words import NOTHING, count, percent, percent_interval, plural

KAPPA = (
    "Kappa is agreement beyond what chance alone would bring: 1 is full agreement, 0 is chance, below 0 is "
    "worse than chance."
)
FLEISS = (
    "Fleiss' kappa over all readers. Each disease against all others, on the images that all readers found "
    "usable; quality on all images that all of them voted on. Bootstrap intervals over images."
)
COHEN = (
    "Cohen's kappa of the diseases. Pairs: images that both found usable. Repeats: the same reader, the same "
    "image a second time, unannounced."
)
DICE = (
    "Dice of each reader's outline against the consensus of the others', where at least two drew: twice the "
    "shared area over the sum of both. A majority of two others is what they share, so a bold outline loses."
)
PROVENANCES = {
    "machine_accepted": "as SAM proposed it, untouched",
    "machine_edited": "SAM's proposal, edited",
    "by_hand": "by hand",
}


def agreement(measured: ReadersMeasured) -> Markup:
    """Return the kappas, and beside those of simulated readers what to expect."""
    found, simulated = measured.readers, measured.simulated
    return section(
        "agreement",
        "How far the readers agree",
        tag("p", KAPPA),
        tag("p", expectation(found), class_="finding") if simulated else None,
        forest_legend(expected=simulated),
        tag("h3", "All readers together"),
        forest("disease", "kappa", _fleiss_rows(found["fleiss"]), caption=FLEISS, expected=simulated),
        tag("h3", "Two by two, and each with itself"),
        forest("readers", "kappa", _cohen_rows(found), caption=COHEN, expected=simulated),
        tag("h3", "With what the plan intended"),
        forest(
            "who", "share", found["agreement_with_plan"],
            caption=f"{found['notes']['agreement_with_plan']} Wilson intervals.",
        ),
    )  # fmt: skip


def _fleiss_rows(fleiss: Mapping[str, Any]) -> dict[str, Estimate]:
    diseases = {DISEASE_NAMES[name]: fleiss["per_disease"][name] for name in DISEASES}
    return {"all diseases": fleiss["overall"], **diseases, "quality: usable or low": fleiss["quality"]}


def _cohen_rows(found: Mapping[str, Any]) -> dict[str, Estimate]:
    pairs = {name.replace("|", " and "): one for name, one in found["cohen"].items()}
    return {**pairs, **{f"{name}, repeated": one for name, one in found["intra"].items()}}


def expectation(found: Mapping[str, Any]) -> str:
    """Say how many intervals of the diseases' kappas hold the value that skill lets expect."""
    fleiss = found["fleiss"]
    every = chain([fleiss["overall"]], fleiss["per_disease"].values(), found["cohen"].values(), found["intra"].values())
    known = [one for one in every if one.get("expected") is not None and has_interval(one)]
    inside = sum(one["ci95"][0] <= one["expected"] <= one["ci95"][1] for one in known)
    return (
        f"{inside} of {plural(len(known), 'interval')} hold the value expected from the readers' known skill; "
        "of right 95 % intervals, about 95 in 100 do."
    )


def outlines(measured: ReadersMeasured) -> Markup:
    """Return Dice by reader, and what became of the machine's masks."""
    found = measured.annotations
    asked = found["outlines"]
    return section(
        "outlines",
        "Outlines, by hand and by machine",
        tag("p", _first_masks(measured.prelabel["first_masks"])),
        tag("p", _proposals(found["proposals"])),
        tag("p", f"Of {plural(asked['wanted'], 'outline')} asked for, {count(asked['drawn'])} were drawn."),
        _provenance(found["masks"]),
        tag("h3", "Masks in MeMa"),
        tag("p", "A mask is kept where more than half of the readers outlined the tumour, of either kind."),
        _masks(measured.assemble["masks"]),
        tag("h3", "Outlines that agree"),
        forest_legend(expected=False),
        forest("reader", "Dice", measured.readers["dice"], caption=DICE),
        tag("h3", "Masks left as the machine drew them"),
        forest(
            "reader", "share", measured.readers["masks_accepted"],
            caption=f"Share of a reader's outlines of {_tumours(measured)} that equal a proposal to the pixel.",
        ),
    )  # fmt: skip


def _tumours(measured: ReadersMeasured) -> str:
    return " and ".join(DISEASE_NAMES[name] for name in measured.assemble["masks"])


def _masks(found: Mapping[str, Mapping[str, int]]) -> Markup:
    """Return how many images of each tumour were outlined, and how many masks MeMa keeps of it."""
    rows = [
        (DISEASE_NAMES[name], count(n["images"]), count(n["outlined"]), count(n["with_mask"]))
        for name, n in found.items()
    ]
    total = ("all", *(count(sum(n[key] for n in found.values())) for key in ("images", "outlined", "with_mask")))
    return with_total(("tumour", "images in MeMa", "outlined by a reader", "with a mask"), rows, total, "narrow")


def _first_masks(first: Mapping[str, Any]) -> str:
    if not first["n"]:
        return "First masks without a click: the plan asked for no lesion."
    score = first["mean_score"]
    own = f", to which SAM itself gives a mean IoU of {score:.2f}" if score is not None else ""
    return (
        f"First masks without a click: SAM had one for {count(first['proposed'])} of "
        f"{plural(first['n'], 'image')} planned with a lesion ({percent(first['share'])}, 95 % interval "
        f"{percent_interval(first['ci95'])}){own}. Readers see it only after a click there."
    )


def _proposals(proposals: Mapping[str, Any]) -> str:
    if not proposals["shown"]:
        return "No reader was shown a mask by the machine."
    return (
        f"{plural(proposals['shown'], 'time')} a reader saw a mask by the machine on an image; "
        f"{count(proposals['accepted'])} were submitted untouched ({percent(proposals['share'])}, 95 % "
        f"interval {percent_interval(proposals['ci95'])})."
    )


def _provenance(masks: Mapping[str, int]) -> Markup:
    total = sum(masks.values())
    rows = [
        (words, count(masks[name]), percent(masks[name] / total) if total else NOTHING)
        for name, words in PROVENANCES.items()
    ]
    shown = with_total(("outline", "number", "share"), rows, ("all", count(total), ""), "narrow")
    what = "Every outline that a reader submitted, the senior's and hidden repeats among them."
    return fragment([shown, tag("p", what, class_="weak")])
