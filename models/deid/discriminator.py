"""A multi-scale patch discriminator with a gradient penalty."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class PatchDiscriminator(nn.Module):
    """Patches of RGB images in [-1, 1] to logits, at full and at half resolution (Wang et al. 2018).

    Patches rather than whole faces: MeMa's few images would otherwise be learnt by heart. `slope_penalty`
    keeps it smooth and `Augmentation` shows it no image twice. Spectral normalisation was tried and left: its
    logits stayed within 0.1 of one another, the hinge loss at chance for hundreds of steps.
    """

    def __init__(self, width: int = 32, depth: int = 3, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patches(width, depth) for _ in range(scales))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 1 h w"]]:
        logits = []
        for network in self.scales:
            logits.append(network(images))
            images = F.avg_pool2d(images, 2)
        return logits


def slope_penalty(network: PatchDiscriminator, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
    """Return R1 (Mescheder et al. 2018): the mean squared gradient of the logits on real images."""
    images = images.detach().requires_grad_()
    total = torch.stack([logits.mean((1, 2, 3)).sum() for logits in network(images)]).sum()
    (slope,) = torch.autograd.grad(total, images, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean()


def _patches(width: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for level in range(1, depth):
        before, after = width * 2 ** (level - 1), width * 2**level
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight, 0.2)  # type: ignore[union-attr,arg-type]
    return nn.Sequential(*layers, nn.Conv2d(width * 2 ** (depth - 1), 1, 3, padding=1))
