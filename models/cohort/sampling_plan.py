"""The sampling plan (Step 2): one row per image to make, from the cohort's profile and the public donors.

Four arms. `injected` is the product, the others are read beside it: `direct` repeats injected rows without
their donors (Table 1's control), `random` follows neither the profile nor the donors' attributes (Table 2's
control), `strip` repeats a few injected rows at growing injection weights.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np

from models.cohort.quotas import Cell
from models.diseases import DISEASES, SEVERITIES, prompt

ARMS = ("injected", "direct", "random", "strip")
STRIP_WEIGHTS = (0.0, 0.2, 0.4, 1.0)
SEEDS = 2**53  # whole numbers below it survive JSON
TOLERANCE = 1e-9  # 100 * 1.1 is a little more than 110
Row = dict[str, Any]  # a row of tasks.schemas.PLAN


class Donor(NamedTuple):
    """A public face that may be injected."""

    image_id: str
    age_bin: str
    gender: str


class Group(NamedTuple):
    """What a row and its donor have in common."""

    age_bin: str
    gender: str


class Donated(NamedTuple):
    """Which donor each row got, and how many rows of a group were served by another age bin's donors."""

    donor_ids: list[str]
    borrowed: Counter[tuple[Group, str]]


def injected_rows(
    quotas: Mapping[Cell, int],
    donors: Sequence[Donor],
    age_bins: Sequence[str],
    *,
    over_generation: float,
    injection_weight: tuple[float, float],
    max_donor_uses: int,
    seed: int,
) -> tuple[list[Row], Counter[tuple[Group, str]]]:
    """Return the product's rows, `over_generation` times each quota rounded up, and what was borrowed.

    `age_bins` are in their order. Raises ValueError where the donors do not suffice.
    """
    rng = _rng(seed, "injected")
    cells = [cell for cell, quota in quotas.items() for _ in range(math.ceil(quota * over_generation - TOLERANCE))]
    severities = _severities([disease for disease, _, _ in cells], rng)
    groups = [Group(age_bin, gender) for _, age_bin, gender in cells]
    given = give_donors(groups, donors, age_bins, max_donor_uses, rng)
    weights, seeds = rng.uniform(*injection_weight, len(cells)), rng.integers(SEEDS, size=len(cells))
    rows = [
        _row("injected", *each)
        for each in zip(cells, severities, given.donor_ids, weights.tolist(), seeds.tolist(), strict=True)
    ]
    return rows, given.borrowed


def give_donors(
    groups: Sequence[Group], donors: Sequence[Donor], age_bins: Sequence[str], max_uses: int, rng: np.random.Generator
) -> Donated:
    """Give each row a donor of its group in turn, so that no donor of a pool is used twice more than another.

    A group without donors borrows those of the nearest age bin of its gender. `max_uses` 0 sets no limit.
    """
    pools: dict[Group, list[str]] = {}
    for donor in donors:
        pools.setdefault(Group(donor.age_bin, donor.gender), []).append(donor.image_id)
    lender = {group: _lender(group, pools, age_bins) for group in sorted(set(groups))}
    _check_uses(Counter(lender[group] for group in groups), pools, max_uses)
    turns = {group: cycle(rng.permutation(sorted(pool)).tolist()) for group, pool in sorted(pools.items())}
    borrowed = Counter((group, lender[group].age_bin) for group in groups if lender[group].age_bin != group.age_bin)
    return Donated([next(turns[lender[group]]) for group in groups], borrowed)


def _lender(group: Group, pools: Mapping[Group, Sequence[str]], age_bins: Sequence[str]) -> Group:
    """Return the nearest group with donors, the younger of two at equal distance."""
    place = age_bins.index(group.age_bin)
    having = [index for index, name in enumerate(age_bins) if Group(name, group.gender) in pools]
    if not having:
        raise ValueError(
            f"donors: 0 of gender {group.gender}, which the profile asks for; at least 1 is needed: add "
            "public photos of that gender, or lower ingest_public.calibration_share and floor_share"
        )
    nearest = min(having, key=lambda index: (abs(index - place), index))
    return Group(age_bins[nearest], group.gender)


def _check_uses(uses: Mapping[Group, int], pools: Mapping[Group, Sequence[str]], max_uses: int) -> None:
    """Refuse a limit that the scarcest donors exceed, and name the limit that would suffice for all."""
    needed = {group: math.ceil(number / len(pools[group])) for group, number in sorted(uses.items())}
    scarce = max(needed, key=lambda group: needed[group])
    if max_uses and needed[scarce] > max_uses:
        donors = len(pools[scarce])
        raise ValueError(
            f"plan_sampling.max_donor_uses: {max_uses} allows {donors * max_uses} images from the {donors} "
            f"donors of {scarce.age_bin} years, {scarce.gender}, {uses[scarce]} are planned; raise it to "
            f"{needed[scarce]}, set 0 for no limit, or add public photos of that age and gender"
        )


