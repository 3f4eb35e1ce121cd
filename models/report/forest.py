"""Values with their intervals drawn into the rows of a table: plot and figures in one place."""

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any

from models.report.markup import Markup, fragment, table, tag
from models.report.words import count

COLOUR, EXPECTED_COLOUR = "#14689e", "#b8431f"
STEP, MARGIN = 0.25, 3.0  # of the axis; percent of the cell's width that stay free at each end
MIDDLE, HEIGHT = 13, 26
Estimate = Mapping[str, Any]  # value, n, ci95; perhaps expected, and why where there is no value


def forest(what: str, unit: str, rows: Mapping[str, Estimate], *, caption: str, expected: bool = False) -> Markup:
    """Return one row an estimate: name, interval on a common axis, value with 95 % interval, n.

    `expected` adds the value that known skill lets expect, as a hollow diamond and as a column.
    """
    low = _lowest(list(rows.values()))
    columns = [what, axis(low), unit, "n", *(["expected"] if expected else [])]
    lines = [
        [name, track(one, low), _figure(one), count(one["n"]), *([_decimal(one)] if expected else [])]
        for name, one in rows.items()
    ]
    return table(columns, lines, caption=caption, class_="forest")


def _lowest(rows: Sequence[Estimate]) -> float:
    """Return where the axis starts: 0, or the step below the lowest interval, to -1 at the least."""
    edges = [0.0, *(edge for one in rows for edge in _known(one))]
    return max(floor(round(min(edges) / STEP, 6)) * STEP, -1.0)


def _known(one: Estimate) -> list[float]:
    values = [one.get("value"), one.get("expected"), *(one.get("ci95") or ())]
    return [value for value in values if value is not None]


def _x(value: float, low: float) -> str:
    return f"{MARGIN + (100 - 2 * MARGIN) * (value - low) / (1 - low):.2f}%"


def _ticks(low: float) -> list[float]:
    return [low + STEP * k for k in range(round((1 - low) / STEP) + 1)]


def axis(low: float) -> Markup:
    """Return the axis from `low` to 1 as the head of a column."""
    shown = [tick for tick in _ticks(low) if round(tick / STEP) % 2 == 0]
    labels = [
        tag("text", f"{tick + 0.0:g}", x=_x(tick, low), y=12, text_anchor="middle")
        for tick in (round(tick, 6) for tick in shown)
    ]
    return tag("svg", *labels, class_="track", height=16, aria_hidden="true")


def track(one: Estimate, low: float) -> Markup:
    """Return value, interval and expected value of one estimate over the grid of the axis."""
    grid = [tag("line", x1=_x(tick, low), x2=_x(tick, low), y1=0, y2=HEIGHT, class_="grid") for tick in _ticks(low)]
    marks = [_whisker(one, low), _diamond(one, low), _dot(one, low)]
    return tag("svg", *grid, *marks, class_="track", height=HEIGHT, role="img", aria_label=_words(one))


def _whisker(one: Estimate, low: float) -> Markup | None:
    if not has_interval(one):
        return None
    left, right = one["ci95"]
    return tag(
        "line", x1=_x(left, low), x2=_x(right, low), y1=MIDDLE, y2=MIDDLE, stroke=COLOUR, stroke_width=4,
        stroke_opacity=0.4,
    )  # fmt: skip


def _dot(one: Estimate, low: float) -> Markup | None:
    if one.get("value") is None:
        return None
    return tag("circle", cx=_x(one["value"], low), cy=MIDDLE, r=4.5, fill=COLOUR)


def _diamond(one: Estimate, low: float) -> Markup | None:
    if one.get("expected") is None:
        return None
    path = tag("path", d="M0 -7 l7 7 l-7 7 l-7 -7 z", fill="#fff", stroke=EXPECTED_COLOUR, stroke_width=1.6)
    return tag("svg", path, x=_x(one["expected"], low), y=MIDDLE, overflow="visible")


def has_interval(one: Estimate) -> bool:
    """Tell whether both edges of the interval are known."""
    edges = one.get("ci95")
    return bool(edges) and None not in edges


def interval_words(one: Estimate) -> str:
    """Return '0.70 to 0.77', or nothing."""
    return "{:.2f} to {:.2f}".format(*one["ci95"]) if has_interval(one) else ""


def _words(one: Estimate) -> str:
    if one.get("value") is None:
        return "undefined"
    expected = f", expected {one['expected']:.2f}" if one.get("expected") is not None else ""
    interval = f", {interval_words(one)}" if has_interval(one) else ""
    return f"{one['value']:.2f}{interval}{expected}"


def _figure(one: Estimate) -> Markup:
    if one.get("value") is None:
        return tag("span", one.get("why") or "nothing to compare", class_="weak why")
    detail = tag("small", interval_words(one)) if has_interval(one) else None
    return tag("span", f"{one['value']:.2f}", detail, class_="figure")


def _decimal(one: Estimate) -> str:
    return "-" if one.get("expected") is None else f"{one['expected']:.2f}"


def forest_legend(*, expected: bool) -> Markup:
    """Return the key to dot, interval and diamond."""
    dot = tag("span", tag("span", class_="swatch", style=f"background:{COLOUR}"), "measured", class_="key")
    bar = tag("span", tag("span", class_="bar", style=f"background:{COLOUR}"), "95 % interval", class_="key")
    hollow = tag("span", class_="swatch hollow", style=f"border-color:{EXPECTED_COLOUR}")
    known = tag("span", hollow, "expected from the simulated readers' skill", class_="key")
    return tag("p", fragment([dot, bar, known if expected else None]), class_="legend")
