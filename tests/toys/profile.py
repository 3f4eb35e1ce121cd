"""A profile whose noise rounds to nothing, for tests that compute by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.cohort.cohort_profile import Mechanism, cells_of, cohort_profile


def exact_profile(
    diseases: Sequence[str], ages: np.ndarray, genders: Sequence[str], edges: tuple[int, ...]
) -> dict[str, Any]:
    """Return the profile of as many patients, each with one photo."""
    mechanism = Mechanism(epsilon=1e4, joint_share=0.5, min_cell=1, age_edges=edges)
    return cohort_profile(cells_of(diseases, ages, genders, edges), mechanism, bytes(32))
