"""Fig. 8: what the two loss weights do, as small plots with the weight on a logarithmic axis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from models.report.benchmark import paper
from models.report.benchmark.data import here, inside
from models.report.benchmark.measured import BenchmarkMeasured, Estimate, Row, interval_of, value_of
from models.report.markup import Markup, fragment, section, tag
from models.report.plots import text
from models.report.words import count, percent

WEIGHTS = {"lambda_med": "λ_med, weight of the medical loss", "lambda_rev": "λ_rev, weight of the way back"}
COLOUR, PAPER_COLOUR = "#14689e", "#7b8490"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 500, 210, 58, 20, 14, 40


@dataclass(frozen=True)
class Quantity:
    """What a plot shows: its name, how a value is written, the smallest span of its axis, the paper's value."""

    key: str
    name: str
    form: str
    span: float
    printed: float | None = None


QUANTITIES = (
    Quantity("med_class", "Med-Class", "percent", 0.2, paper.ABLATION["full"]["med_class"]),
    Quantity("id_dis", "ID-Dis", "{:.2f}", 0.1, paper.ABLATION["full"]["id_dis"]),
    Quantity("psnr", "PSNR of the recovered image, dB", "{:.1f}", 2.0, paper.REVERSIBILITY[paper.OURS]["psnr"]),
)
Scale = Callable[[float], float]
Points = Sequence[tuple[float, Estimate]]  # weight and estimate, weights rising


def sweeps(measured: BenchmarkMeasured) -> Markup:
    """Return one column a weight, one row a quantity, with the paper's chosen weight where it is known."""
    found = measured.ablation.get("sweeps") or {}
    columns = [_column(name, found[name]) for name in WEIGHTS if found.get(name)]
    absent = [name for name in WEIGHTS if not found.get(name)]
    title = "Fig. 8: what do the loss weights do?"
    missing = f"Not swept: {', '.join(WEIGHTS[name] for name in absent)}." if absent else None
    if not columns:
        return section("fig8", title, tag("p", missing))
    return section(
        "fig8",
        title,
        tag(
            "p",
            f"Blue: {inside(here(measured.profile))}, one model a weight, bars are 95 % intervals. Grey "
            "diamond: the paper's own setting, on its own MeMa. The paper prints these curves without numbers, "
            "so no more of them can be drawn.",
        ),
        tag("p", missing) if missing else None,
        tag("div", *columns, class_="two"),
    )


def _column(name: str, rows: Sequence[Row]) -> Markup:
    ordered = sorted(rows, key=lambda row: row["value"])
    plots = [_plot(name, quantity, points) for quantity in QUANTITIES if (points := _points(quantity, ordered))]
    return tag("div", tag("h3", WEIGHTS[name]), *plots)


def _points(quantity: Quantity, rows: Sequence[Row]) -> Points:
    return [(row["value"], row[quantity.key]) for row in rows if value_of(row.get(quantity.key)) is not None]


def _plot(name: str, quantity: Quantity, points: Points) -> Markup:
    weights = [weight for weight, _ in points]
    settled = paper.SETTLED[name]
    places = _places([*weights, settled])
    ticks = _ticks(points, quantity)
    y = _scale(ticks)
    parts = [*_grid(quantity, ticks, y), *_weights(sorted({*weights, settled}), places)]
    line = " ".join(f"{places[weight]:.1f},{y(value_of(one) or 0.0):.1f}" for weight, one in points)
    parts.append(tag("polyline", points=line, fill="none", stroke=COLOUR, stroke_width=2))
    parts += [_mark(quantity, weight, one, places[weight], y) for weight, one in points]
    if quantity.printed is not None:
        parts.append(_diamond(quantity, places[settled], y(quantity.printed)))
    told = "; ".join(f"{weight:g}: {_written(quantity, value_of(one))}" for weight, one in points)
    svg = tag(
        "svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="plot",
        aria_label=f"{quantity.name} over {name}: {told}",
    )  # fmt: skip
    return tag("figure", tag("figcaption", quantity.name), svg, class_="sweep")


def _places(weights: Sequence[float]) -> dict[float, float]:
    """Return each weight's place in px; 0, which has no logarithm, stands a decade below the smallest."""
    positive = [weight for weight in weights if weight > 0]
    least = min(positive) / 10 if 0 in weights else min(positive)
    logs = {weight: log10(weight or least) for weight in weights}
    left, right = min(logs.values()), max(logs.values())
    inner = WIDTH - LEFT - RIGHT - 40
    return {w: LEFT + 20 + inner * ((at - left) / (right - left) if right > left else 0.5) for w, at in logs.items()}


def _ticks(points: Points, quantity: Quantity) -> list[float]:
    """Return round ticks that enclose all values, their intervals and the paper's value, three to seven of them."""
    values = [edge for _, one in points for edge in (value_of(one), *(interval_of(one) or ())) if edge is not None]
    values += [quantity.printed] if quantity.printed is not None else []
    span = max(max(values) - min(values), quantity.span)
    rough = span / 5
    magnitude = 10.0 ** floor(log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    first, last = floor(round(min(values) / step, 6)), ceil(round(max(values) / step, 6))
    return [round(step * k, 6) for k in range(first, max(last, first + 2) + 1)]


def _scale(ticks: Sequence[float]) -> Scale:
    low, high = ticks[0], ticks[-1]
    return lambda value: HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value - low) / (high - low)


def _grid(quantity: Quantity, ticks: Sequence[float], y: Scale) -> list[Markup]:
    made: list[Markup] = []
    for tick in ticks:
        at = f"{y(tick):.1f}"
        made.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid"))
        made.append(text(LEFT - 8, y(tick) + 4, _tick(quantity, tick), text_anchor="end"))
    return made


def _tick(quantity: Quantity, tick: float) -> str:
    return f"{100 * tick:g} %" if quantity.form == "percent" else f"{tick:g}"


def _weights(weights: Sequence[float], places: Mapping[float, float]) -> list[Markup]:
    return [text(places[one], HEIGHT - BOTTOM + 18, f"{one:g}", text_anchor="middle") for one in weights]


def _written(quantity: Quantity, value: float | None) -> str:
    return percent(value) if quantity.form == "percent" else quantity.form.format(value)


def _mark(quantity: Quantity, weight: float, one: Estimate, across: float, y: Scale) -> Markup:
    value, edges = value_of(one) or 0.0, interval_of(one)
    reach = f", {_written(quantity, edges[0])} to {_written(quantity, edges[1])}" if edges else ""
    told = f"{weight:g}: {_written(quantity, value)}{reach}, n = {count(one['n'])}"
    bar = None
    if edges:
        bar = tag(
            "line", x1=f"{across:.1f}", x2=f"{across:.1f}", y1=f"{y(edges[0]):.1f}", y2=f"{y(edges[1]):.1f}",
            stroke=COLOUR, stroke_width=3, stroke_opacity=0.4,
        )  # fmt: skip
    dot = tag("circle", cx=f"{across:.1f}", cy=f"{y(value):.1f}", r=5, fill=COLOUR)
    return tag("g", fragment([tag("title", told), bar, dot]))


def _diamond(quantity: Quantity, across: float, up: float) -> Markup:
    path = f"M{across:.1f} {up - 6:.1f} l6 6 l-6 6 l-6 -6 z"
    told = tag("title", f"the paper's setting, on its own MeMa: {_written(quantity, quantity.printed)}")
    return tag("g", told, tag("path", d=path, fill="#fff", stroke=PAPER_COLOUR, stroke_width=1.6))
