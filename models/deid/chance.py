"""All that a training step leaves to chance, drawn for a whole batch and taken by any rows: a row's luck is its own.

What is drawn lies on the CPU; the images that it changes, differentiably, may be anywhere.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Images = Float[Tensor, "b 3 h w"]


@dataclass(frozen=True)
class Augmentation:
    """Images mirrored, moved by up to an eighth and lit at random (Zhao et al. 2020), for the discriminator."""

    mirrored: Bool[Tensor, "b 1 1 1"]
    light: Float[Tensor, "b 1 1 1"]
    shift_px: tuple[int, int]  # down and right, the same for the whole batch

    def take(self, rows: Tensor) -> "Augmentation":
        """Return what was drawn for these rows."""
        return Augmentation(self.mirrored[rows], self.light[rows], self.shift_px)

    def __call__(self, images: Images) -> Images:
        """Return the images changed."""
        mirrored, light = self.mirrored.to(images.device), self.light.to(images.device)
        images = torch.where(mirrored, images.flip(3), images) + 0.2 * light
        return images.roll(self.shift_px, (2, 3))


def draw_augmentation(num: int, size_px: int, generator: torch.Generator) -> Augmentation:
    """Draw the changes of `num` images."""
    mirrored = _uniform(num, 1, 1, 1, generator=generator) < 0
    light = _uniform(num, 1, 1, 1, generator=generator)
    reach = size_px // 8
    down, right = (int(torch.randint(-reach, reach + 1, (), generator=generator)) for _ in range(2))
    return Augmentation(mirrored, light, (down, right))


@dataclass(frozen=True)
class Jitter:
    """Images moved, tinted in patches, softened and made noisy at random.

    What phi says is the mean over such changes: tints and patterns of pixels, with which a generator fools one
    network and no other, lose their use, and the face itself has to change.
    """

    strength: float
    moved: Float[Tensor, "b 2"]
    tint: Float[Tensor, "b 3 c c"]
    light: Float[Tensor, "b 1 1 1"]
    softness: Float[Tensor, "b 1 1 1"]
    noise: Float[Tensor, "b 3 h w"]

    def take(self, rows: Tensor) -> "Jitter":
        """Return what was drawn for these rows."""
        drawn = (self.moved, self.tint, self.light, self.softness, self.noise)
        return Jitter(self.strength, *(part[rows] for part in drawn))

    def __call__(self, images: Images) -> Images:
        """Return the images changed."""
        num, device, strength = len(images), images.device, self.strength
        moved = torch.zeros(num, 2, 3, device=device)
        moved[:, 0, 0] = moved[:, 1, 1] = 1
        moved[:, :, 2] = 0.2 * strength * self.moved.to(device)
        grid = F.affine_grid(moved, list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        tint = F.interpolate(self.tint.to(device), images.shape[-2:], mode="bicubic")
        images = images * (1 + strength * self.light.to(device)) + strength * tint
        soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
        images = images.lerp(soft, self.softness.to(device))
        return images + 0.2 * strength * self.noise.to(device)


def draw_jitter(num: int, size_px: int, strength: float, generator: torch.Generator) -> Jitter | None:
    """Draw the changes of `num` images; none at strength 0."""
    if not strength:
        return None
    moved = _uniform(num, 2, generator=generator)
    cells = int(torch.randint(2, 13, (), generator=generator))
    return Jitter(
        strength,
        moved,
        tint=_uniform(num, 3, cells, cells, generator=generator),
        light=_uniform(num, 1, 1, 1, generator=generator),
        softness=torch.rand(num, 1, 1, 1, generator=generator),
        noise=torch.randn(num, 3, size_px, size_px, generator=generator),
    )


@dataclass(frozen=True)
class Chance:
    """Which originals, which passwords, and how each image is changed before a network sees it.

    The last three are of X_enc, X_hat and X_wrong, one above the other.
    """

    rows: Int[Tensor, " b"]
    right: Float[Tensor, "b d"]
    wrong: Float[Tensor, "b d"]
    real: Augmentation
    fake: Augmentation  # 3b, as the discriminator learns from them
    phi_sees: Jitter | None  # 3b
    judged: Augmentation  # 3b, as the discriminator judges them

    def take(self, part: slice) -> "Chance":
        """Return what falls to some rows of the batch."""
        one = torch.arange(len(self.rows))[part]
        three = torch.cat([one + place * len(self.rows) for place in range(3)])
        return Chance(
            self.rows[part],
            self.right[part],
            self.wrong[part],
            self.real.take(one),
            self.fake.take(three),
            self.phi_sees.take(three) if self.phi_sees else None,
            self.judged.take(three),
        )


def draw_chance(
    num_originals: int, batch_size: int, size_px: int, password_dim: int, jitter: float, generator: torch.Generator
) -> Chance:
    """Draw one step's batch of originals, with a right and a wrong password for each."""
    rows = torch.randint(num_originals, (batch_size,), generator=generator)
    right, wrong = torch.randn(2, batch_size, password_dim, generator=generator)
    return Chance(
        rows,
        right,
        wrong,
        real=draw_augmentation(batch_size, size_px, generator),
        fake=draw_augmentation(3 * batch_size, size_px, generator),
        phi_sees=draw_jitter(3 * batch_size, size_px, jitter, generator),
        judged=draw_augmentation(3 * batch_size, size_px, generator),
    )


def _uniform(*shape: int, generator: torch.Generator) -> Tensor:
    """Draw from [-1, 1)."""
    return 2 * torch.rand(*shape, generator=generator) - 1
