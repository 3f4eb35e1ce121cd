"""Tables of the benchmark: what was measured here above what the paper prints, each under a line that says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.report.benchmark import paper
from models.report.benchmark.measured import BenchmarkMeasured, Estimate, Row, interval_of, method_name, value_of
from models.report.markup import Markup, fragment, tag
from models.report.words import NOTHING, count, percent

PERCENT, DISTANCE, TENTHS = "percent", "distance", "tenths"
DECIMALS, PRINTED = {DISTANCE: 3, TENTHS: 1}, {DISTANCE: 4, TENTHS: 2}
WORDS = ("method", "reversible")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Column:
    """A measured column: its key in the rows, its head, and how its figures are written."""

    key: str
    head: str
    kind: str = PERCENT


@dataclass
class Notes:
    """Reasons and remarks below one table, each once, called by letters."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str | None) -> Markup | None:
        """Return the letter that calls a remark; None where there is none."""
        if not text:
            return None
        if text not in self.texts:
            self.texts.append(text)
        place = self.texts.index(text)
        letter = LETTERS[place % len(LETTERS)] * (place // len(LETTERS) + 1)
        return tag("sup", letter)

    def written(self) -> Markup | None:
        """Return every remark with its letter."""
        if not self.texts:
            return None
        lines = (tag("li", self.mark(text), " ", text) for text in list(self.texts))
        return tag("ul", *lines, class_="notes")


@dataclass(frozen=True)
class Line:
    """A row of figures: what heads it, the words after that, and its estimates by column."""

    head: object
    words: Sequence[object]
    figures: Mapping[str, Estimate | float | None]


def figure(value: float | None, kind: str) -> str:
    """Return a figure as its column writes it."""
    if value is None:
        return NOTHING
    text = percent(value) if kind == PERCENT else f"{value:.{DECIMALS[kind]}f}"
    return text.replace("-", "\u2212")


def printed(value: float | None, kind: str) -> str:
    """Return a figure of the paper with the paper's own decimals."""
    if value is None:
        return NOTHING
    return f"{100 * value:.2f}\u00a0%" if kind == PERCENT else f"{value:.{PRINTED[kind]}f}"


def interval(estimate: Estimate | None, kind: str) -> str:
    """Return '91.2\u201399.0', with a word for the dash where a sign would be taken for it, or nothing."""
    edges = interval_of(estimate)
    if edges is None:
        return ""
    low, high = (figure(edge, kind).removesuffix("\u00a0%") for edge in edges)
    return f"{low} to {high}" if edges[0] < 0 else f"{low}\u2013{'100' if high == '100.0' else high}"


def cell(estimate: Estimate | float | None, kind: str, notes: Notes) -> Markup:
    """Return a figure with its interval and n below it; a figure of the paper comes alone, as a number."""
    if not isinstance(estimate, Mapping):
        return tag("td", printed(estimate, kind))
    value = value_of(estimate)
    if value is None:
        return tag("td", NOTHING, notes.mark(estimate.get("reason") or "no image"))
    details = [text for text in (interval(estimate, kind), _number(estimate), _reversed(estimate)) if text]
    small = tag("small", *(tag("span", text) for text in details)) if details else None
    return tag("td", tag("span", figure(value, kind), notes.mark(_remark(estimate)), small, class_="figure"))


def _number(estimate: Estimate) -> str:
    return f"n = {count(estimate['n'])}" if estimate.get("n") is not None else ""


def _reversed(estimate: Estimate) -> str:
    return f"reversed {percent(estimate['reversed'])}" if estimate.get("reversed") is not None else ""


def _remark(estimate: Estimate) -> str | None:
    return estimate.get("stand_in") or estimate.get("note")


@dataclass(frozen=True)
class Group:
    """Rows under one line that says on which data they were measured."""

    label: str
    rows: Sequence[Line]
    paper: bool = False


def figures_table(
    words: Sequence[str], columns: Sequence[Column], groups: Sequence[Group], *, class_: str = ""
) -> Markup:
    """Return groups of rows in the same columns, each group under its label, remarks below.

    `words` heads the first column and those that hold words. A group without a label is refused: figures of
    different data must not stand in one table unnamed.
    """
    notes = Notes()
    assert all(group.label for group in groups)
    heads = [tag("th", name, scope="col", class_="word") for name in words]
    heads += [tag("th", column.head, scope="col") for column in columns]
    width = len(words) + len(columns)
    bodies = [_body(group, columns, width, notes) for group in groups if group.rows]
    made = tag("table", tag("thead", tag("tr", *heads)), *bodies, class_=f"figures {class_}".strip())
    return fragment([tag("div", made, class_="scroll"), notes.written()])


def _body(group: Group, columns: Sequence[Column], width: int, notes: Notes) -> Markup:
    label = tag("tr", tag("th", group.label, colspan=width, scope="rowgroup"), class_="on")
    rows = [
        tag(
            "tr",
            tag("th", line.head, scope="row"),
            *(tag("td", word, class_="word") for word in line.words),
            *(cell(line.figures.get(column.key), column.kind, notes) for column in columns),
        )
        for line in group.rows
    ]
    return tag("tbody", label, *rows, class_="paper" if group.paper else None)


def remarks(found: Mapping[str, object]) -> Markup | None:
    """Return what a metrics file says of its own figures."""
    notes = found.get("notes")
    lines = (
        [f"{name}: {text}." for name, text in notes.items() if isinstance(text, str)] if isinstance(notes, dict) else []
    )
    return tag("ul", *(tag("li", line) for line in lines), class_="notes") if lines else None


def yes_no(answer: object) -> str:
    """Return yes, no, or a dash where nobody said."""
    return NOTHING if answer is None else "yes" if answer else "no"


def headed(name: str, row: Mapping[str, object]) -> Markup:
    """Return a method's name, and whether it was told what no method should know."""
    told = tag("small", "told the disease") if row.get("told_disease") else None
    return tag("span", method_name(name), told, class_="method")


def own_lines(
    measured: BenchmarkMeasured, rows: Mapping[str, Row], figures: Mapping[str, Mapping[str, Estimate]]
) -> list[Line]:
    """Return one line a method: its name, whether it can be undone, its figures."""
    # Not every file says what a method is; evaluate_identity's does.
    facts = {row["method"]: row for row in measured.identity["rows"]}
    return [
        Line(headed(name, told), [yes_no(told.get("reversible"))], figures.get(name, {}))
        for name, row in rows.items()
        for told in [{**row, **facts.get(name, {})}]
    ]


def paper_lines(figures: Mapping[str, Mapping[str, float]]) -> list[Line]:
    """Return the paper's lines in its own order."""
    return [Line(name, [yes_no(paper.REVERSIBLE.get(name))], values) for name, values in figures.items()]
