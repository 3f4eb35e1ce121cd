"""Plots as inline SVG."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.report.markup import Markup, fragment, tag
from models.report.words import percent, percent_interval

ARM_COLOURS = {"floor": "#7b8490", "direct": "#b8431f", "injected": "#14689e", "ceiling": "#4d3f78"}
SOURCE_COLOURS = {"patients": "#3a4858", "guided": "#2b8fcb", "random": "#e0a545"}
LABEL, WIDTH = 110, 1100
DOT_STEP, GROUP_GAP, TOP = 19, 18, 14
BAR_HEIGHT, BAR_TOP = 170, 12


def text(x: float, y: float, content: object, **attributes: object) -> Markup:
    """Return an SVG text."""
    return tag("text", content, x=_px(x), y=_px(y), **attributes)


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def legend(colours: Mapping[str, str], extra: str = "") -> Markup:
    """Return the key to the colours."""
    keys = [
        tag("span", tag("span", class_="swatch", style=f"background:{colour}"), name, class_="key")
        for name, colour in colours.items()
    ]
    hollow = tag("span", tag("span", class_="swatch hollow"), extra, class_="key") if extra else None
    return tag("p", *keys, hollow, class_="legend")


def interval_plot(groups: Mapping[str, Mapping[str, Any]], paper: Mapping[str, Mapping[str, float]]) -> Markup:
    """Return leak rates as dots with their intervals, 0 to 100 %, the paper's as hollow diamonds."""
    group_height = DOT_STEP * len(ARM_COLOURS) + GROUP_GAP
    height = TOP + group_height * len(groups) + 26
    right = WIDTH - 110

    def x(share: float) -> float:
        return LABEL + 70 + share * (right - LABEL - 70)

    parts = [_grid(x, TOP, height - 26)]
    for index, (name, arms) in enumerate(groups.items()):
        top = TOP + index * group_height
        parts.append(text(0, top + 2.5 * DOT_STEP, name, class_="strong"))
        for line, (arm, colour) in enumerate(ARM_COLOURS.items()):
            y = top + line * DOT_STEP + DOT_STEP / 2
            parts.append(text(LABEL + 58, y + 4, arm, text_anchor="end"))
            parts.append(_dot(arms.get(arm) or {}, colour, x, y))
            if arm in paper.get(name, {}):
                parts.append(_diamond(x(paper[name][arm]), y, colour))
    label = "Leak rates with 95 % intervals for each recogniser; the same figures stand in the table"
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label, class_="plot")


def _grid(x: Any, top: float, bottom: float) -> Markup:
    lines = []
    for tick in (0, 0.2, 0.4, 0.6, 0.8, 1.0):
        lines.append(tag("line", x1=_px(x(tick)), x2=_px(x(tick)), y1=top, y2=_px(bottom), class_="grid"))
        lines.append(text(x(tick), bottom + 18, f"{100 * tick:.0f} %", text_anchor="middle"))
    return fragment(lines)


def _dot(rate: Mapping[str, Any], colour: str, x: Any, y: float) -> Markup:
    if not rate.get("n"):
        return text(x(0) + 8, y + 4, "no image", class_="weak")
    low, high = rate["ci95"]
    title = tag("title", f"{percent(rate['rate'])}, {percent_interval(rate['ci95'])}, n = {rate['n']}")
    whisker = tag(
        "line", x1=_px(x(low)), x2=_px(x(high)), y1=_px(y), y2=_px(y), stroke=colour, stroke_width=3,
        stroke_opacity=0.45,
    )  # fmt: skip
    dot = tag("circle", cx=_px(x(rate["rate"])), cy=_px(y), r=5, fill=colour)
    return tag("g", title, whisker, dot, text(x(high) + 10, y + 4, percent(rate["rate"]), fill=colour))


