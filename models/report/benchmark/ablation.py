"""Tables 8 to 10: the way back, the parts of the model, and its medical encoders."""

from collections.abc import Sequence
from typing import Any

from models.report.benchmark import paper
from models.report.benchmark.data import PAPER, here
from models.report.benchmark.measured import (
    BenchmarkMeasured,
    Row,
    in_order,
    method_name,
    nested,
    recogniser_name,
    recovered_rows,
    value_of,
)
from models.report.benchmark.tables import DISTANCE, TENTHS, Column, Group, Line, figures_table, remarks, yes_no
from models.report.markup import Markup, fragment, section, tag

RIGHT, WRONG = "recovered", "wrong"
KEYS = {RIGHT: "right password", WRONG: "wrong password"}
QUALITY = (Column("psnr", "PSNR (dB)", TENTHS), Column("lpips", "LPIPS", DISTANCE), Column("med_class", "Med-Class"))
OF_ARMS = (
    Column("med_class", "Med-Class"), Column("id_dis", "ID-Dis", DISTANCE),
    Column("psnr", "PSNR of X_hat (dB)", TENTHS),
)  # fmt: skip
MODEL_NAMES = {"full": "full model"}
DATASETS = {"mema": "MeMa", "public": "public faces"}
ENCODER_NAMES = {"vit": "ViT, supervised", "vit_mae": "ViT, masked auto-encoder", "diffusion": "diffusion"}


def way_back(measured: BenchmarkMeasured) -> Markup:
    """Return Table 8: what the right and a wrong password give back."""
    rows = recovered_rows(measured.reversibility["rows"])
    shown = {key: row for key, row in rows.items() if _any_value(row)}
    names = sorted({name for row in shown.values() for name in nested(row, "id_dis")})
    columns = [*(Column(f"id_dis.{n}", f"ID-Dis, {recogniser_name(n)}", DISTANCE) for n in names), *QUALITY]
    methods = in_order(name for name, _ in shown)
    lines = [
        Line(method_name(method), [KEYS[kind]], _spread(shown[method, kind]))
        for method in methods
        for kind in KEYS
        if (method, kind) in shown
    ]
    known = {name for name, _ in rows} | set(measured.reversibility.get("irreversible") or ())
    absent = in_order(known - set(methods))
    none = f"No way back: {', '.join(map(method_name, absent))}." if absent else None
    printed = [Line(name, [KEYS[RIGHT]], figures) for name, figures in paper.REVERSIBILITY.items()]
    papers = (Column("id_dis", "ID-Dis", DISTANCE), *QUALITY)
    return section(
        "table8",
        "Table 8: does the password give the photograph back?",
        tag(
            "p",
            "With the right password ID-Dis and LPIPS should be low, PSNR and Med-Class high; with a wrong one "
            "the person should stay a stranger.",
        ),
        figures_table(("method", "opened with"), columns, [Group(here(measured.profile), lines)]),
        tag("p", none) if none else None,
        remarks(measured.reversibility),
        figures_table(("method", "opened with"), papers, [Group(PAPER, printed, paper=True)]),
    )


def _spread(row: Row) -> dict[str, Any]:
    return {**row, **{f"id_dis.{name}": one for name, one in nested(row, "id_dis").items()}}


def _any_value(row: Row) -> bool:
    found = [*nested(row, "id_dis").values(), *(row.get(column.key) for column in QUALITY)]
    return any(value_of(one) is not None for one in found)


def parts(measured: BenchmarkMeasured) -> Markup:
    """Return Table 9: what each part of the model adds."""
    lines = [
        Line(
            MODEL_NAMES.get(row["model"], row["model"]),
            [DATASETS.get(row["dataset"], row["dataset"]), yes_no(row["f_med"]), yes_no(row["l_med"])],
            row,
        )
        for row in measured.ablation["rows"]
    ]
    printed = [
        Line(MODEL_NAMES.get(name, name), [dataset, yes_no(f_med), yes_no(l_med)], paper.ABLATION[name])
        for name, (dataset, f_med, l_med) in paper.MODELS.items()
    ]
    return section(
        "table9",
        "Table 9: what does each part add?",
        tag(
            "p",
            "f_med feeds medical features into the model, L_med holds its output to them. Each should raise "
            f"Med-Class, both together most. {trained(measured)} The paper's ID-Dis is by SphereFace.",
        ),
        figures_table(
            ("model", "trained on", "f_med", "L_med"),
            OF_ARMS,
            [Group(here(measured.profile), lines), Group(PAPER, printed, paper=True)],
        ),
    )


def trained(measured: BenchmarkMeasured) -> str:
    """Say how long the models of the ablation were trained, and who judged ID-Dis."""
    steps, judge = measured.ablation.get("steps"), measured.ablation.get("recogniser")
    said = f"Every model was trained here for {steps:,} steps, which need not be those of Table 3. " if steps else ""
    return f"{said}ID-Dis is by {recogniser_name(judge) if judge else 'an unnamed recogniser'}."


def encoders(measured: BenchmarkMeasured) -> Markup:
    """Return Table 10: which medical encoder."""
    rows: Sequence[Row] = measured.ablation.get("encoders") or ()
    lines = [Line(ENCODER_NAMES.get(row["encoder"], row["encoder"]), [], row) for row in rows]
    printed = [Line(ENCODER_NAMES[name], [], figures) for name, figures in paper.ENCODERS.items()]
    said = trained(measured) if rows else "No encoder was compared here."
    return section(
        "table10",
        "Table 10: which medical encoder?",
        tag("p", f"The same model with another network that sees the signs. {said}"),
        figures_table(
            ("medical encoder",), OF_ARMS, [Group(here(measured.profile), lines), Group(PAPER, printed, paper=True)]
        ),
    )


def tables_8_to_10(measured: BenchmarkMeasured) -> Markup:
    """Return the sections in the paper's order."""
    return fragment(one(measured) for one in (way_back, parts, encoders))
