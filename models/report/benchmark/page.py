"""The page of the benchmark: what was asked for and what came out, pictures, and every table with the paper's."""

from pathlib import Path

from models.report.benchmark import galleries
from models.report.benchmark.ablation import tables_8_to_10
from models.report.benchmark.data import LABELS, SHORT, WORTH
from models.report.benchmark.figures import trade_off
from models.report.benchmark.measured import BenchmarkGallery, BenchmarkMeasured
from models.report.benchmark.sections import tables_3_to_7
from models.report.benchmark.sweeps import sweeps
from models.report.benchmark.verdict import MISSED, UNKNOWN, Line, headline, lines
from models.report.markup import Markup, bullets, fragment, section, tag
from models.report.readers.page import STYLES as READERS_STYLES

STYLES = (*READERS_STYLES, Path(__file__).with_name("benchmark.css"))
CONTENTS = {
    "pictures": "Pictures",
    "passwords": "Passwords",
    "tradeoff": "Trade-off",
    **{f"table{number}": f"Table {number}" for number in range(3, 11)},
    "fig8": "Fig. 8",
    "limits": "Limits",
}
LIMITS = (
    "Not anonymous by proof. ID-Dis says what these recognisers see: another recogniser, a person who knows the "
    "patient, or a network trained to undo a method may still tell.",
    "Med-Class says what one classifier sees. No physician has confirmed a sign in these images unless Table 4 "
    "has figures of this project's own.",
    "An interval holds for other patients of the same kind. It says nothing about another training run of the "
    "same model: each model was trained once.",
    "Blur, pixelation and the bar depend on how strong they are set; another strength is another point in the "
    "trade-off.",
    "A wrong password is a random one here. Passwords near the right one, and an attacker who trains on pairs, "
    "were not tried on this page.",
)


def page(measured: BenchmarkMeasured, gallery: BenchmarkGallery) -> Markup:
    """Return the whole document; equal inputs give equal text."""
    links = [tag("a", name, href=f"#{anchor}") for anchor, name in CONTENTS.items()]
    body = [
        opening(measured),
        tag("nav", *links, aria_label="Contents"),
        tag(
            "main",
            galleries.methods(gallery),
            galleries.passwords(gallery),
            trade_off(measured),
            tables_3_to_7(measured),
            tables_8_to_10(measured),
            sweeps(measured),
            section("limits", "What these figures do not say", bullets(LIMITS)),
        ),
        tag("footer", tag("p", f"{LABELS[measured.profile]}. Every figure stands in data/metrics.")),
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", measured.title),
        tag("style", Markup("".join(style.read_text() for style in STYLES))),
    )
    return fragment([Markup("<!doctype html>\n"), tag("html", head, tag("body", *body), lang="en"), Markup("\n")])


def opening(measured: BenchmarkMeasured) -> Markup:
    """Return on which data everything was measured, the title, the verdict, and each figure asked for."""
    found = lines(measured)
    all_met, words = headline(found, SHORT[measured.profile])
    return tag(
        "header",
        tag("p", LABELS[measured.profile], class_="label"),
        tag("h1", measured.title),
        tag("p", words, class_=f"verdict {'shown' if all_met else 'open'}"),
        tag("ul", *(_asked(line) for line in found), class_="asked"),
        tag("p", WORTH[measured.profile], class_="lead"),
    )


def _asked(line: Line) -> Markup:
    colour = {MISSED: "missed", UNKNOWN: "unknown"}.get(line.state, "met")
    return tag(
        "li", tag("b", f"{line.state[0].upper()}{line.state[1:]}"), tag("span", f"{line.asked}."),
        tag("span", f"Measured: {line.measured}." if line.state != UNKNOWN else f"Why: {line.measured}.",
            class_="weak"),
        class_=colour,
    )  # fmt: skip
