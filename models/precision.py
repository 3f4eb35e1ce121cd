"""Half precision where it pays."""

import torch


def fast_autocast() -> torch.autocast:
    """Return bf16 autocast on a CPU that multiplies bf16 itself, else one that does nothing.

    A CPU with AVX2 alone emulates bf16 and trains ten times slower with it than in fp32.
    """
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=native)
