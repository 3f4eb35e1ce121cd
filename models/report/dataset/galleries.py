"""The sections of pictures."""

from collections.abc import Sequence

from models.diseases import DISEASE_NAMES, DISEASES, SEVERITIES
from models.report.dataset.measured import Gallery, Neighbour
from models.report.markup import Markup, section, tag
from models.report.pictures import WITHHELD, Face, picture, pictures

NO_PATIENTS = (
    "Pictures are withheld here. A rejected image resembles a patient, and a neighbour is one: neither "
    "leaves the hospital, and no page shows them. The counts stand under Reasons."
)


def strips(gallery: Gallery) -> Markup:
    """Return the same plan rows at growing injection weights beside their donors."""
    lines = [
        tag(
            "div",
            tag("p", strip.label, class_="strip-label"),
            pictures(strip.faces),
            tag("div", picture(strip.donor), class_="aside"),
            class_="line",
        )
        for strip in gallery.strips
    ]
    return section(
        "injection",
        "The same row of the plan at growing injection weight",
        tag(
            "p",
            "Prompt, seed and start noise are equal along a line; only the weight of the donor's face grows. "
            "The donor, a public face, stands at the end.",
        ),
        tag("p", f"Grey, '{WITHHELD}': the identity screen rejected that image.", class_="weak"),
        tag("div", *lines, class_="lines") if lines else tag("p", "none: the plan has no strip", class_="weak"),
    )


def conditions(gallery: Gallery) -> Markup:
    """Return the released faces by disease and severity."""
    head = tag("tr", tag("th", "disease", scope="col"), *(tag("th", s, scope="col") for s in SEVERITIES))
    rows = []
    for disease in DISEASES:
        name = tag("th", DISEASE_NAMES[disease], scope="row")
        if disease == "normal":
            cells = [tag("td", _cell(gallery.by_condition.get((disease, ""), ())), colspan=len(SEVERITIES))]
        else:
            cells = [tag("td", _cell(gallery.by_condition.get((disease, s), ()))) for s in SEVERITIES]
        rows.append(tag("tr", name, *cells))
    return section(
        "diseases",
        "Eight diseases by three severities",
        tag(
            "p",
            "Images of the released set. Disease and severity are what was asked for, not a diagnosis: readers may "
            "have named another one.",
        ),
        tag("table", tag("thead", head), tag("tbody", *rows), class_="conditions"),
    )


def _cell(faces: Sequence[Face]) -> Markup:
    return pictures(faces) if faces else tag("span", "none", class_="weak")


def donors(gallery: Gallery) -> Markup:
    """Return donors beside what was made with them."""
    pairs = [tag("div", picture(donor), picture(result), class_="pair") for donor, result in gallery.donors]
    return section(
        "donors",
        "Donors beside their results",
        tag("p", "Left the public face, right a released image that took its features, by growing weight."),
        tag("div", *pairs, class_="pairs") if pairs else tag("p", "none: nothing was released", class_="weak"),
    )


def neighbours(gallery: Gallery) -> Markup:
    """Return the samples nearest to a patient, accepted and rejected, or why they are not shown."""
    if gallery.accepted is None or gallery.rejected is None:
        return section("neighbours", "Nearest neighbours among the patients", tag("p", NO_PATIENTS))
    return section(
        "neighbours",
        "Nearest neighbours among the patients",
        tag(
            "p",
            f"Left the sample, right the nearest patient's photo by {gallery.judge}, below the cosine "
            "similarity. Shown because these patients are drawings.",
        ),
        tag("h3", "Released: the nearest of the released set"),
        _neighbours(gallery.accepted),
        tag("h3", "Rejected: the nearest of all"),
        _neighbours(gallery.rejected),
    )


def _neighbours(found: Sequence[Neighbour]) -> Markup:
    pairs = [
        tag(
            "div",
            picture(n.sample),
            picture(n.patient),
            tag("p", f"{n.similarity:.3f}", class_="similarity"),
            class_="pair",
        )
        for n in found
    ]
    return tag("div", *pairs, class_="pairs") if pairs else tag("p", "none", class_="weak")
