"""The first screen, and what was done on how many images."""

from models.report.dataset.measured import Gallery, Measured
from models.report.dataset.verdict import Verdict, worst_of
from models.report.markup import Markup, section, table, tag
from models.report.pictures import pictures
from models.report.words import NOTHING, count, percent, percent_interval, plural, value_of

LABELS = {
    "phantom": "Measured on phantoms: drawn faces",
    "photos": "Measured on photographs wearing simulated signs",
    "paper": "Measured on patients",
}
WORTH = {
    "phantom": "Nobody here exists. The figures show which way method and code work; they say nothing about a patient.",
    "photos": "Real people, recognisers and thresholds, but painted signs and a generator of drawings: the "
    "screen's figures count, the pictures don't.",
    "paper": "The figures hold for these patients, this generator and these recognisers.",
}
UNCOUNTED = (
    "How many photos of how many patients there are stands on no page: two versions of it would tell who left. "
    "Inside the hospital: data/patients/ingest.json."
)
ARM_ROLES = {
    "injected": "the product: with a donor's face",
    "direct": "control of Table 1: without a donor",
    "random": "control of Table 2: conditions at random",
    "strip": "strips of this page",
}


def opening(measured: Measured, gallery: Gallery, verdict: Verdict) -> Markup:
    """Return title, what it was measured on, the verdict, the key figures and a row of faces."""
    return tag(
        "header",
        tag("p", LABELS[measured.profile], class_="label"),
        tag("h1", measured.title),
        tag("p", verdict.headline, class_="verdict shown" if verdict.shown else "verdict open"),
        tag("p", released(measured), class_="lead"),
        tag("div", *(_tile(*tile) for tile in _tiles(measured)), class_="tiles"),
        pictures(gallery.opening, "faces strip"),
        tag("p", f"Generated faces of the released set. {WORTH[measured.profile]}", class_="weak"),
    )


def released(measured: Measured) -> str:
    """Say what holds for the images that leave."""
    screened = measured.leakage["screened"]
    if measured.num_above:
        return (
            f"Do not release: {measured.num_above} of {plural(measured.num_selected, 'selected face')} lie "
            "above a recogniser's threshold. Run screen_identity and select again."
        )
    names = list(measured.leakage["recognisers"])
    return (
        f"The screen removed {count(screened['rejected'])} of {count(screened['n'])} generated faces. By the "
        f"recognisers that screened ({', '.join(names)}) none of the {plural(measured.num_selected, 'face')} in the "
        "released set is above a threshold: 0 by construction, because these removed them, and no evidence."
    )


def _tiles(measured: Measured) -> list[tuple[str, str, str]]:
    asked = measured.num_selected + measured.distribution["shortfall"]["total"]
    ((judge, row),) = measured.recheck["recognisers"].items()
    tiles = [(count(measured.num_selected), "faces released", f"of {count(asked)} asked for")]
    for arm, name in (
        ("released", "of them taken for a patient"),
        ("floor", "of strangers, likewise"),
        ("ceiling", "of the patients' own photos"),
    ):
        rate = row[arm]
        detail = f"{percent_interval(rate.get('ci95'))}, n = {count(rate.get('n'))}; by {judge}, which did not screen"
        tiles.append((percent(rate.get("rate")), name, detail))
    worst, rate = worst_of(measured.leakage, "injected")
    interval = percent_interval(rate.get("ci95"))
    tiles.append((percent(rate.get("rate")), "recognised before the screen", f"{interval}; worst: {worst}"))
    guided = [value_of(pair["guided"]) for pair in measured.distribution["wasserstein"].values()]
    known = [value for value in guided if value is not None]
    worst = f"{max(known):.3f}" if known else NOTHING
    tiles.append((worst, "farthest from the profile", "disease, age or gender; 0 is equal"))
    return tiles


def _tile(figure: str, name: str, detail: str) -> Markup:
    return tag("div", tag("b", figure), tag("span", name), tag("small", detail) if detail else None, class_="tile")


def funnel(measured: Measured) -> Markup:
    """Return what was done on how many images."""
    public, arms = measured.ingested, measured.arms.values()
    rejected, short = sum(arm.rejected for arm in arms), measured.distribution["shortfall"]["total"]
    steps = [
        (count(public["kept"]), "public faces kept", f"{count(public['quarantined'])} quarantined"),
        (count(sum(arm.planned for arm in arms)), "images planned", f"{len(measured.arms)} arms"),
        (count(sum(arm.kept + arm.rejected for arm in arms)), "sampled", ""),
        (count(sum(arm.kept for arm in arms)), "passed the screen", f"{count(rejected)} rejected"),
        (count(measured.num_selected), "released", f"{count(short)} short"),
    ]
    rows = [
        (name, ARM_ROLES.get(name, ""), *map(count, (a.planned, a.kept + a.rejected, a.kept, a.rejected)))
        for name, a in measured.arms.items()
    ]
    columns = ("arm", "what for", "planned", "sampled", "kept", "rejected")
    return section(
        "done",
        "What was done",
        tag("div", *(_tile(*step) for step in steps), class_="funnel"),
        table(columns, rows, caption="The arms of the plan, and what the identity screen made of them"),
        tag("p", "Only kept images of the product's arm can be released. " + UNCOUNTED, class_="weak"),
    )