def _diamond(x: float, y: float, colour: str) -> Markup:
    path = f"M{_px(x)} {_px(y - 6)} l6 6 l-6 6 l-6 -6 z"
    return tag("path", d=path, fill="#fff", stroke=colour, stroke_width=1.6)


def share_bars(title: str, shares: Mapping[str, Mapping[str, float]], names: Mapping[str, str]) -> Markup:
    """Return one attribute's shares as groups of bars, one bar a source in the order of SOURCE_COLOURS."""
    labels = list(shares["patients"])
    sources = [source for source in SOURCE_COLOURS if source in shares]
    bar, gap = 12, 16
    group = bar * len(sources) + gap
    left, width = 44, 44 + group * len(labels) + 8
    highest = max((value for source in sources for value in shares[source].values()), default=0) or 1
    scale = BAR_HEIGHT / _round_up(highest)
    parts = [_share_axis(_round_up(highest), scale, left, width)]
    slanted = max(map(len, labels), default=0) > 7
    for index, label in enumerate(labels):
        start = left + gap / 2 + index * group
        for place, source in enumerate(sources):
            value = shares[source].get(label, 0.0)
            tip = tag("title", f"{names.get(label, label)}, {source}: {percent(value)}")
            parts.append(_bar(start + place * bar, bar - 1.5, value * scale, SOURCE_COLOURS[source], tip))
        parts.append(_bar_label(start + (group - gap) / 2, label, slanted))
    height = BAR_TOP + BAR_HEIGHT + (84 if slanted else 26)
    svg = tag(
        "svg", *parts, viewBox=f"0 0 {width} {height}", width=width, height=height, role="img",
        aria_label=f"Shares by {title} of {', '.join(sources)}", class_="bars",
    )  # fmt: skip
    return tag("figure", svg, tag("figcaption", title), class_="panel")


def _round_up(share: float) -> float:
    return next((top for top in (0.1, 0.2, 0.3, 0.4, 0.6, 0.8) if share <= top), 1.0)


def _share_axis(top: float, scale: float, left: float, width: float) -> Markup:
    lines: list[Markup] = []
    for tick in (0, top / 2, top):
        y = BAR_TOP + BAR_HEIGHT - tick * scale
        lines.append(tag("line", x1=left, x2=width, y1=_px(y), y2=_px(y), class_="grid"))
        lines.append(text(left - 6, y + 4, f"{100 * tick:.0f} %", text_anchor="end"))
    return fragment(lines)


def _bar(x: float, width: float, height: float, colour: str, title: Markup) -> Markup:
    y = BAR_TOP + BAR_HEIGHT - height
    rect = tag("rect", x=_px(x), y=_px(y), width=_px(width), height=_px(height), fill=colour)
    return tag("g", title, rect)


def _bar_label(x: float, label: str, slanted: bool) -> Markup:
    y = BAR_TOP + BAR_HEIGHT + 16
    if not slanted:
        return text(x, y, label, text_anchor="middle")
    return text(x + 4, y - 2, label, text_anchor="end", transform=f"rotate(-40 {_px(x + 4)} {_px(y - 2)})")


def heat_table(labels: Sequence[str], rows: Sequence[Sequence[float]], corner: str) -> Markup:
    """Return a confusion of counts as a table, shaded by each row's shares."""
    head = tag("tr", tag("th", corner, scope="col"), *(tag("th", label, scope="col") for label in labels))
    body = []
    for label, row in zip(labels, rows, strict=True):
        total = sum(row) or 1
        cells = (_heat_cell(value, value / total, label == other) for value, other in zip(row, labels, strict=True))
        body.append(tag("tr", tag("th", label, scope="row"), *cells))
    return tag("table", tag("thead", head), tag("tbody", *body), class_="heat")


def _heat_cell(value: float, share: float, diagonal: bool) -> Markup:
    colour = "20,104,158" if diagonal else "184,67,31"
    return tag("td", f"{value:g}" if value else "·", style=f"background:rgba({colour},{0.55 * share:.2f})")
