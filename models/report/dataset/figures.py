"""The sections of figures: Tables 1 and 2 beside the paper's, and reasons."""

from collections.abc import Mapping
from typing import Any

from models.diseases import DISEASE_NAMES, DISEASES
from models.report.dataset.measured import Measured
from models.report.dataset.verdict import ATTRIBUTES, FEWER, Verdict, distance_findings
from models.report.markup import Markup, bullets, section, table, tag
from models.report.plots import ARM_COLOURS, SOURCE_COLOURS, interval_plot, legend, share_bars
from models.report.words import NOTHING, count, decimal, decimal_interval, percent, percent_interval, value_of

OTHERS = "The paper measured other people with other networks: compare the direction."
METRIC = (
    "Wasserstein-1 distance. Age in years / 100; disease and gender by the discrete metric, under which "
    "it is the total variation. "
)


def leaks(measured: Measured, verdict: Verdict) -> Markup:
    """Return Table 1 with its plot and its verdict."""
    leakage, paper = measured.leakage, measured.paper_leakage
    groups = {**leakage["recognisers"], "average": leakage["average"]}
    columns = ("recogniser", *ARM_COLOURS, "threshold", "FPIR", "FMR", "paper: direct", "paper: injected")
    rows = [
        (name, *(_rate(row.get(arm)) for arm in ARM_COLOURS), decimal(row.get("threshold")),
         _fpir(row), _tiny(row.get("fmr")),
         *(percent(paper.get(name, {}).get(arm)) for arm in ("direct", "injected")))
        for name, row in groups.items()
    ]  # fmt: skip
    return section(
        "leaks",
        "Table 1: who is recognised as a patient",
        tag(
            "p",
            "A face leaks when its nearest patient photo is more similar than the recogniser's threshold, "
            "which few people outside the gallery reach (FPIR). Floor: public faces, strangers to the "
            "patients. Direct: drawn without a donor. Injected: the product, before the screen. Ceiling: "
            "held-out photos of the very patients, which a good judge finds.",
        ),
        tag("p", verdict.headline),
        legend(ARM_COLOURS, "the paper's"),
        interval_plot(groups, paper),
        table(columns, rows, caption=f"Share recognised, n, 95 % interval of images and threshold. {OTHERS}"),
        tag("h3", f"Shown? Direct above its floor, and at least {FEWER} times injected, intervals apart"),
        bullets(verdict.findings),
    )


def _rate(rate: Mapping[str, Any] | None) -> Markup:
    if not rate or not rate.get("n"):
        return tag("span", "no image", class_="weak")
    detail = tag("small", percent_interval(rate.get("ci95")), tag("br"), f"n = {rate['n']:,}")
    return tag("span", percent(rate["rate"]), detail, class_="figure")


def _fpir(row: Mapping[str, Any]) -> Markup | str:
    if row.get("fpir") is None:
        return NOTHING
    detail = tag("small", percent_interval(row.get("fpir_ci95")), tag("br"), f"n = {count(row.get('num_calibration'))}")
    return tag("span", percent(row["fpir"]), detail, class_="figure")


def _tiny(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1e}"


def distances(measured: Measured) -> Markup:
    """Return Table 2 with the distributions side by side."""
    distribution, planned = measured.distribution, measured.distribution.get("planned") or {}
    rows = [
        (
            name,
            *(_distance(pair.get(arm)) for arm in ("random", "guided")),
            *(decimal(value_of((planned.get(name) or {}).get(arm))) for arm in ("random", "guided")),
            *(decimal(measured.paper_distance.get(name, {}).get(arm)) for arm in ("random", "guided")),
        )
        for name, pair in ((name, distribution["wasserstein"][name]) for name in ATTRIBUTES)
    ]
    columns = (
        "attribute", "random", "guided", "random, as planned", "guided, as planned", "paper: random",
        "paper: guided",
    )  # fmt: skip
    panels = [share_bars(name, _ordered(distribution["histograms"][name]), DISEASE_NAMES) for name in ATTRIBUTES]
    return section(
        "distances",
        "Table 2: do the images match the patients?",
        tag(
            "p",
            "Random and guided are estimated from the images; as planned is what the plan asked for. All are "
            "distances from the published profile, which noise parts from the patients; the distance from the "
            "patients themselves would tell of them, and stays in the hospital (data/patients/distribution.json).",
        ),
        table(columns, rows, caption=METRIC + OTHERS),
        bullets(distance_findings(distribution)),
        tag("h3", "Distributions side by side"),
        legend(SOURCE_COLOURS),
        tag("div", *panels, class_="panels"),
        tag("p", _profile_error(distribution), class_="weak"),
        _shortfall(distribution["shortfall"]),
    )


def _profile_error(distribution: Mapping[str, Any]) -> str:
    errors = distribution.get("profile_error") or {}
    parts = ", ".join(f"{name} {decimal(value)}" for name, value in errors.items())
    known = f" Its noise is expected to move it by (total variation): {parts}." if parts else ""
    return f"Patients: the published profile, made private by noise.{known}"


def _ordered(shares: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return the shares in the order of the diseases, or of the ages; JSON files sort by letters."""

    def place(label: str) -> tuple[int, str]:
        if label in DISEASES:
            return DISEASES.index(label), ""
        start = label.partition("-")[0]
        return int(start) if start.isdigit() else 0, label

    return {source: {label: part[label] for label in sorted(part, key=place)} for source, part in shares.items()}


def _distance(measured: float | Mapping[str, Any] | None) -> Markup:
    details = measured if isinstance(measured, Mapping) else {}
    number = details.get("value") if details else measured
    parts = [decimal_interval(details.get("ci95"))] if details.get("ci95") else []
    parts += [f"n = {details['n']:,}"] if details.get("n") else []
    lines = [piece for part in parts for piece in (part, tag("br"))][:-1]
    shown = decimal(number if isinstance(number, int | float) else None)
    return tag("span", shown, tag("small", *lines) if lines else None, class_="figure")


def _shortfall(shortfall: Mapping[str, Any]) -> Markup:
    if not shortfall["total"]:
        return tag("p", "Every cell of disease, age and gender is filled as the profile asks.")
    missing = f"{count(shortfall['total'])} images are missing in {len(shortfall['cells'])} cells of the profile"
    return tag("p", f"{missing}: raise plan_sampling.over_generation to fill them.")


def reasons(measured: Measured) -> Markup:
    """Return why photos were quarantined and images rejected."""
    rejected = {_plainly(reason): number for reason, number in measured.leakage["screened"]["reasons"].items()}
    public = measured.ingested
    tables = [_counts("Quarantined public faces", public.get("reasons") or {}), _counts("Rejected images", rejected)]
    if public.get("flags"):
        tables.append(_counts("Flags of kept public faces", public["flags"]))
    return section("reasons", "Reasons of rejection and quarantine", tag("div", *tables, class_="columns"))


def _plainly(reason: str) -> str:
    kind, _, name = reason.partition(":")
    return f"resembles a patient, surest: {name}" if kind == "resembles_patient" else reason.replace("_", " ")


def _counts(caption: str, counts: Mapping[str, int]) -> Markup:
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [(reason.replace("_", " "), count(number)) for reason, number in rows]
    return table(("reason", "count"), shown or [("none", "0")], caption=caption, class_="counts")
