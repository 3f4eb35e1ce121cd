"""The matrix of Table 9, and a plot that shows what it is given."""

import re
from dataclasses import replace

from models.deid.ablation import Arm, matrix, plot_sweeps, table9

FULL = Arm("mema", True, 5.0, 0.1, "diffusion")


def test_the_models_are_those_of_table_9():
    found = {name: (arm.dataset, arm.f_med, arm.l_med) for name, arm in table9(FULL).items()}
    assert found == {
        "M1": ("public", False, False),
        "M2": ("mema", False, False),
        "M3": ("mema", True, False),
        "M4": ("mema", False, True),
        "full": ("mema", True, True),
    }
    assert {arm.lambda_rev for arm in table9(FULL).values()} == {0.1}


def test_an_arm_in_two_places_is_trained_once_and_names_tell_arms_apart():
    plan = matrix(
        FULL, models=["M2", "M3", "full"], encoders=["vit", "diffusion"], lambda_med=[10, 5.0, 0], lambda_rev=[0.1, 1]
    )
    assert plan.models["full"] == plan.encoders["diffusion"] == plan.lambda_med[5.0] == plan.lambda_rev[0.1] == FULL
    assert plan.lambda_med[0] == plan.models["M3"]
    assert list(plan.lambda_med) == [0, 5.0, 10]
    arms = plan.arms()
    assert arms[:3] == list(plan.models.values())
    assert arms[-1] == replace(FULL, encoder="vit")
    assert len(arms) == len({arm.name for arm in arms}) == 6


def test_a_user_may_choose_fewer():
    plan = matrix(FULL, models=["M4"], encoders=[], lambda_med=[], lambda_rev=[])
    assert plan.arms() == [table9(FULL)["M4"]]


def row(value: float, med_class: float, id_dis: float, psnr: float) -> dict:
    figures = {"med_class": med_class, "id_dis": id_dis, "psnr": psnr}
    return {"value": value} | {
        name: {"value": found, "n": 9, "ci95": [found - 0.1, found + 0.1]} for name, found in figures.items()
    }


def test_the_plot_is_repeatable_and_moves_with_the_figures():
    sweeps = {"lambda_med": [row(0.1, 0.4, 1.3, 20), row(5, 0.8, 1.2, 21)], "lambda_rev": [row(0.01, 0.5, 1.3, 9)]}
    svg = plot_sweeps(sweeps, "Fig. 8 on phantom data")
    assert svg == plot_sweeps(sweeps, "Fig. 8 on phantom data")
    text = svg.decode()
    for label in ("Fig. 8 on phantom data", "lambda_med", "lambda_rev", "Med-Class", "ID-Dis", "PSNR of X_hat"):
        assert label in text
    for tick in ("0.1", "5", "0.01"):
        assert re.search(rf">{re.escape(tick)}</text>", text), tick
    other = {"lambda_med": [row(0.1, 0.4, 1.3, 20), row(5, 0.9, 1.2, 21)], "lambda_rev": sweeps["lambda_rev"]}
    assert plot_sweeps(other, "Fig. 8 on phantom data") != svg


def test_figures_that_are_missing_leave_a_gap():
    whole = [row(1, 0.5, 1.3, 9), row(2, 0.5, 1.3, 9)]
    gap = [whole[0] | {"med_class": {"value": None, "n": 0, "ci95": [None, None], "reason": "no image"}}, whole[1]]
    points = [plot_sweeps({"lambda_med": rows, "lambda_rev": []}, "t").count(b"<use xlink") for rows in (whole, gap)]
    assert points[0] - points[1] == 1  # the point that has no figure, and no other
