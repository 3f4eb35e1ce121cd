"""Who a phantom is: named continuous traits, age and gender."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.diseases import GENDERS


class Traits(NamedTuple):
    """The identity vector by name; every trait lies in [-1, 1] and changes the picture."""

    face_width: float
    jaw_width: float
    chin_length: float
    chin_width: float
    temple_width: float
    cheekbones: float
    cheek_fullness: float
    skin_tone: float
    skin_undertone: float
    skin_redness: float
    eye_size: float
    eye_opening: float
    eye_spacing: float
    eye_tilt: float
    eye_depth: float
    iris_hue: float
    iris_lightness: float
    lid_crease: float
    brow_thickness: float
    brow_arch: float
    brow_height: float
    brow_length: float
    brow_darkness: float
    nose_length: float
    nose_width: float
    nose_bridge: float
    nose_tip: float
    nostrils: float
    mouth_width: float
    mouth_height: float
    mouth_corners: float
    upper_lip: float
    lower_lip: float
    lip_colour: float
    hair_lightness: float
    hair_redness: float
    hair_part: float
    hair_fringe: float
    hairline: float
    hair_volume: float
    hair_length: float
    ear_size: float
    mole_x: float
    mole_y: float
    mole_size: float
    second_mole_x: float
    second_mole_y: float
    freckles: float
    beard: float


IDENTITY_NAMES: tuple[str, ...] = Traits._fields


@dataclass(frozen=True, eq=False)
class Phantom:
    """A person who does not exist; `seed` fixes what no trait names, such as the place of each freckle."""

    identity: np.ndarray  # float32 [len(IDENTITY_NAMES)], in [-1, 1]
    age: float  # years, 0 to 100
    gender: str
    seed: int

    def __post_init__(self) -> None:
        if self.identity.shape != (len(IDENTITY_NAMES),) or np.abs(self.identity).max() > 1:
            raise ValueError(f"identity: {self.identity.shape}; wanted {len(IDENTITY_NAMES)} values in [-1, 1]")
        if not 0 <= self.age <= 100:
            raise ValueError(f"age: {self.age} lies outside 0 to 100 years")
        if self.gender not in GENDERS:
            raise ValueError(f"gender: {self.gender!r} is not one of {', '.join(GENDERS)}")

    @property
    def traits(self) -> Traits:
        """The identity vector by name."""
        return Traits(*self.identity.tolist())

    @property
    def male(self) -> bool:
        """Whether the male cues are drawn."""
        return self.gender == "male"

    @property
    def childhood(self) -> float:
        """1 at birth, 0 from the age of 18: how far the proportions are a child's."""
        return float(np.clip((18 - self.age) / 18, 0, 1))

    def ageing(self, start: float = 20, end: float = 95) -> float:
        """How far a sign of ageing that runs from `start` to `end` years has come, 0 to 1."""
        return float(np.clip((self.age - start) / (end - start), 0, 1))


def sample_phantom(rng: np.random.Generator, age: float | None = None, gender: str | None = None) -> Phantom:
    """Draw a person; age is uniform over 0 to 95 years and gender even where they are not given."""
    identity = rng.uniform(-1, 1, len(IDENTITY_NAMES)).astype(np.float32)
    drawn_age, drawn_gender = float(rng.uniform(0, 95)), str(rng.choice(GENDERS))
    return Phantom(
        identity=identity,
        age=drawn_age if age is None else float(age),
        gender=drawn_gender if gender is None else gender,
        seed=int(rng.integers(2**31)),
    )
