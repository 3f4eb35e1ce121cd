"""Tables 3 to 7: signs of disease, physicians, identity, landmarks and gaze."""

from collections.abc import Mapping, Sequence

from models.report.benchmark import paper
from models.report.benchmark.data import PAPER, PAPER_CLINIC, here
from models.report.benchmark.measured import (
    BenchmarkMeasured,
    Estimate,
    Row,
    by_method,
    is_estimate,
    nested,
    recogniser_name,
)
from models.report.benchmark.signs import SIGNS, signs
from models.report.benchmark.tables import (
    DISTANCE,
    PERCENT,
    TENTHS,
    WORDS,
    Column,
    Group,
    Line,
    figures_table,
    headed,
    own_lines,
    paper_lines,
    remarks,
)
from models.report.markup import Markup, fragment, section, tag

FACE_PARTS = tuple(Column(name, name, TENTHS) for name in ("all", "eye", "mouth", "nose"))
ANGLES = tuple(Column(name, name, TENTHS) for name in ("pitch", "yaw"))
CLINICAL_NAMES = {one.key: one.head for one in SIGNS} | {"entropion": "Entropion", "eyelid_nevus": "Eyelid nevus"}


def physicians(measured: BenchmarkMeasured) -> Markup:
    """Return Table 4: do physicians name the same disease? Or that none has been asked yet."""
    title = "Table 4: do physicians see the same?"
    papers = _table_of_paper(paper.CLINICAL, CLINICAL_NAMES, DISTANCE, PAPER_CLINIC, words=("method",))
    if measured.clinical is None:
        none = (
            "Nobody has diagnosed these images yet: python -m tasks.deidentify.evaluate_clinical makes this table of a "
            "CSV or from Label Studio's export."
        )
        return section("table4", title, tag("p", none), papers)
    rows = by_method(measured.clinical["rows"])
    measured_keys = {key for row in rows.values() for key, found in row.items() if is_estimate(found)}
    order = [*paper.CLINICAL[paper.OURS], *sorted(measured_keys - {"all"}), "all"]
    keys = [key for key in dict.fromkeys(order) if key in measured_keys]
    columns = [Column(key, CLINICAL_NAMES.get(key, key), DISTANCE) for key in keys]
    lines = [Line(headed(name, row), [_left_out(row)], row) for name, row in rows.items()]
    words = (
        "Cohen's kappa between the majority's diagnosis of the original and that of the de-identified image, "
        "each disease against the rest. 1 is perfect; above 0.81 the paper calls it perfect consistency. Left "
        "out: images without a majority, or read on one side only."
    )
    label = f"Read for this project, on images that are described as: {measured.clinical.get('data', 'not stated')}"
    own = figures_table(("method", "left out"), columns, [Group(label, lines)])
    return section("table4", title, tag("p", words), own, papers)


def _left_out(row: Row) -> str:
    return str(row.get("undecided", 0) + row.get("unpaired", 0))


def _table_of_paper(
    figures: Mapping[str, Mapping[str, float]],
    names: Mapping[str, str],
    kind: str,
    label: str,
    words: Sequence[str] = WORDS,
) -> Markup:
    keys = dict.fromkeys(key for values in figures.values() for key in values)
    columns = [Column(key, names.get(key, key), kind) for key in keys]
    lines = [Line(line.head, line.words[: len(words) - 1], line.figures) for line in paper_lines(figures)]
    return figures_table(words, columns, [Group(label, lines, paper=True)])


def _by_recogniser(rows: Mapping[str, Row], key: str) -> tuple[list[str], dict[str, Mapping[str, Estimate]]]:
    figures = {name: nested(row, key) for name, row in rows.items()}
    return sorted({one for found in figures.values() for one in found}), figures


def identity(measured: BenchmarkMeasured) -> Markup:
    """Return Table 5: how far is a face from its original?"""
    rows = by_method(measured.identity["rows"])
    columns, figures = _columns_of(
        rows, {"id_dis": ("ID-Dis", DISTANCE), "verification_accuracy": ("verified", PERCENT)}
    )
    own = Group(here(measured.profile), own_lines(measured, rows, figures))
    return section(
        "table5",
        "Table 5: is the person still recognised?",
        tag(
            "p",
            "ID-Dis is the Euclidean distance between normalised features of the original and of the "
            "de-identified face: 0 is the same, 1.41 a stranger, 2 the opposite. Higher protects more. Verified "
            "is the share of pairs that a recogniser tells right (same person or not, LFW's protocol): 50 % is "
            "guessing. Reversed is the same for an attacker who says same where faces are least alike: above "
            "50 % it betrays a face that was pushed away from its original rather than made a stranger.",
        ),
        tag("p", held_out(measured)),
        figures_table(WORDS, columns, [own]),
        remarks(measured.identity),
        _table_of_paper(paper.IDENTITY, paper.RECOGNISERS, DISTANCE, PAPER),
    )


