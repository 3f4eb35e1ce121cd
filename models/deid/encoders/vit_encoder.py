"""Enc_med as a vision transformer, tuned on diseases or as a masked autoencoder (paper, Table 10)."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import ViTConfig, ViTForImageClassification, ViTMAEConfig, ViTMAEForPreTraining, ViTModel
from transformers.image_processing_base import ImageProcessingMixin

from models.deid.encoders.medical_encoder import STRIDE, WEIGHTS, MedicalEncoder, MedicalFaces
from models.deid.settings import VitOptions
from models.diseases import DISEASES
from models.training.augmentation import augment
from models.training.checkpoint import RunningLosses, cosine_rate, load_checkpoint, save_checkpoint, step_generator
from models.training.distributed import group

Moments = tuple[list[float], list[float]]  # mean and deviation of RGB in [0, 1], as the network was pretrained


class VitEncoder(MedicalEncoder):
    """The patch tokens of a vision transformer as a map, brought to one place for each 16 x 16 pixels."""

    kinds = ("vit", "vit_mae")

    def __init__(self, vit: ViTModel, kind: str, moments: Moments) -> None:
        """Take a ViTModel; `moments` are what the network wants its images normalised by."""
        super().__init__()
        self.vit, self.kind, self._moments = vit, kind, moments
        self.channels = int(vit.config.hidden_size)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h16 w16"]:
        """Return the map of RGB images in [-1, 1]; positions are interpolated for sizes it was not trained at."""
        height, width = images.shape[-2:]
        patch, trained = self.vit.config.patch_size, self.vit.config.image_size
        tokens = self.vit(
            pixel_values=normalised(images, self._moments),
            interpolate_pos_encoding=(height, width) != (trained, trained),
        ).last_hidden_state[:, 1:]
        places = tokens.mT.unflatten(2, (height // patch, width // patch))
        size = (height // STRIDE, width // STRIDE)
        if places.shape[-2:] == size:
            return places
        if patch < STRIDE:
            return F.adaptive_avg_pool2d(places, size)
        return F.interpolate(places, size=size, mode="bilinear", align_corners=False)

    def save(self, folder: Path) -> None:
        """Write config.json and the transformer's weights, without its head or decoder."""
        folder.mkdir(parents=True, exist_ok=True)
        mean, std = self._moments
        config = {"kind": self.kind, "vit": self.vit.config.to_dict(), "image_mean": mean, "image_std": std}
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        state = {key: value.detach().cpu().contiguous() for key, value in self.vit.state_dict().items()}
        save_file(state, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """Read what `save` wrote."""
        vit = ViTModel(ViTConfig(**config["vit"]), add_pooling_layer=False)
        vit.load_state_dict(load_file(folder / WEIGHTS))
        return cls(vit, config["kind"], (config["image_mean"], config["image_std"]))

    @classmethod
    def fine_tune(cls, kind: str, faces: MedicalFaces, options: VitOptions, scratch: Path) -> tuple["VitEncoder", dict]:
        """Tune on the diseases (`vit`) or on hidden patches (`vit_mae`), and keep the transformer."""
        size = len(faces.images[0])
        network, moments = build(kind, options, size)
        network.to(group().device)
        loss = train(network, faces, moments, options, checkpoint=scratch / "checkpoint.pt")
        if not math.isfinite(loss):
            raise ValueError(
                f"train_medical_encoder.vit.learning_rate: the loss is {loss} at {options.learning_rate}; lower it"
            )
        steps = num_steps(len(faces.images), options)
        encoder = cls(_transformer(network), kind, moments).cpu()
        summary = {
            "photos": len(faces.images),
            "steps": steps,
            "images_seen": steps * options.batch_size,
            "loss": round(loss, 4),
            "trainable_parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
            "channels": encoder.channels,
        }
        return encoder.frozen(), summary


def normalised(images: Float[Tensor, "b 3 h w"], moments: Moments) -> Float[Tensor, "b 3 h w"]:
    """Return RGB images of [-1, 1] with the mean and deviation that a network was pretrained with."""
    mean, std = (torch.tensor(moment, device=images.device).view(3, 1, 1) for moment in moments)
    return (images / 2 + 0.5 - mean) / std


def num_steps(num: int, options: VitOptions) -> int:
    """Return the whole steps in which images are seen `epochs` times."""
    return max(1, options.epochs * num // options.batch_size)


def build(kind: str, options: VitOptions, size: int) -> tuple[nn.Module, Moments]:
    """Return the network of `kind`, pretrained or seeded for images of `size` px, and its images' moments."""
    classes: dict[str, tuple[Any, Any]] = {
        "vit": (ViTForImageClassification, ViTConfig),
        "vit_mae": (ViTMAEForPreTraining, ViTMAEConfig),
    }
    model, config = classes[kind]
    only = {"num_labels": len(DISEASES)} if kind == "vit" else {"mask_ratio": options.mask_ratio}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        if options.pretrained:
            tuned = model.from_pretrained(options.pretrained, dtype=torch.float32, ignore_mismatched_sizes=True, **only)
            found, _ = ImageProcessingMixin.get_image_processor_dict(options.pretrained)
            return tuned, (found.get("image_mean", [0.5] * 3), found.get("image_std", [0.5] * 3))
        if size % options.patch_px:
            raise ValueError(
                f"train_medical_encoder.vit.patch_px: {options.patch_px} does not divide images of {size} px"
            )
        if kind == "vit_mae":
            half = {"hidden_size": options.width // 2, "intermediate_size": options.mlp_width // 2}
            only |= {f"decoder_{name}": value for name, value in half.items()}
            only |= {"decoder_num_hidden_layers": 2, "decoder_num_attention_heads": options.num_heads}
            only |= {"norm_pix_loss": True}
        sizes = config(
            image_size=size, patch_size=options.patch_px, hidden_size=options.width,
            num_hidden_layers=options.num_layers, num_attention_heads=options.num_heads,
            intermediate_size=options.mlp_width, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **only,
        )  # fmt: skip
        return model(sizes), ([0.5] * 3, [0.5] * 3)


def train(network: nn.Module, faces: MedicalFaces, moments: Moments, options: VitOptions, *, checkpoint: Path) -> float:
    """Train in place, from `checkpoint` on, and return the smoothed loss; a killed run ends with the same weights.

    The processes of a group share each batch; one of them writes.
    """
    supervised = isinstance(network, ViTForImageClassification)
    labels = torch.tensor([DISEASES.index(disease) for disease in faces.diseases])
    steps, size = num_steps(len(labels), options), len(faces.images[0])
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=options.weight_decay)
    running, together = RunningLosses("loss"), group()
    parts = together.parts(options.batch_size, "train_medical_encoder.vit.batch_size")
    network.train()
    first = load_checkpoint(checkpoint, optimizer, network=network, running=running)
    bar = tqdm(range(first, steps), initial=first, total=steps, desc="vit", mininterval=5, disable=not together.is_main)
    for step in bar:
        generator = step_generator(options.seed, step)
        rows = torch.randint(len(labels), (options.batch_size,), generator=generator)
        pixels = torch.from_numpy(np.stack([faces.images[row] for row in rows.tolist()]))
        x = normalised(augment(pixels, size, generator), moments)
        aim = _aim(network, labels[rows], generator, supervised, size)
        optimizer.zero_grad()
        loss = _backward(network, x, aim, parts, options)
        together.sum_gradients(network.parameters())
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for parameters in optimizer.param_groups:
            parameters["lr"] = options.learning_rate * cosine_rate(step, steps, options.warmup_steps)
        optimizer.step()
        running.update(together.sum_losses({"loss": loss}))
        bar.set_postfix(loss=f"{running.values()['loss']:.3f}", refresh=False)
        last = (step + 1) % options.checkpoint_every == 0 or step + 1 == steps
        if together.is_main and last:
            save_checkpoint(checkpoint, step + 1, optimizer, network=network, running=running)
    network.eval()
    return running.values()["loss"]


def _backward(network: Any, x: Tensor, aim: dict[str, Tensor], parts: Sequence[slice], options: VitOptions) -> float:
    """Add the gradients of these parts of a batch and return their share of its loss."""
    device, total = next(network.parameters()).device, 0.0
    for part in parts:
        asked = {name: value[part].to(device) for name, value in aim.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            found = network(x[part].to(device), interpolate_pos_encoding=True, **asked).loss
        loss = found * (len(x[part]) / len(x))
        loss.backward()
        total += loss.item()
    return total


def _aim(network: Any, labels: Tensor, generator: torch.Generator, supervised: bool, size: int) -> dict[str, Tensor]:
    """Return what a step asks of the network: the diseases, or which patches are hidden."""
    if supervised:
        return {"labels": labels}
    patches = (size // network.config.patch_size) ** 2
    return {"noise": torch.rand(len(labels), patches, generator=generator)}


def _transformer(network: Any) -> ViTModel:
    """Return the transformer alone; a masked autoencoder's has the same parts and names as a ViTModel's."""
    names = ViTConfig().to_dict().keys() - {"model_type", "architectures", "transformers_version"}
    sizes = {name: value for name, value in network.config.to_dict().items() if name in names}
    vit = ViTModel(ViTConfig(**sizes), add_pooling_layer=False)
    vit.load_state_dict(network.vit.state_dict())
    return vit
