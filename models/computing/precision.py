"""Half precision where it pays."""

import torch


def multiplies_bf16() -> bool:
    """Tell whether this processor multiplies bf16 itself, rather than emulating it ten times slower."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def fast_autocast() -> torch.autocast:
    """Return bf16 autocast on a CPU that multiplies bf16 itself, else one that does nothing."""
    return torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16())
