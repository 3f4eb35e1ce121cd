"""The headline figures beside the paper's, from the metrics files: Tables 1 and 2, and 3 and 5 in short."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Tables 1 and 2 of the paper.
PAPER_LEAKAGE = {
    "sphereface": {"direct": 0.7345, "injected": 0.0162},
    "arcface": {"direct": 0.7672, "injected": 0.0097},
    "cosface": {"direct": 0.6534, "injected": 0.0124},
    "average": {"direct": 0.7183, "injected": 0.0127},
}
PAPER_DISTANCE = {
    "disease": {"random": 0.256, "guided": 0.003},
    "age": {"random": 0.143, "guided": 0.002},
    "gender": {"random": 0.157, "guided": 0.002},
}
ARMS = ("floor", "direct", "injected", "ceiling")
METRICS = ("leakage", "distribution", "medical", "identity")
Row = tuple[str, ...]


def read(path: Path) -> dict[str, Any] | None:
    """Return a metrics file, or None where its stage has not run."""
    return json.loads(path.read_text()) if path.exists() else None


def tables(found: dict[str, dict[str, Any] | None]) -> Iterator[tuple[str, Row, Iterator[Row]]]:
    """Yield title (with a place for the profile), columns and rows of each table that has been measured."""
    if leakage := found["leakage"]:
        ns = ", ".join(f"{arm} {leakage['average'][arm]['n']}" for arm in ARMS if arm in leakage["average"])
        columns = ("recogniser", *ARMS, "paper direct", "paper injected")
        yield (f"Table 1, profile {{profile}}: recognised as a patient [95 %]; n: {ns}", columns, leakage_rows(leakage))
    if distribution := found["distribution"]:
        ns = ", ".join(f"{arm} {n}" for arm, n in distribution["n"].items())
        columns = ("attribute", "random", "guided", "paper random", "paper guided")
        title = f"Table 2, profile {{profile}}: distance to the patients; n: {ns}"
        yield title, columns, distance_rows(distribution)
    if (medical := found["medical"]) and (identity := found["identity"]):
        columns = ("method", "Med-Class", *(f"ID-Dis {name}" for name in distance_columns(identity)))
        title = f"Tables 3 and 5, profile {{profile}}: signs kept, identity lost; n: {medical['rows'][0]['all']['n']}"
        yield title, columns, method_rows(medical, identity)


def leakage_rows(leakage: dict[str, Any]) -> Iterator[Row]:
    """Yield recogniser, then per arm 'rate [interval]', then the paper's direct and injected rates."""
    for name, arms in [*leakage["recognisers"].items(), ("average", leakage["average"])]:
        paper = PAPER_LEAKAGE.get(name, {})
        printed = (percent(paper.get(arm)) for arm in ("direct", "injected"))
        yield (name, *(rate(arms.get(arm)) for arm in ARMS), *printed)


def distance_rows(distribution: dict[str, Any]) -> Iterator[Row]:
    """Yield attribute, its random and guided distance, and the paper's."""
    for name, paper in PAPER_DISTANCE.items():
        ours = distribution["wasserstein"][name]
        yield (name, *(decimal(ours[arm]) for arm in ("random", "guided")), *map(decimal, paper.values()))


def method_rows(medical: dict[str, Any], identity: dict[str, Any]) -> Iterator[Row]:
    """Yield method, Med-Class (macro, Table 3) with its interval, then ID-Dis of each recogniser (Table 5)."""
    distances = {row["method"]: row["id_dis"] for row in identity["rows"]}
    for row in medical["rows"]:
        signs, found = row["all"], distances.get(row["method"], {})
        dashes = (decimal(found.get(name, {"value": None})) for name in distance_columns(identity))
        yield (row["method"], rate({**signs, "rate": signs["value"]}), *dashes)


def distance_columns(identity: dict[str, Any]) -> list[str]:
    """Return the recognisers that judged ID-Dis."""
    return sorted({name for row in identity["rows"] for name in row["id_dis"]})


def rate(arm: dict[str, Any] | None) -> str:
    """Return '4.3 % [2.1, 8.0]', or a dash for an arm that has no image."""
    if not arm or not arm.get("n"):
        return "-"
    low, high = arm.get("ci95") or (None, None)
    interval = f" [{100 * low:.1f}, {100 * high:.1f}]" if low is not None and high is not None else ""
    return f"{percent(arm['rate'])}{interval}"


def percent(share: float | None) -> str:
    """Return a share as percent, or a dash."""
    return "-" if share is None else f"{100 * share:.1f} %"


def decimal(distance: float | dict[str, Any]) -> str:
    """Return a distance with three decimals, or a dash; a distance with its interval comes as {value, ci95}."""
    value = distance["value"] if isinstance(distance, dict) else distance
    return "-" if value is None else f"{value:.3f}"
