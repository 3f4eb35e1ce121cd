"""The settings of Tables 9 and 10 and of Fig. 8: which models are trained, and the plot of the sweeps."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import matplotlib
from matplotlib.figure import Figure

COLOURS = {"med_class": "#b8431f", "id_dis": "#14689e", "psnr": "#7b8490"}
LABELS = {"med_class": "Med-Class", "id_dis": "ID-Dis", "psnr": "PSNR of X_hat [dB]"}


@dataclass(frozen=True)
class Arm:
    """One model that is trained: on which faces, with f_med or without, by which weights and encoder."""

    dataset: Literal["mema", "public"]
    f_med: bool
    lambda_med: float
    lambda_rev: float
    encoder: str

    @property
    def l_med(self) -> bool:
        """Whether L_med is asked for."""
        return self.lambda_med > 0

    @property
    def name(self) -> str:
        """A name for files, different for different arms."""
        fusion = "f_med" if self.f_med else "plain"
        return f"{self.dataset}-{self.encoder}-{fusion}-med{self.lambda_med:g}-rev{self.lambda_rev:g}"


def table9(full: Arm) -> dict[str, Arm]:
    """Return M1 to M4 and the full model (paper, Table 9)."""
    plain = replace(full, f_med=False, lambda_med=0.0)
    return {
        "M1": replace(plain, dataset="public"),
        "M2": plain,
        "M3": replace(full, lambda_med=0.0),
        "M4": replace(full, f_med=False),
        "full": full,
    }


@dataclass(frozen=True)
class Matrix:
    """What is to be trained; an arm that stands in two places is trained once."""

    models: Mapping[str, Arm]
    encoders: Mapping[str, Arm]
    lambda_med: Mapping[float, Arm]
    lambda_rev: Mapping[float, Arm]

    def arms(self) -> list[Arm]:
        """Return the different arms, those of Table 9 first, arms of one encoder together."""
        parts: tuple[Mapping[Any, Arm], ...] = (self.models, self.lambda_med, self.lambda_rev, self.encoders)
        return list(dict.fromkeys(arm for part in parts for arm in part.values()))


def matrix(
    full: Arm,
    *,
    models: Sequence[str],
    encoders: Sequence[str],
    lambda_med: Sequence[float],
    lambda_rev: Sequence[float],
) -> Matrix:
    """Return the arms that are named, each the full model but for what it is about."""
    table = table9(full)
    return Matrix(
        {name: table[name] for name in models},
        {kind: replace(full, encoder=kind) for kind in encoders},
        {value: replace(full, lambda_med=value) for value in sorted(lambda_med)},
        {value: replace(full, lambda_rev=value) for value in sorted(lambda_rev)},
    )


def plot_sweeps(sweeps: Mapping[str, Sequence[Mapping[str, Any]]], title: str) -> bytes:
    """Return Fig. 8 as SVG, equal bytes for equal figures: a panel for each weight that was swept.

    Each row has `value`, the weight, and {value, ci95} under med_class, id_dis and psnr. The left panel shows what
    the medical loss buys and costs, the right one the same for the reversible loss, with PSNR for Med-Class.
    """
    with matplotlib.rc_context({"svg.hashsalt": "mema", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        figure.suptitle(title)
        shown = {"lambda_med": "med_class", "lambda_rev": "psnr"}
        for index, (weight, gain) in enumerate(shown.items()):
            left = figure.add_subplot(1, 2, index + 1)
            right = left.twinx()
            rows = list(sweeps.get(weight, ()))
            for axes, metric in ((left, gain), (right, "id_dis")):
                _curve(axes, rows, metric)
            left.set_xticks(range(len(rows)), [f"{row['value']:g}" for row in rows])
            left.set_xlabel(weight)
        image = io.BytesIO()
        figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None})
    return image.getvalue()


def _curve(axes: Any, rows: Sequence[Mapping[str, Any]], metric: str) -> None:
    """Draw one metric with its intervals at evenly spaced places."""
    colour = COLOURS[metric]
    points = [(i, row[metric]) for i, row in enumerate(rows) if row[metric]["value"] is not None]
    for place, found in points:
        low, high = found["ci95"]
        if low is not None:
            axes.plot([place, place], [low, high], color=colour, linewidth=4, alpha=0.25)
    axes.plot([place for place, _ in points], [found["value"] for _, found in points], "o-", color=colour)
    axes.set_ylabel(LABELS[metric], color=colour)
