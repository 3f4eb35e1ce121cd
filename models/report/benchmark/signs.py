"""Table 3: are the diseases still seen, as readers named them and as they were planned?"""

from collections.abc import Mapping

from models.diseases import ROWS
from models.report.benchmark import paper
from models.report.benchmark.data import PAPER, here
from models.report.benchmark.measured import BenchmarkMeasured, Row, by_method, nested
from models.report.benchmark.tables import (
    DISTANCE,
    PERCENT,
    WORDS,
    Column,
    Group,
    figures_table,
    own_lines,
    paper_lines,
)
from models.report.markup import Markup, fragment, section, tag
from models.report.words import plural

SIGNS = (
    Column("all", "All"),
    *(Column(row.key, row.heading) for row in sorted(ROWS, key=lambda row: row.key)),
    Column("micro", "All images"),
    Column("dice", "Dice", DISTANCE),
    Column("jaccard", "Jaccard", DISTANCE),
)
RECALLS = tuple(column for column in SIGNS if column.kind == PERCENT)


def signs(measured: BenchmarkMeasured) -> Markup:
    """Return Table 3: are the diseases still seen?"""
    rows = by_method(measured.medical["rows"])
    own = Group(here(measured.profile), own_lines(measured, rows, rows))
    return section(
        "table3",
        "Table 3: are the signs of disease still there?",
        tag(
            "p",
            "A classifier that was trained on MeMa's training split names the disease of each de-identified "
            "image of val; a segmenter outlines the tumour on MeMa-Seg's val. All is the mean over the eight "
            "classes, All images counts every image alike. Higher is better.",
        ),
        figures_table(WORDS, SIGNS, [own, Group(PAPER, paper_lines(paper.MEDICAL), paper=True)], class_="wide"),
        _against_plan(measured, rows),
    )


def _against_plan(measured: BenchmarkMeasured, rows: Mapping[str, Row]) -> Markup | None:
    """Return the same recalls against what the generator was asked for; nothing where no file says them."""
    labels = measured.medical.get("labels")
    if not labels:
        return None
    figures = {name: nested(row, "planned") for name, row in rows.items()}
    words = (
        f"Above, right is what readers named. On {labels['differ_from_plan']} of {plural(labels['n'], 'image')} of val "
        "they named another disease than the generator was asked for; either may be wrong. Below, right is what was "
        "asked for."
    )
    own = Group(here(measured.profile), own_lines(measured, rows, figures))
    return fragment(
        [
            tag("h3", "The same answers against the plan"),
            tag("p", words),
            figures_table(WORDS, RECALLS, [own], class_="wide"),
        ]
    )
