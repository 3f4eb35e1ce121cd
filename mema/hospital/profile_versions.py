"""Which profiles a hospital has made, and what they cost together: a list in its own zone, beside the key.

A patient in m versions is protected by the sum of their epsilons (sequential composition). The list knows versions by
keyed digests alone.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

NAME = "profile_versions.jsonl"
SLACK = 1e-9  # ten times 0.1 is a little less than 1


def record(folder: Path, version: str, epsilon: float, budget: float) -> float:
    """Note a version before it is written, and return what all cost; one that is noted already costs nothing more.

    Raises ValueError where the sum would exceed `budget`, and then notes nothing.
    """
    with _locked(folder / NAME) as file:
        known = _read(file)
        if version in known:
            return sum(known.values())
        total = sum(known.values()) + epsilon
        if total > budget + SLACK:
            raise ValueError(
                f"profile_cohort.max_epsilon: {budget:g}, but the {len(known)} versions made from this hospital's "
                f"patients cost {total - epsilon:g} and this one {epsilon:g} more; go on with the last version "
                "(git checkout data/profile/cohort.json; dvc commit profile_cohort), or raise max_epsilon, which "
                "protects each patient less"
            )
        file.write(json.dumps({"version": version, "epsilon": epsilon}) + "\n")
        file.flush()
        os.fsync(file.fileno())
        return total


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    """Open the list for reading and appending, its owner's alone; one process at a time."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _read(file: IO[str]) -> dict[str, float]:
    """Return epsilon by version; a last line that a killed process left unfinished is cut off.

    Its version was not written: that happens after its line is whole.
    """
    text = file.read()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.seek(0)
        file.truncate(len(whole.encode()))
    try:
        found = {row["version"]: float(row["epsilon"]) for row in map(json.loads, whole.splitlines())}
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{file.name}: a line is no JSON with version and epsilon, so nobody knows what was published; bring "
            "back its last good version from the backup"
        ) from None
    file.seek(0, os.SEEK_END)
    return found
