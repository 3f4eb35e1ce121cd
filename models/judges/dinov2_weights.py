"""DINOv2 from a folder, from the hub's cache, or from a file with the names of its first release."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import BitImageProcessorPil, Dinov2Config, Dinov2ForImageClassification, Dinov2Model

from models.diseases import DISEASES

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Random paths and dropped units would need their random state kept, for a run to be taken up exactly.
DETERMINISTIC: dict[str, Any] = {"drop_path_rate": 0.0, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
PREPROCESSOR = "preprocessor_config.json"
LABELS: dict[str, Any] = {
    "id2label": dict(enumerate(DISEASES)),
    "label2id": {name: k for k, name in enumerate(DISEASES)},
}
RENAMED = (
    ("cls_token", "embeddings.cls_token"),
    ("mask_token", "embeddings.mask_token"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
    ("norm.", "layernorm."),
    ("blocks.", "encoder.layer."),
)
RENAMED_IN_BLOCKS = (
    (".attn.proj.", ".attention.o_proj."),
    (".ls1.gamma", ".layer_scale1.lambda1"),
    (".ls2.gamma", ".layer_scale2.lambda1"),
)
HEAD_WIDTH = 64  # of every released DINOv2


@dataclass(frozen=True)
class Normalisation:
    """What the network expects of RGB in [0, 1]: minus `mean`, divided by `std`, by channel."""

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __call__(self, signal: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Return RGB in [-1, 1] as the network takes it."""
        mean, std = (signal.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (signal * 0.5 + 0.5 - mean) / std


def load_dinov2(path: str) -> tuple[Dinov2ForImageClassification, Normalisation]:
    """Return DINOv2 with a head over DISEASES, and its normalisation.

    `path` is a folder that from_pretrained reads, a hub name in the local cache, or a .pth file in the names
    of the first release. The head is new, drawn from torch's seed, unless the folder holds one. Raises
    ValueError where there is nothing.
    """
    if path.endswith(".pth"):
        return _from_release(Path(path)), Normalisation()
    try:
        network = Dinov2ForImageClassification.from_pretrained(
            path, local_files_only=True, dtype=torch.float32, **LABELS, **DETERMINISTIC
        )
        values, _ = BitImageProcessorPil.get_image_processor_dict(path, local_files_only=True)
    except OSError as error:
        raise ValueError(
            f"train_judges.dinov2: no checkpoint at {path!r}; give a folder, or download a hub name such as "
            f"facebook/dinov2-small first (mema fetch). {str(error).splitlines()[0]}"
        ) from None
    return network, Normalisation(tuple(values["image_mean"]), tuple(values["image_std"]))


def _from_release(file: Path) -> Dinov2ForImageClassification:
    if not file.is_file():
        raise ValueError(f"train_judges.dinov2: no file {str(file)!r}; give the path of a DINOv2 checkpoint")
    backbone = released_backbone(torch.load(file, map_location="cpu", weights_only=True))
    network = Dinov2ForImageClassification(Dinov2Config(**backbone.config.to_diff_dict() | LABELS))
    network.dinov2.load_state_dict(backbone.state_dict())
    return network


def released_backbone(state: dict[str, Tensor]) -> Dinov2Model:
    """Return weights named as in the first release (Meta's, timm's) as the network of transformers, in fp32.

    Sizes are read from the weights; query, key and value, one matrix there, become three.
    """
    renamed = transformers_names(state)
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    config = Dinov2Config(
        hidden_size=width, patch_size=patch, image_size=side * patch,
        num_hidden_layers=1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")),
        num_attention_heads=width // HEAD_WIDTH, mlp_ratio=state["blocks.0.mlp.fc1.weight"].shape[0] // width,
        use_mask_token="mask_token" in state, **DETERMINISTIC,
    )  # fmt: skip
    network = Dinov2Model(config)
    network.load_state_dict({name: value.float() for name, value in renamed.items()})
    return network


def transformers_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the released weights under the names of Dinov2Model; raises ValueError on an unknown name."""
    found: dict[str, Any] = {}
    for name, value in state.items():
        start = next(((old, new) for old, new in RENAMED if name.startswith(old)), None)
        if start is None:
            raise ValueError(f"DINOv2: unknown weight {name!r}; the file is not named as in the release")
        new = start[1] + name.removeprefix(start[0])
        for old, part in RENAMED_IN_BLOCKS:
            new = new.replace(old, part)
        if ".attn.qkv." in new:
            for part, third in zip("qkv", value.chunk(3), strict=True):
                found[new.replace(".attn.qkv.", f".attention.{part}_proj.")] = third
        else:
            found[new] = value
    return found


def write_preprocessor(folder: Path, size_px: int, normalisation: Normalisation) -> None:
    """Write how images become the network's input, as transformers' image processor reads it."""
    values = {
        "image_processor_type": "BitImageProcessor", "do_resize": True, "do_center_crop": False,
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "do_convert_rgb": True,
        "size": {"height": size_px, "width": size_px}, "resample": 3,
        "image_mean": list(normalisation.mean), "image_std": list(normalisation.std),
    }  # fmt: skip
    (folder / PREPROCESSOR).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
