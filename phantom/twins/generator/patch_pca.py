"""A codec's encoder in closed form: principal components of 8 x 8 patches, laid into an AutoencoderKL.

Trained end to end at this size and time, the encoder washes colours and lesions out; the components keep them
from the first step on. Strided convolutions gather 2 x 2 cells, residual branches start at zero, and the last
normalisation and SiLU, kept in their linear range by constant channels, pass the components through.
"""

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import Decoder
from diffusers.models.resnet import ResnetBlock2D
from jaxtyping import Float
from torch import Tensor, nn

FACTOR = 8
QUARTER = 4
CONSTANT = 30.0  # of the channels that fix the normalisation's mean and spread
OFFSET = 14.0  # SiLU(x) = x to three digits from half of it on
WHITENING = 0.5  # a component of spread s becomes a latent of spread s ** (1 - WHITENING), then all are scaled
LOG_VARIANCE = -6.0
ANCHOR = 4.0


def cells(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 4*c h/2 w/2"]:
    """Return every 2 x 2 cell as one pixel, channels in the order (row, column, channel)."""
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def principal_components(
    x: Float[Tensor, "n c h w"], weights: Float[Tensor, "h w"], num: int
) -> tuple[Float[Tensor, "num c"], Float[Tensor, " c"], Float[Tensor, " num"]]:
    """Return components of the weighted pixels, their mean, and each component's standard deviation."""
    flat = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).double()
    share = weights.reshape(1, -1).expand(len(x), -1).reshape(-1, 1).double()
    share = share / share.sum()
    mean = (share * flat).sum(0)
    centred = flat - mean
    values, vectors = torch.linalg.eigh(centred.T @ (share * centred))
    vectors = vectors[:, -num:].flip(1).T
    # Eigenvectors know no sign: the largest entry is made positive, so that equal photos give equal weights.
    vectors = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    return vectors.float(), mean.float(), values[-num:].flip(0).clamp_min(1e-12).sqrt().float()


@torch.no_grad()
def lay_in_encoder(codec: AutoencoderKL, images: Float[Tensor, "n 3 h w"], weights: Float[Tensor, "1 1 h w"]) -> None:
    """Set the encoder's weights to the patches' components; `weights` say how much each pixel counts."""
    encoder, channels = codec.encoder, codec.config["latent_channels"]
    quarter_weights, weights = (nn.functional.avg_pool2d(weights, f)[0, 0] for f in (QUARTER, FACTOR))
    width = encoder.down_blocks[1].downsamplers[0].conv.out_channels
    patches = cells(cells(images))
    first, mean, _ = principal_components(patches, quarter_weights, width)
    codes = torch.einsum("kc,nchw->nkhw", first, patches - mean[:, None, None])
    second, centre, spread = principal_components(cells(codes), weights, channels)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, ResnetBlock2D):
            nn.init.kaiming_uniform_(module.conv1.weight, 1.0)
    attention = encoder.mid_block.attentions[0].to_out[0]
    attention.weight.zero_()
    attention.bias.zero_()
    encoder.conv_in.weight[range(3), range(3), 1, 1] = 1
    for block in encoder.down_blocks[1:3]:
        _copy_channels(block.resnets[0].conv_shortcut)
    _gather(encoder.down_blocks[0].downsamplers[0].conv, torch.eye(12))
    _gather(encoder.down_blocks[1].downsamplers[0].conv, first, -first @ mean)
    unit = second / spread[:, None]
    _gather(encoder.down_blocks[2].downsamplers[0].conv, unit, -unit @ centre)
    _pass_through(codec, spread)


def _copy_channels(conv: nn.Conv2d) -> None:
    conv.weight[range(conv.in_channels), range(conv.in_channels), 0, 0] = 1


def _gather(conv: nn.Conv2d, matrix: Float[Tensor, "k 4*c"], bias: Tensor | None = None) -> None:
    """Set a strided 3 x 3 convolution to `matrix` times the 2 x 2 cell whose corner it stands on."""
    k, c = len(matrix), matrix.shape[1] // 4
    conv.weight[:k, :c, :2, :2] = matrix.view(k, 2, 2, c).permute(0, 3, 1, 2)
    if bias is not None:
        conv.bias[:k] = bias


def _pass_through(codec: AutoencoderKL, spread: Float[Tensor, " c"]) -> None:
    """Lead the unit components past the last normalisation and SiLU to the posterior's mean."""
    encoder, num = codec.encoder, len(spread)
    widen, norm, out = (encoder.down_blocks[3].resnets[0].conv_shortcut, encoder.conv_norm_out, encoder.conv_out)
    size = norm.num_channels // norm.num_groups
    each = num // norm.num_groups
    # `each` components open a group; the others are constants of both signs, whose mean is zero.
    place = [size * (j // each) + j % each for j in range(num)]
    widen.weight[place, range(num), 0, 0] = 1
    sign = torch.ones(size).where(torch.arange(size) % 2 == 0, -1.0).repeat(norm.num_groups)
    constants = [i for i in range(norm.num_channels) if i % size >= each]
    widen.bias[constants] = CONSTANT * sign[constants]
    deviation = ((size - each) / size * CONSTANT**2 + each / size) ** 0.5
    norm.weight.fill_(deviation)
    norm.bias.fill_(OFFSET)
    norm.bias[constants] = OFFSET - CONSTANT * sign[constants]
    # The group's mean is taken off components and constants alike: their difference is free of it.
    scale = spread**WHITENING
    scale = scale / scale.square().mean().sqrt()
    for j in range(num):
        reference = size * (j // each) + each + each % 2
        out.weight[j, place[j], 1, 1] = scale[j]
        out.weight[j, reference, 1, 1] = -scale[j]
    quant = codec.quant_conv
    assert quant is not None
    assert quant.bias is not None
    quant.weight.copy_(torch.eye(2 * num)[:, :, None, None])
    quant.bias.zero_()
    quant.bias[num:] = LOG_VARIANCE


@torch.no_grad()
def anchor_last_norm(decoder: Decoder) -> None:
    """Give the decoder's last level two constant channels: its normalisation then keeps brightness and colour."""
    widen = decoder.up_blocks[-1].resnets[0].conv_shortcut
    widen.weight[:2] = 0
    widen.bias[:2] = torch.tensor([ANCHOR, -ANCHOR])
