"""Figures as people read them."""

from collections.abc import Sequence
from typing import Any

from models.diseases import DISEASE_NAMES

NOTHING = "-"


def count(number: float | None) -> str:
    """Return 42,307, or a dash."""
    return NOTHING if number is None else f"{number:,}"


def percent(share: float | None) -> str:
    """Return a share as percent with one decimal, or a dash."""
    return NOTHING if share is None else f"{100 * share:.1f}\u00a0%"


def percent_interval(bounds: Sequence[float | None] | None) -> str:
    """Return '2.1 to 8.0 %', or nothing."""
    if not bounds or any(bound is None for bound in bounds):
        return ""
    low, high = (100 * bound for bound in bounds if bound is not None)
    return f"{low:.1f} to {high:.1f}\u00a0%"


def decimal_interval(bounds: Sequence[float | None] | None) -> str:
    """Return '0.012 to 0.034', or nothing."""
    if not bounds or any(bound is None for bound in bounds):
        return ""
    low, high = (bound for bound in bounds if bound is not None)
    return f"{low:.3f} to {high:.3f}"


def value_of(measured: float | dict[str, Any] | None) -> float | None:
    """Return a number that may come alone or as {value, ...}."""
    return measured.get("value") if isinstance(measured, dict) else measured


def decimal(number: float | None) -> str:
    """Return three decimals, or a dash."""
    return NOTHING if number is None else f"{number:.3f}"


def plural(number: int, noun: str) -> str:
    """Return '1 face', '1,200 faces'."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def planned(disease: str, planned_disease: str) -> str | None:
    """Return 'planned: ptosis' where readers named another disease than was asked for, else nothing."""
    return None if disease == planned_disease else f"planned: {DISEASE_NAMES[planned_disease]}"