def held_out(measured: BenchmarkMeasured) -> str:
    """Say whether it was proven that nothing here was trained on what it is judged by."""
    found = measured.identity.get("held_out")
    if not found or found.get("shared") != 0:
        return "Not proven in these metrics: that no recogniser, image or donor of this table was in a training."
    return (
        f"Checked before measuring: none of the {found['images']:,} images and {found['donors']:,} donors is in "
        f"a training set ({', '.join(found['training'])}), and no recogniser is that of the training's losses."
    )


def _columns_of(
    rows: Mapping[str, Row], wanted: Mapping[str, tuple[str, str]]
) -> tuple[list[Column], dict[str, dict[str, Estimate]]]:
    """Return a column for each wanted figure and recogniser, and each method's estimates by column."""
    columns: list[Column] = []
    figures: dict[str, dict[str, Estimate]] = {name: {} for name in rows}
    for key, (head, kind) in wanted.items():
        names, found = _by_recogniser(rows, key)
        columns += [Column(f"{key}.{name}", f"{head}, {recogniser_name(name)}", kind) for name in names]
        for method, estimates in found.items():
            figures[method] |= {f"{key}.{name}": one for name, one in estimates.items()}
    return columns, figures


def matching(measured: BenchmarkMeasured) -> Markup:
    """Return Table 6: is the person found in a gallery?"""
    rows = by_method(measured.identity["rows"])
    wanted = {"match_rate": ("ID photos", PERCENT), "match_rate_originals": ("originals", PERCENT)}
    columns, figures = _columns_of(rows, wanted)
    own = Group(here(measured.profile), own_lines(measured, rows, figures))
    printed = {name: {"rate": rate} for name, rate in paper.MATCH_RATE.items()}
    return section(
        "table6",
        "Table 6: is the person found among many?",
        tag(
            "p",
            "The share of de-identified faces whose nearest face is their own person's, among ID photos, and "
            f"among the originals. Lower is better. {_chance(_by_recogniser(rows, 'match_rate')[1])}The paper "
            "prints no n.",
        ),
        figures_table(WORDS, columns, [own]),
        _table_of_paper(printed, {"rate": "match rate"}, PERCENT, PAPER_CLINIC),
    )


def _chance(rates: Mapping[str, Mapping[str, Estimate]]) -> str:
    known = {one["chance"]: one.get("gallery") for found in rates.values() for one in found.values() if "chance" in one}
    if len(known) != 1:
        return ""
    chance, size = next(iter(known.items()))
    return f"Chance alone finds {100 * chance:.1f} % among {size or 'the'} ID photos. "


def utility(measured: BenchmarkMeasured) -> Markup:
    """Return Table 7: are landmarks and gaze where they were?"""
    rows = by_method(measured.utility["rows"])
    figures = {name: {**nested(row, "landmark"), **nested(row, "gaze")} for name, row in rows.items()}
    groups = [
        Group(here(measured.profile), own_lines(measured, rows, figures)),
        Group(PAPER, paper_lines(paper.UTILITY), paper=True),
    ]
    columns = [
        *(Column(one.key, f"landmarks, {one.head} (px)", one.kind) for one in FACE_PARTS),
        *(Column(one.key, f"gaze, {one.head} (degrees)", one.kind) for one in ANGLES),
    ]
    return section(
        "table7",
        "Table 7: are landmarks and gaze where they were?",
        tag(
            "p",
            "Mean distance between dlib's points on the original and on the de-identified face, in px of the "
            "image, and mean difference of the gaze. Lower is better. Images differ in size here and in the "
            "paper, so px do not compare. The copy of the paper at hand lacks four figures of its own method.",
        ),
        figures_table(WORDS, columns, groups),
    )


def tables_3_to_7(measured: BenchmarkMeasured) -> Markup:
    """Return the sections in the paper's order."""
    return fragment(one(measured) for one in (signs, physicians, identity, matching, utility))