def direct_rows(injected: Sequence[Row], num_direct: int, seed: int) -> list[Row]:
    """Return copies of injected rows at even distances, in all the same but without a donor."""
    if num_direct > len(injected):
        raise ValueError(
            f"plan_sampling.num_direct: {num_direct} is more than the {len(injected)} injected rows that it "
            "may copy; lower it or raise plan_sampling.num_images"
        )
    start = _rng(seed, "direct").uniform()
    places = (np.arange(num_direct) + start) * len(injected) / max(num_direct, 1)
    return [_copy(injected, place, "direct", 0.0) for place in places.astype(int).tolist()]


def random_rows(
    donors: Sequence[Donor], num_random: int, injection_weight: tuple[float, float], seed: int
) -> list[Row]:
    """Return rows of any disease and any donor; the age bin and the gender are the donor's."""
    rng = _rng(seed, "random")
    diseases = rng.choice(DISEASES, num_random).tolist()
    severities = _severities(diseases, rng)
    chosen = [donors[index] for index in rng.integers(len(donors), size=num_random)]
    weights, seeds = rng.uniform(*injection_weight, num_random), rng.integers(SEEDS, size=num_random)
    cells = [(disease, d.age_bin, d.gender) for disease, d in zip(diseases, chosen, strict=True)]
    donor_ids = [donor.image_id for donor in chosen]
    columns = zip(cells, severities, donor_ids, weights.tolist(), seeds.tolist(), strict=True)
    return [_row("random", *each) for each in columns]


def strip_rows(injected: Sequence[Row], num_strips: int, seed: int) -> list[Row]:
    """Return copies of a few injected rows at each of STRIP_WEIGHTS: other diseases, heavy ones first."""
    order = _rng(seed, "strip").permutation(len(injected)).tolist()
    order.sort(key=lambda place: injected[place]["severity"] != SEVERITIES[-1])
    seen: Counter[str] = Counter()
    turns = []
    for place in order:
        disease = injected[place]["disease"]
        turns.append((seen[disease], disease == "normal", len(turns), place))
        seen[disease] += 1
    chosen = [place for *_, place in sorted(turns)[:num_strips]]
    return [_copy(injected, place, "strip", weight) for place in chosen for weight in STRIP_WEIGHTS]


def numbered(injected: Sequence[Row], *others: Sequence[Row]) -> list[Row]:
    """Join the arms and number the rows; a row that copies none is its own source."""
    rows = [row for arm in (injected, *others) for row in arm]
    seeds = [row["seed"] for row in rows if "source_row" not in row]
    assert len(set(seeds)) == len(seeds), "two rows drew one seed"
    return [{"source_row": number} | row | {"plan_row": number} for number, row in enumerate(rows)]


def total_variation(quotas: Mapping[Cell, int], joint: Mapping[Cell, float], axes: Sequence[int]) -> float:
    """Return the total variation of quotas and profile on the given axes of a cell."""
    difference: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for table, sign in ((quotas, 1), (joint, -1)):
        total = sum(table.values())
        for cell, value in table.items():
            difference[tuple(cell[axis] for axis in axes)] += sign * value / total
    return sum(map(abs, difference.values())) / 2


def _rng(seed: int, arm: str) -> np.random.Generator:
    """Each arm has its own numbers, so that more of one does not change another."""
    return np.random.default_rng([seed, ARMS.index(arm) + 1])


def _severities(diseases: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return each row's severity: within a disease as many of one as of another, "" for normal."""
    result = np.full(len(diseases), "", dtype=object)
    names = np.array(diseases, dtype=object)
    for disease in DISEASES:
        places = rng.permutation(np.flatnonzero(names == disease))
        if disease != "normal":
            result[places] = [SEVERITIES[i % len(SEVERITIES)] for i in range(len(places))]
    return result.tolist()


def _row(arm: str, cell: Cell, severity: str, donor_id: str, weight: float, seed: int) -> Row:
    disease, age_bin, gender = cell
    return {
        "arm": arm, "disease": disease, "severity": severity, "age_bin": age_bin, "gender": gender,
        "donor_id": donor_id, "injection_weight": weight, "seed": seed, "prompt": prompt(disease, severity),
    }  # fmt: skip


def _copy(injected: Sequence[Row], place: int, arm: str, weight: float) -> Row:
    """Return an injected row at another weight, without a donor at 0; injected rows come first in a plan."""
    donor_id = injected[place]["donor_id"] if weight else ""
    own = {"arm": arm, "injection_weight": weight, "donor_id": donor_id, "source_row": place}
    return injected[place] | own
