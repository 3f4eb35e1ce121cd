"""`data/index.html`: six questions with yes, no or cannot tell, and a card a page; its figures are the metrics' alone.

It tells when and of which commit it was made, so it is written by `mema report` and is no output of a stage.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mema.project import headline, versions
from mema.runtime import durable
from models.diseases import DISEASE_NAMES
from models.report.benchmark.measured import NOTHING_DONE, OWN, by_method, recovered_rows
from models.report.benchmark.verdict import CLOSE, MET, UNKNOWN, Line, closed_to_others, recovered
from models.report.dataset.verdict import ATTRIBUTES, released_verdict
from models.report.words import percent, percent_interval

PAGE = Path("data/index.html")
YES, NO, OPEN = "yes", "no", "cannot tell"
POINTS_LOST = 10  # of the originals' recall, that de-identification may cost
SEEN = 0.5  # of a disease's images, that a judge must name for the disease to be seen
METRICS = ("recheck_identity", "distribution", "legibility", "medical", "reversibility", "annotations")
DATASET, READ, BENCHMARK = (
    "data/report/index.html",
    "data/report_readers/index.html",
    "data/report_benchmark/index.html",
)
PAGES = {
    DATASET: ("The data set", "what it shows, whom it could show, how near it is to the patients"),
    READ: ("As it was read", "what clinicians said of each image, and where they differed"),
    BENCHMARK: ("MedSem-DeID", "what each method keeps and hides, Tables 3 to 10"),
}


@dataclass(frozen=True)
class Answer:
    """A question of a privacy officer's or a physician's, its answer, what it rests on, and where to read on."""

    question: str
    answer: str
    why: str
    page: str


@dataclass(frozen=True)
class Card:
    """A page, and when it was made; `made` is empty where it was not."""

    title: str
    about: str
    page: str
    made: str


def answers(found: Mapping[str, Any]) -> Iterator[Answer]:
    """Yield the six questions; what has not been measured cannot be told."""
    yield Answer("Could a released face be taken for a patient?", *_released(found["recheck_identity"]), DATASET)
    yield Answer("Do the faces follow the patients' statistics?", *_statistics(found["distribution"]), DATASET)
    yield Answer("Can each disease be seen?", *_diseases(found["legibility"]), DATASET)
    yield Answer("Does MedSem-DeID keep the signs of disease?", *_signs(found["medical"]), BENCHMARK)
    yield Answer(
        "Does MedSem-DeID hide a face from an attacker who trains on pairs?", OPEN,
        "No stage asks such an attacker yet. ID-Dis, the paper's figure, is a distance and no measure of privacy.",
        BENCHMARK,
    )  # fmt: skip
    yield Answer("Does the passphrase, and nothing else, bring a face back?", *_back(found["reversibility"]), BENCHMARK)


def _released(recheck: Mapping[str, Any] | None) -> tuple[str, str]:
    if not recheck:
        return OPEN, "Not measured yet (recheck_identity)."
    verdict = released_verdict(recheck, num_above=0)  # select takes from what passed the screen alone
    n = next(iter(recheck["recognisers"].values()))["released"]["n"]
    recognised = verdict.headline.startswith("Patients are recognised")
    answer = NO if verdict.shown else YES if recognised else OPEN
    return answer, f"{verdict.headline} n = {n}."


def _statistics(distribution: Mapping[str, Any] | None) -> tuple[str, str]:
    if not distribution:
        return OPEN, "Not measured yet (select)."
    pairs = {name: distribution["wasserstein"][name] for name in ATTRIBUTES}
    edges = {name: (pair["guided"].get("ci95") or (None, None))[1] for name, pair in pairs.items()}
    values = {name: (_value(pair["guided"]), _value(pair["random"])) for name, pair in pairs.items()}
    said = ", ".join(
        f"{name} {guided:.3f} against {random:.3f} without guidance"
        for name, (guided, random) in values.items() if guided is not None and random is not None
    )  # fmt: skip
    known = [
        (guided, random, edges[name])
        for name, (guided, random) in values.items()
        if guided is not None and random is not None
    ]
    if len(known) < len(values):
        return OPEN, "An attribute was not measured."
    nearer = all(edge is not None and edge < random for _, random, edge in known)
    answer = YES if nearer else NO if any(guided > random for guided, random, _ in known) else OPEN
    return answer, f"Distance to the patients (0 is none): {said}. n = {distribution['n']['guided']}."


def _diseases(legibility: Mapping[str, Any] | None) -> tuple[str, str]:
    if not legibility or not legibility.get("judged"):
        return OPEN, "No judge has looked (select.judge_diseases)."
    rates = legibility["disease"]
    worst = min(rates, key=lambda name: rates[name]["rate"])
    low = rates[worst]
    said = f"{DISEASE_NAMES[worst]} least: a judge names {percent(low['rate'])} ({percent_interval(low['ci95'])})"
    unseen = any(row["ci95"][1] < SEEN for row in rates.values())
    seen = all(row["ci95"][0] >= SEEN for row in rates.values())
    n = sum(row["n"] for row in rates.values())
    return (YES if seen else NO if unseen else OPEN), f"{said}. n = {n}; no physician has confirmed it."


def _signs(medical: Mapping[str, Any] | None) -> tuple[str, str]:
    """Compare with the originals, of which so many points may be lost: to beat a blur is to keep little."""
    rows = by_method(medical["rows"]) if medical else {}
    own, original = (rows.get(name, {}).get("all") for name in (OWN, NOTHING_DONE))
    if not own or not original or own["value"] is None or original["value"] is None:
        return OPEN, "Not measured yet (evaluate_medical)."
    allowed = original["value"] - POINTS_LOST / 100
    low, high = own.get("ci95") or (None, None)
    kept, gone = low is not None and low >= allowed, high is not None and high < allowed
    said = f"a judge names {percent(own['value'])}, of the originals {percent(original['value'])}"
    return (YES if kept else NO if gone else OPEN), f"Of the diseases {said}. n = {own['n']}."


def _back(reversibility: Mapping[str, Any] | None) -> tuple[str, str]:
    rows = recovered_rows(reversibility["rows"]) if reversibility else {}
    right, wrong = (rows.get((OWN, kind), {}).get("psnr") for kind in ("recovered", "wrong"))
    pair = (recovered(right), closed_to_others(right, wrong))
    said = "; ".join(f"{line.asked}: {line.measured}" for line in pair)
    return _of_lines(*pair), f"{said}. n = {right['n'] if right else 0}."


def _of_lines(*lines: Line) -> str:
    if any(line.state in (UNKNOWN, CLOSE) for line in lines):
        return OPEN
    return YES if all(line.state == MET for line in lines) else NO


def _value(estimate: Any) -> float | None:
    return estimate["value"] if isinstance(estimate, Mapping) else estimate


def cards(root: Path) -> list[Card]:
    """Return a card for each page, with when it was made."""
    return [Card(title, about, page, _made(root / page)) for page, (title, about) in PAGES.items()]


def _made(page: Path) -> str:
    return f"{datetime.fromtimestamp(page.stat().st_mtime):%Y-%m-%d %H:%M}" if page.exists() else ""


def write(profile: str, root: Path = Path()) -> Path:
    """Write the start page of a checkout; return where."""
    found = {name: headline.read(root / f"data/metrics/{name}.json") for name in METRICS}
    simulated = (found["annotations"] or {}).get("source") == "simulated"
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    text = environment.get_template("start_page.html").render(
        answers=list(answers(found)), cards=cards(root), profile=profile, commit=versions.commit(),
        made=f"{datetime.now():%Y-%m-%d %H:%M}", simulated=simulated, base=PAGE.parent.as_posix(),
    )  # fmt: skip
    durable.write_text(root / PAGE, text)
    return root / PAGE
