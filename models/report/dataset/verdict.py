"""What the figures show and what they don't, in plain words: computed, never claimed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.report.words import percent, percent_interval, value_of

FEWER = 5  # how many times fewer leaks the injection must make to count as shown
SEES = 0.8  # a judge's share of held-out photos found, the interval's lower end
ALLOWED = 0.01  # a rate surely below it needs no comparison with strangers
BLIND = 0.5  # a recogniser that finds fewer of the patients' own photos is no judge
ATTRIBUTES = ("disease", "age", "gender")


@dataclass(frozen=True)
class Verdict:
    """Whether the effect was shown, the sentence for the top of the page, and one for each judge."""

    shown: bool
    headline: str
    findings: list[str]


def released_verdict(recheck: Mapping[str, Any], num_above: int) -> Verdict:
    """Judge what leaves by the recogniser that did not screen: is a patient recognised more often than a stranger?"""
    ((name, row),) = recheck["recognisers"].items()
    released, floor, ceiling = row["released"], row["floor"], row["ceiling"]
    if num_above:
        return Verdict(False, "Do not release: selected faces lie above a threshold of the screen.", [])
    if not (released["n"] and floor["n"] and ceiling["n"]):
        return Verdict(False, f"Cannot be told: {name} had no image, stranger or held-out photo to judge.", [])
    compared = (
        f"of {released['n']:,} released faces, {name}, which did not screen, takes {percent(released['rate'])} "
        f"({percent_interval(released['ci95'])}) for a patient; of strangers {percent(floor['rate'])} "
        f"({percent_interval(floor['ci95'])}); of photos of the patients themselves {percent(ceiling['rate'])}"
    )
    if ceiling["ci95"][0] < SEES:
        return Verdict(False, f"Cannot be told, for the judge may be blind: {compared}.", [])
    if released["ci95"][0] > floor["ci95"][1]:
        return Verdict(False, f"Patients are recognised: {compared}.", [])
    if released["ci95"][1] > max(floor["ci95"][1], ALLOWED):
        return Verdict(False, f"Not shown with so few faces that strangers are recognised as often: {compared}.", [])
    return Verdict(True, f"No more recognised than strangers: {compared}.", [])


def worst_of(leakage: Mapping[str, Any], arm: str) -> tuple[str, Mapping[str, Any]]:
    """Return the recogniser that finds most in an arm, and its rate: a mean would hide it."""
    rates = {name: row.get(arm) or {} for name, row in leakage["recognisers"].items()}
    name = max(rates, key=lambda name: rates[name].get("rate") or 0.0, default="")
    return name, rates.get(name, {})


def leak_verdict(leakage: Mapping[str, Any]) -> Verdict:
    """Judge Table 1: does direct sampling leak above the floor, and FEWER times as much as injection?"""
    judged = {name: _judge(name, row) for name, row in leakage["recognisers"].items()}
    shown = bool(judged) and all(good for good, _ in judged.values())
    findings = [text for _, text in judged.values()]
    findings += [text for name, row in leakage["recognisers"].items() if (text := _blindness(name, row))]
    worst, injected = worst_of(leakage, "injected")
    direct, floor = (leakage["recognisers"].get(worst, {}).get(arm) or {} for arm in ("direct", "floor"))
    if not (direct.get("n") and injected.get("n")):
        return Verdict(False, "Not measured: Table 1 lacks an arm, so nothing is said about leaks.", findings)
    compared = (
        f"by {worst}, which finds most, {_share(direct)} of the faces generated without a donor's face are recognised "
        f"as a patient; with one, {_share(injected)}"
    )
    if shown:
        headline = f"The donor's face hides the patient: before the screen, {compared}{_ratio(direct, injected)}."
    else:
        headline = (
            f"Not shown at this scale: that the donor's face hides the patient. Before the screen, {compared}. "
            f"Of strangers, {_share(floor)} are taken for a patient anyway."
        )
    return Verdict(shown, headline, findings)


def _judge(name: str, row: Mapping[str, Any]) -> tuple[bool, str]:
    direct, injected, floor = (row.get(arm) or {} for arm in ("direct", "injected", "floor"))
    absent = [arm for arm in ("direct", "injected", "floor") if not (row.get(arm) or {}).get("n")]
    if absent:
        return False, f"{name}: not measured, no image in {' and '.join(absent)}."
    rates = f"direct {percent(direct['rate'])}, injected {percent(injected['rate'])}"
    if direct["ci95"][0] <= floor["ci95"][1]:
        return False, (
            f"{name}: {rates}. Not shown: direct does not stand apart from the floor of "
            f"{percent(floor['rate'])}, so the generator has not visibly learnt any face to hide."
        )
    if direct["ci95"][0] <= injected["ci95"][1]:
        return False, f"{name}: {rates}. Not shown: the intervals of the two overlap."
    if direct["rate"] < FEWER * injected["rate"]:
        times = direct["rate"] / injected["rate"]
        return False, f"{name}: {rates}. Not shown: {times:.1f} times fewer, {FEWER} are asked for."
    return True, (
        f"{name}: {rates}{_ratio(direct, injected)}, intervals apart, and direct stands above the floor of "
        f"{percent(floor['rate'])}. Shown."
    )


def _blindness(name: str, row: Mapping[str, Any]) -> str:
    ceiling = row.get("ceiling") or {}
    if not ceiling.get("n"):
        return f"{name}: no held-out photo of a patient, so nobody knows what this recogniser can see."
    if ceiling["rate"] < BLIND:
        return (
            f"{name}: it recognises only {percent(ceiling['rate'])} of the patients' own held-out photos; "
            "its low rates say little."
        )
    return ""


def _share(rate: Mapping[str, Any]) -> str:
    if not rate.get("n"):
        return "an unknown share"
    return percent(rate["rate"]) if rate["leaked"] else f"none of {rate['n']:,}"


def _ratio(direct: Mapping[str, Any], injected: Mapping[str, Any]) -> str:
    if not injected["leaked"]:
        return ""
    return f" ({direct['rate'] / injected['rate']:.1f} times fewer)"


def distance_findings(distribution: Mapping[str, Any]) -> list[str]:
    """Say of each attribute whether following the patients' statistics beats random, as estimated."""
    texts = []
    for name in ATTRIBUTES:
        pair = distribution["wasserstein"][name]
        guided, random = value_of(pair["guided"]), value_of(pair["random"])
        if guided is None or random is None:
            texts.append(f"{name}: not measured.")
        elif guided < random:
            texts.append(f"{name}: guided {guided:.3f} is nearer to the patients than random {random:.3f}.")
        else:
            texts.append(
                f"{name}: not shown, guided {guided:.3f} is no nearer to the patients than random {random:.3f}."
            )
    return texts
