"""The page: its sections in order, with style and pictures inside one file."""

from pathlib import Path

from models.report.dataset import closing, figures, galleries
from models.report.dataset.measured import Gallery, Measured
from models.report.dataset.opening import LABELS, funnel, opening
from models.report.dataset.verdict import leak_verdict, released_verdict
from models.report.markup import Markup, fragment, tag

STYLE = Path(__file__).parents[1] / "style.css"
CONTENTS = {
    "done": "What was done",
    "injection": "Injection",
    "diseases": "Diseases",
    "donors": "Donors",
    "neighbours": "Neighbours",
    "leaks": "Table 1",
    "distances": "Table 2",
    "reasons": "Reasons",
    "legibility": "Legibility",
    "limits": "Limits",
}


def page(measured: Measured, gallery: Gallery) -> Markup:
    """Return the whole document; equal inputs give equal text."""
    verdict = leak_verdict(measured.leakage)
    links = [tag("a", name, href=f"#{anchor}") for anchor, name in CONTENTS.items()]
    body = [
        opening(measured, gallery, released_verdict(measured.recheck, measured.num_above)),
        tag("nav", *links, aria_label="Contents"),
        tag(
            "main",
            funnel(measured),
            galleries.strips(gallery),
            galleries.conditions(gallery),
            galleries.donors(gallery),
            galleries.neighbours(gallery),
            figures.leaks(measured, verdict),
            figures.distances(measured),
            figures.reasons(measured),
            closing.legibility(measured),
            closing.limits(measured),
        ),
        tag("footer", tag("p", f"{LABELS[measured.profile]}. Every figure stands in data/metrics.")),
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", measured.title),
        tag("style", Markup(STYLE.read_text())),
    )
    return fragment([Markup("<!doctype html>\n"), tag("html", head, tag("body", *body), lang="en"), Markup("\n")])
