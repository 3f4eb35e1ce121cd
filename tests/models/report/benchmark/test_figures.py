"""The plots of the benchmark from constructed figures: where points, names, curves and the paper's marks stand."""

import copy
import re
from math import log10
from typing import Any

import pytest

from models.report.benchmark import paper
from models.report.benchmark.figures import Point, _names, _overlap, measured_points, trade_off
from models.report.benchmark.sweeps import sweeps
from tests.worlds.benchmark_page import METHODS, estimate, measured, metrics


def test_the_trade_off_has_a_point_a_method_and_the_papers_hollow() -> None:
    found = trade_off(measured())
    titles = re.findall(r"<title>(.*?)</title>", found)
    assert "MedSem-DeID: Med-Class 72.0\u00a0%, ID-Dis 1.270" in titles  # by SphereFace, as the tables say
    assert len(titles) == len(METHODS) + len(paper.MEDICAL)
    assert len(re.findall(r"<circle", found)) == len(METHODS)
    assert len(re.findall(r"<path", found)) == len(paper.MEDICAL) == sum("(paper)" in title for title in titles)
    assert found.count('stroke-opacity="0.4"') == 2 * len(METHODS)
    assert "the paper&#x27;s MedSem-DeID" in found


def test_the_trade_off_leaves_out_what_was_not_measured() -> None:
    found = copy.deepcopy(metrics()["medical"])
    next(row for row in found["rows"] if row["method"] == "blur")["all"] = estimate(None, reason="no judge")
    names = [point.name for point in measured_points(measured(medical=found), "sphereface")]
    assert "Gaussian blur" not in names
    assert len(names) == len(METHODS) - 1
    assert "circle" not in trade_off(measured(identity={"rows": []}))


def test_names_in_the_trade_off_do_not_cover_one_another() -> None:
    crowd = [Point(f"method {k}", 1.2 + 0.01 * k, 0.5 + 0.001 * k, paper=k % 2 > 0) for k in range(5)]
    names = _names(crowd, lambda value: 700 * value, lambda value: 470 - 400 * value)
    boxes = []
    for name in names:
        across, up = (float(re.findall(rf' {axis}="([^"]+)"', name)[0]) for axis in "xy")
        boxes.append((across, up - 10, across + 7 * len("method 0"), up + 2))
    assert len(boxes) == 5
    for index, box in enumerate(boxes):
        assert all(_overlap(box, other) == 0 for other in boxes[:index])


def figures_of(html: str) -> dict[str, list[tuple[float, float]]]:
    """Return the dots of each plot of Fig. 8 by its label."""
    plots = re.findall(r'<svg[^>]*aria-label="([^:"]+):[^"]*"[^>]*>(.*?)</svg>', html, re.DOTALL)
    dots = re.compile(r'<circle cx="([^"]+)" cy="([^"]+)"')
    return {label: [(float(x), float(y)) for x, y in dots.findall(body)] for label, body in plots}


def test_fig_8_has_both_weights_on_a_logarithmic_axis() -> None:
    html = sweeps(measured())
    plots = figures_of(html)
    assert [name for name in plots if "psnr" not in name.lower()] == [
        "Med-Class over lambda_med", "ID-Dis over lambda_med",
        "Med-Class over lambda_rev", "ID-Dis over lambda_rev",
    ]  # fmt: skip
    (a, up), (b, _), (c, _), (d, down) = plots["Med-Class over lambda_med"]  # 0.1, 1, 5, 10: sorted
    assert b - a == pytest.approx(d - b, abs=0.2)
    assert (c - b) / (d - b) == pytest.approx(log10(5), abs=0.01)
    assert up > down  # 50 % lies below 80 %
    assert html.count("<path") == 6  # the paper's setting, once a plot


def test_fig_8_takes_a_weight_of_zero_and_a_missing_sweep() -> None:
    found: dict[str, Any] = copy.deepcopy(metrics()["ablation"])
    found["sweeps"]["lambda_med"][0]["value"] = 0
    del found["sweeps"]["lambda_rev"]
    made = sweeps(measured(ablation=found))
    assert "Not swept: λ_rev" in made
    xs = [x for x, _ in figures_of(made)["Med-Class over lambda_med"]]
    assert xs == sorted(xs)
    assert xs[1] - xs[0] == pytest.approx(xs[3] - xs[1], abs=0.2)  # 0 stands where 0.1 would
    found["sweeps"] = {}
    assert "<svg" not in sweeps(measured(ablation=found))
