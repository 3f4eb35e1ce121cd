"""DINOv2's two ways of naming its weights give the same network; what is missing or odd is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Dinov2ForImageClassification

from models.diseases import DISEASES
from models.images import decode
from models.judges.dinov2_weights import IMAGENET_MEAN, load_dinov2, released_backbone, transformers_names
from tests.toys.dinov2 import save_dinov2

RELEASED = "weights/dinov2_vits14_derived/dinov2_vits14_fp16.pth"


def released(depth: int = 2, width: int = 64, side: int = 3, patch: int = 4) -> dict[str, torch.Tensor]:
    """Random weights under the names of the first release."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "cls_token": (1, 1, width), "pos_embed": (1, side * side + 1, width),
        "patch_embed.proj.weight": (width, 3, patch, patch), "patch_embed.proj.bias": (width,),
        "norm.weight": (width,), "norm.bias": (width,),
    }  # fmt: skip
    for k in range(depth):
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{k}.{name}.{part}": (width,) for part in ("weight", "bias")}
        for name in ("ls1", "ls2"):
            shapes[f"blocks.{k}.{name}.gamma"] = (width,)
        for name, rows, columns in (("attn.qkv", 3, 1), ("attn.proj", 1, 1), ("mlp.fc1", 4, 1), ("mlp.fc2", 1, 4)):
            shapes[f"blocks.{k}.{name}.weight"] = (rows * width, columns * width)
            shapes[f"blocks.{k}.{name}.bias"] = (rows * width,)
    return {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def forward(state: dict[str, torch.Tensor], images: torch.Tensor, num_heads: int) -> torch.Tensor:
    """DINOv2 as its paper and first code write it, from the released names."""

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        scaled = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    kernel = state["patch_embed.proj.weight"]
    x = torch.nn.functional.conv2d(images, kernel, state["patch_embed.proj.bias"], stride=kernel.shape[-1])
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
    x = x + state["pos_embed"]
    depth = sum(name.endswith(".attn.qkv.weight") for name in state)
    for block in (f"blocks.{k}" for k in range(depth)):
        q, k, v = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").chunk(3, -1)
        q, k, v = (part.unflatten(-1, (num_heads, -1)).transpose(1, 2) for part in (q, k, v))
        weights = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
        mixed = linear((weights @ v).transpose(1, 2).flatten(2), f"{block}.attn.proj")
        x = x + state[f"{block}.ls1.gamma"] * mixed
        hidden = torch.nn.functional.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"))
        x = x + state[f"{block}.ls2.gamma"] * linear(hidden, f"{block}.mlp.fc2")
    return norm(x, "norm")


@torch.no_grad()
def test_released_weights_give_the_released_network():
    state = released()
    images = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    found = released_backbone(state).eval()(pixel_values=images).last_hidden_state
    torch.testing.assert_close(found, forward(state, images, num_heads=1), atol=1e-5, rtol=1e-5)


def test_a_file_of_released_weights_gets_a_new_head_over_the_diseases(tmp_path):
    torch.save(released(), tmp_path / "small.pth")
    torch.manual_seed(0)
    network, normalisation = load_dinov2(str(tmp_path / "small.pth"))
    assert list(network.config.to_dict()["id2label"].values()) == list(DISEASES)
    assert normalisation.mean == IMAGENET_MEAN
    assert network.classifier.weight.shape == (8, 128)
    assert torch.equal(network.dinov2.embeddings.cls_token, released()["cls_token"])


def test_a_folder_brings_its_own_normalisation(tmp_path):
    network, normalisation = load_dinov2(str(save_dinov2(tmp_path)))
    assert isinstance(network, Dinov2ForImageClassification)
    pixels = normalisation(torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)).flatten()
    assert pixels.tolist() == pytest.approx([-0.5 / 0.2, 0.1 / 0.25, 0.7 / 0.3])
    assert network.config.drop_path_rate == 0.0


def test_what_is_missing_or_named_otherwise_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"train_judges\.dinov2: no checkpoint at .*mema fetch"):
        load_dinov2(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="no file"):
        load_dinov2(str(tmp_path / "nothing.pth"))
    with pytest.raises(ValueError, match="unknown weight 'register_tokens'"):
        transformers_names({"register_tokens": torch.zeros(1)})


@pytest.mark.real
@torch.no_grad()
def test_real_weights_see_photographs_as_the_released_network_does(assets: Path):
    """Against the same weights run by hand, on real photographs."""
    state = torch.load(assets / RELEASED, map_location="cpu", weights_only=True)
    state = {name: value.float() for name, value in state.items()}
    network, normalisation = load_dinov2(str(assets / RELEASED))
    files = sorted((assets / "data/lfw_10x10").rglob("*.jpg"))[:1]
    images = np.stack([decode(file.read_bytes()) for file in files])
    signal = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    whole = torch.nn.functional.interpolate(signal, (518, 518), mode="bilinear", antialias=True)
    pixels = normalisation(whole)
    found = network.dinov2.eval()(pixels).last_hidden_state
    torch.testing.assert_close(found, forward(state, pixels, num_heads=6), atol=2e-3, rtol=2e-3)
