"""A profile's values as tests change them."""

from pathlib import Path
from typing import Any

import yaml

from mema.params import Params, profiles

FOLDER = Path(__file__).parents[2] / "profiles"


def profile_values(name: str = "phantom") -> dict[str, Any]:
    """Return a profile as plain values."""
    return yaml.safe_load(profiles.text(name, FOLDER))


def profile(name: str) -> Params:
    """Return a profile, checked."""
    return profiles.load_profile(name, FOLDER)
