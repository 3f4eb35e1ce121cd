"""One small network for age and gender, and the two graphs that DeepFace loads from it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.identity.network import trunk

NUM_AGES = 101
GENDERS_DEEPFACE = ("Woman", "Man")


class AttributeNet(nn.Module):
    """A face of 112 px in [-1, 1], RGB, to logits of the 101 ages and of DeepFace's two genders."""

    def __init__(
        self, widths: tuple[int, int, int, int] = (16, 32, 64, 96), depths: tuple[int, int, int] = (1, 1, 1)
    ) -> None:
        super().__init__()
        self.trunk = trunk(widths, depths)
        self.pool = nn.Sequential(
            nn.Conv2d(widths[-1], widths[-1], 7, groups=widths[-1], bias=False),
            nn.BatchNorm2d(widths[-1]),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.age = nn.Linear(widths[-1], NUM_AGES)
        self.gender = nn.Linear(widths[-1], len(GENDERS_DEEPFACE))

    def forward(self, images: Float[Tensor, "b 3 112 112"]) -> tuple[Float[Tensor, "b 101"], Float[Tensor, "b 2"]]:
        features = self.pool(self.trunk(images))
        return self.age(features), self.gender(features)


def expected_age(logits: Float[Tensor, "b 101"]) -> Float[Tensor, " b"]:
    """Return the mean of the predicted distribution of ages, in years (Rothe et al. 2015, DEX)."""
    return F.softmax(logits, dim=1) @ torch.arange(NUM_AGES, dtype=logits.dtype)


class DeepFaceGraph(nn.Module):
    """One head in DeepFace's layout: [n, 224, 224, 3], BGR in 0..1, to probabilities."""

    def __init__(self, network: AttributeNet, head: str) -> None:
        super().__init__()
        self.trunk, self.pool, self.head = network.trunk, network.pool, getattr(network, head)

    def forward(self, images: Float[Tensor, "b 224 224 3"]) -> Float[Tensor, "b k"]:
        bgr = F.avg_pool2d(images.permute(0, 3, 1, 2), 2)
        rgb = bgr[:, [2, 1, 0]]
        return F.softmax(self.head(self.pool(self.trunk(2 * rgb - 1))), dim=1)
