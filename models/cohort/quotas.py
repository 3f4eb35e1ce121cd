"""Exact quotas: shares to whole numbers, and the images of each cell that fill them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

Cell = tuple[str, str, str]  # disease, age bin, gender
DECIMALS = 9  # shares come from rounded JSON: 0.1 + 0.2 and 0.3 must tie


def largest_remainder(shares: Float[np.ndarray, " n"], total: int) -> Int[np.ndarray, " n"]:
    """Split `total` in proportion to `shares` (Hamilton's method): each gets its floor or one more.

    Shares need not sum to one; equal remainders go to the first index.
    """
    shares = np.asarray(shares, np.float64)
    if total < 0:
        raise ValueError(f"largest_remainder: total {total} must be at least 0")
    if shares.size == 0 or not np.isfinite(shares).all() or (shares < 0).any() or not shares.sum() > 0:
        raise ValueError("largest_remainder: shares must be finite, at least 0 and not all 0")
    exact = np.round(shares / shares.sum() * total, DECIMALS)
    counts = np.floor(exact).astype(np.int64)
    rest = total - int(counts.sum())
    counts[np.argsort(-np.round(exact - counts, DECIMALS), kind="stable")[:rest]] += 1
    return counts


def cell_quotas(joint: Sequence[Mapping[str, Any]], total: int) -> dict[Cell, int]:
    """Return how many of `total` images each cell of the published profile's joint gets; 0 is left out."""
    counts = largest_remainder(np.array([cell["p"] for cell in joint], np.float64), total)
    cells = [(cell["disease"], cell["age_bin"], cell["gender"]) for cell in joint]
    return {cell: int(count) for cell, count in zip(cells, counts, strict=True) if count}


def fill_quotas(
    quotas: Mapping[Cell, int], cells: Sequence[Cell], order: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " k"]:
    """Return the indices of the images chosen, sorted by `order`: the first of each cell until it is full."""
    left, chosen = dict(quotas), []
    for index in np.argsort(order, kind="stable").tolist():
        if left.get(cells[index], 0) > 0:
            left[cells[index]] -= 1
            chosen.append(index)
    return np.array(chosen, np.int64)


def shortfall(quotas: Mapping[Cell, int], chosen: Sequence[Cell]) -> dict[str, Any]:
    """Return {cells, total, share}: the cells that are short, worst first, and how many images miss in all.

    A cell that is short has every survivor chosen, so `available` is what the screen left of it.
    """
    available = Counter(chosen)
    short = [
        {
            "disease": cell[0], "age_bin": cell[1], "gender": cell[2],
            "wanted": wanted, "available": available[cell], "missing": wanted - available[cell],
        }
        for cell, wanted in quotas.items()
        if available[cell] < wanted
    ]  # fmt: skip
    total = sum(cell["missing"] for cell in short)
    wanted = sum(quotas.values())
    return {
        "cells": sorted(short, key=lambda cell: -cell["missing"]),
        "total": total,
        "share": round(total / wanted, 6) if wanted else 0.0,
    }


def filling_factor(short: Sequence[Mapping[str, Any]], factor: float) -> float | None:
    """Return the over-generation that would have filled the short cells, at the survival seen with `factor`.

    None where a cell has no survivor at all: there is no rate to reckon with.
    """
    if any(cell["available"] == 0 for cell in short):
        return None
    needed = max((factor * cell["wanted"] / cell["available"] for cell in short), default=factor)
    return math.ceil(round(needed * 100, DECIMALS)) / 100
