"""The last sections: legibility of the signs, time, and limits."""

from collections.abc import Mapping
from typing import Any

from models.diseases import DISEASE_NAMES, DISEASES, SEVERITIES
from models.report.dataset.measured import Measured
from models.report.markup import Markup, bullets, section, table, tag
from models.report.plots import heat_table
from models.report.words import percent, percent_interval

LIMITS = {
    "phantom": "These are phantoms, drawn faces, and small networks trained on drawings. The figures are not "
    "the paper's and say nothing about a patient. The generator has seen simulated signs before "
    "its training on the patients.",
    "photos": "The patients are public figures wearing painted signs, a handful of them; the generator draws "
    "phantoms. Thresholds and search are real, the generated faces are not photographs.",
    "paper": "The figures hold for this hospital's patients and these recognisers, nowhere else.",
}
COMMON = (
    "Not anonymous by proof. The screen removes what these recognisers recognise: another recogniser, a "
    "person who knows the patient, or a mole in its place may still tell.",
    "Only the profile is differentially private; the images are not. Who was in the training set may be "
    "guessable from the weights, which is why they stay inside, and from many released images together.",
    "A patient who is the only one of an age, gender and disease is protected by noise in the profile and by "
    "the screen in the images, by nothing else.",
    "A donor's face lends its features to an image: use public faces whose licence and consent allow it.",
    "A severity is what was asked for. No clinician has graded these images; diseases must be confirmed "
    "before anything is learnt from them.",
)


def legibility(measured: Measured) -> Markup:
    """Return whether a classifier reads the diseases that were asked for."""
    found = measured.legibility
    if not found.get("judged", True):
        return section(
            "legibility", "Are the diseases legible?", tag("p", f"Not judged: {found.get('why', 'no judge')}.")
        )
    return section(
        "legibility",
        "Are the diseases legible?",
        tag(
            "p",
            "A classifier that was trained on other faces names the disease of each image; below the share "
            "that it names as asked for, with 95 % interval and n.",
        ),
        _accuracies(found),
        *_confusion(found),
    )


def _accuracies(found: Mapping[str, Any]) -> Markup:
    cells = found["severity_disease"]
    rows: list[tuple[object, ...]] = [
        (DISEASE_NAMES[disease], *(_rate(cells[severity][disease]) for severity in SEVERITIES))
        for disease in DISEASES
        if disease != "normal"
    ]
    normal = _rate(found["disease"]["normal"])
    macro = (percent(found["macro_accuracy"][severity]) for severity in SEVERITIES)
    rows += [("normal (no severity)", normal, "", ""), ("mean over the diseases and normal", *macro)]
    return table(("disease", *SEVERITIES), rows, caption="Accuracy by disease and severity")


def _rate(rate: Mapping[str, Any]) -> Markup:
    if not rate.get("n"):
        return tag("span", "no image", class_="weak")
    detail = tag("small", f"{percent_interval(rate['ci95'])}, n = {rate['n']:,}")
    return tag("span", percent(rate["rate"]), detail, class_="figure")


def _confusion(found: Mapping[str, Any]) -> list[Markup]:
    confusion = found["confusion"]
    return [
        tag("h3", "What was asked for, and what the classifier saw"),
        heat_table(confusion["diseases"], confusion["asked_by_judged"], "asked \\ seen"),
        tag("p", "Counts of images; the shade is the share of a row.", class_="weak"),
    ]


def limits(measured: Measured) -> Markup:
    """Return what the page does not prove."""
    return section("limits", "Limits", bullets([LIMITS[measured.profile], *COMMON]))
