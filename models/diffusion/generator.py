"""The generator as it is loaded: a pipeline directory, a LoRA fused in, an IP-Adapter attached."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from models.diffusion.ip_adapter import Injection, attach
from models.diseases import all_prompts

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class LoadedGenerator:
    """Networks on one device, ready to sample; `prompt_table` has a row for every prompt of `prompts`."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler_config: dict
    prompts: tuple[str, ...]
    prompt_table: Float[Tensor, "p t d"]
    injection: Injection | None = None
    image_encoder: CLIPVisionModelWithProjection | None = None
    feature_extractor: CLIPImageProcessor | None = None

    @property
    def image_size_px(self) -> int:
        """Height and width of the images."""
        return self.latent_shape[1] * 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents, from the UNet's configuration."""
        size = self.unet.config["sample_size"]
        return (self.unet.config["in_channels"], size, size)


def generator_folder(path: str) -> Path:
    """Return the pipeline directory: `path` itself, or the snapshot of the hub repository that it names."""
    if Path(path).is_dir():
        return Path(path)
    if not HUB_NAME.fullmatch(path):
        raise ValueError(f"generator.path: no folder {path!r}; give a pipeline directory, or a hub name as owner/name")
    return Path(StableDiffusionPipeline.download(path))


def files_sha256(folder: Path, *files: Path) -> str:
    """Return one digest of all files in `folder` (names and bytes) and of further `files`."""
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + b"\0" + bytes.fromhex(file_sha256(file)))
    for file in files:
        digest.update(bytes.fromhex(file_sha256(file)))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the digest of one file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(folder: Path, ip_adapter: Path, expected: dict[str, str]) -> None:
    """Compare files (paths inside the pipeline directory, or 'ip_adapter') with their stated digests."""
    for name, digest in expected.items():
        path = ip_adapter if name == "ip_adapter" else folder / name
        if not path.is_file() or file_sha256(path) != digest:
            found = file_sha256(path) if path.is_file() else "no such file"
            raise ValueError(f"generator.sha256.{name}: expected {digest}, found {found}; fetch the checkpoint again")


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    """Load the pipeline directory in fp32, whatever it was saved in, without a safety checker."""
    return StableDiffusionPipeline.from_pretrained(
        folder, local_files_only=True, safety_checker=None, requires_safety_checker=False, dtype=torch.float32
    )


def load_generator(
    folder: Path, *, ip_adapter: Path | None = None, lora: Path | None = None, precision: str = "fp32"
) -> LoadedGenerator:
    """Load, fuse the LoRA of folder `lora` in fp32, attach the IP-Adapter, then go to `precision` and a GPU if any."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = load_pipeline(folder)
    if lora is not None:
        pipeline.load_lora_weights(lora)
        pipeline.fuse_lora(components=["unet"])
        pipeline.unload_lora_weights()
    injection = None
    if ip_adapter is not None:
        if pipeline.image_encoder is None or pipeline.feature_extractor is None:
            raise ValueError("generator.path: no image_encoder and feature_extractor beside the IP-Adapter; add them")
        state = load_file(ip_adapter)
        width = pipeline.image_encoder.config.projection_dim
        text_dim = pipeline.unet.config["cross_attention_dim"]
        tokens = len(state["image_proj.proj.weight"]) // text_dim
        injection = attach(pipeline.unet, width, num_tokens=tokens, state=state)
    table = prompt_table(pipeline, all_prompts())
    dtype = DTYPES[precision]
    for module in (pipeline.unet, pipeline.vae, pipeline.image_encoder, injection):
        if module is not None:
            module.requires_grad_(False).eval().to(device, dtype)
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.vae.to(memory_format=torch.channels_last)
    return LoadedGenerator(
        unet=pipeline.unet,
        vae=pipeline.vae,
        scheduler_config=dict(pipeline.scheduler.config),
        prompts=all_prompts(),
        prompt_table=table.to(device, dtype),
        injection=injection,
        image_encoder=pipeline.image_encoder,
        feature_extractor=pipeline.feature_extractor,
    )


@torch.no_grad()
def prompt_table(pipeline: StableDiffusionPipeline, prompts: Sequence[str]) -> Float[Tensor, "p t d"]:
    """Return the text embeddings of all prompts, padded to the tokenizer's length as in stock diffusers."""
    limit = pipeline.tokenizer.model_max_length
    tokens = pipeline.tokenizer(list(prompts), padding="max_length", max_length=limit, return_tensors="pt")
    if tokens.input_ids.shape[1] > limit:
        raise ValueError(f"prompt: longer than the tokenizer's {limit} tokens; shorten it in models/diseases.py")
    return pipeline.text_encoder(tokens.input_ids.to(pipeline.text_encoder.device))[0]


@torch.no_grad()
def embed_donor(generator: LoadedGenerator, image: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, " d"]:
    """Return the image embedding of one face, alone, so that it does not depend on what else is embedded."""
    encoder, extractor = generator.image_encoder, generator.feature_extractor
    assert encoder is not None
    assert extractor is not None
    pixels = extractor(image, return_tensors="pt").pixel_values
    return encoder(pixels.to(encoder.device, encoder.dtype)).image_embeds[0].float().cpu()
