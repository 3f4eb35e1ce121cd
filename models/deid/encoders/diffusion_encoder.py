"""Enc_med of the paper: the fine-tuned diffusion model up to the end of its UNet's first block."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.deid.encoders.medical_encoder import STRIDE, WEIGHTS, MedicalEncoder, MedicalFaces
from models.diffusion.fine_tuning import fine_tune, load_networks
from models.diffusion.generator import load_pipeline, prompt_table
from models.diffusion.latents import cache_moments, factors, to_unet
from models.diffusion.lora import LoraSettings, save_lora
from models.diseases import prompt as caption
from models.training.distributed import group


@dataclass(frozen=True)
class DiffusionOptions:
    """The pipeline directory to fine-tune, how, and where in it Enc_med stands."""

    generator: Path
    lora: LoraSettings
    timestep: int
    prompt: str


class DiffusionEncoder(MedicalEncoder):
    """VAE encoder (posterior mean), conv_in and down_blocks[0] with its downsampler, at a timestep and a prompt.

    No noise is added: the timestep only tells the block how fine a detail to look at. At the size of Stable
    Diffusion v1-5 the map is 320 x H/16 x W/16. `latents` and `encode_latents` are its two halves, so that a
    caller who has the latents already does not compute them again.
    """

    kinds = ("diffusion",)

    def __init__(
        self,
        vae: AutoencoderKL,
        unet: UNet2DConditionModel,
        prompt_embeds: Float[Tensor, "1 t d"],
        *,
        timestep: int,
        prompt: str,
    ) -> None:
        """Take the parts of whole networks, which are not changed; raises ValueError where they do not fit."""
        super().__init__()
        block: Any = unet.down_blocks[0]
        strides = 2 ** (len(vae.config["block_out_channels"]) - 1) * (2 if block.downsamplers else 1)
        if strides != STRIDE:
            raise ValueError(
                f"generator.path: autoencoder and first block divide the sides by {strides}; "
                f"Enc_med needs {STRIDE}, as in Stable Diffusion: an autoencoder of factor 8, two levels or more"
            )
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv or nn.Identity()
        self.conv_in, self.time_proj, self.time_embedding = unet.conv_in, unet.time_proj, unet.time_embedding
        self.block = block
        self.register_buffer("prompt_embeds", prompt_embeds)
        self.prompt_embeds: Tensor
        self.timestep, self.prompt = timestep, prompt
        self.channels = int(unet.config["block_out_channels"][0])
        self.scaling_factor, self.shift_factor = factors(vae)
        self._vae_config, self._unet_config = _plain(vae.config), _plain(unet.config)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h16 w16"]:
        """Return the map of RGB images in [-1, 1]."""
        return self.encode_latents(self.latents(images))

    def latents(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b z h8 w8"]:
        """Return the means of the autoencoder's posterior, scaled as the UNet takes them."""
        mean, _ = self.quant_conv(self.encoder(images)).chunk(2, dim=1)
        return to_unet(mean, self.scaling_factor, self.shift_factor)

    def encode_latents(self, latents: Float[Tensor, "b z h8 w8"]) -> Float[Tensor, "b c h16 w16"]:
        """Return the map from latents that `latents` made."""
        sinusoids = self.time_proj(torch.full((1,), self.timestep, device=latents.device))
        time = self.time_embedding(sinusoids.to(self.prompt_embeds.dtype)).expand(len(latents), -1)
        condition = {}
        if getattr(self.block, "has_cross_attention", False):
            condition["encoder_hidden_states"] = self.prompt_embeds.expand(len(latents), -1, -1)
        return self.block(self.conv_in(latents), time, **condition)[0]

    def save(self, folder: Path) -> None:
        """Write config.json and the weights of these parts alone."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "kind": "diffusion",
            "timestep": self.timestep,
            "prompt": self.prompt,
            "vae": self._vae_config,
            "unet": self._unet_config,
        }
        text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / "config.json").write_text(text)
        state = {key: value.detach().cpu().contiguous() for key, value in self.state_dict().items()}
        save_file(state, folder / WEIGHTS)

    @classmethod
    def fine_tune(
        cls, kind: str, faces: MedicalFaces, options: DiffusionOptions, scratch: Path
    ) -> tuple["DiffusionEncoder", dict]:
        """Fine-tune a second diffusion model by LoRA on disease and severity captions; fuse it into the parts."""
        networks = load_networks(options.generator)
        moments = cache_moments(networks.vae, faces.images, len(faces.images), scratch / "latents")
        captions = [caption(*told) for told in zip(faces.diseases, faces.severities, strict=True)]
        summary = fine_tune(networks, moments, captions, options.lora, scratch)
        together, lora = group(), scratch / "lora"
        if together.is_main:
            shutil.rmtree(lora, ignore_errors=True)
            save_lora(networks.unet, lora, options.lora)
        together.wait()
        encoder = build_diffusion_encoder(options.generator, lora, timestep=options.timestep, prompt=options.prompt)
        return encoder, summary | {"channels": encoder.channels, "timestep": options.timestep}

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """Read what `save` wrote; the parts left out of the file are never allocated."""
        state = load_file(folder / WEIGHTS)
        with torch.device("meta"):
            vae = cast(AutoencoderKL, AutoencoderKL.from_config(config["vae"]))
            unet = cast(UNet2DConditionModel, UNet2DConditionModel.from_config(config["unet"]))
            encoder = cls(vae, unet, state["prompt_embeds"], timestep=config["timestep"], prompt=config["prompt"])
        encoder.load_state_dict(state, assign=True)
        return encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in json.loads(json.dumps(dict(config))).items() if key != "_name_or_path"}


def build_diffusion_encoder(generator: Path, lora: Path | None, *, timestep: int, prompt: str) -> DiffusionEncoder:
    """Return Enc_med of the pipeline directory `generator` with the LoRA of folder `lora` fused, in fp32."""
    pipeline = load_pipeline(generator)
    if lora is not None:
        pipeline.load_lora_weights(lora)
        pipeline.fuse_lora(components=["unet"])
        pipeline.unload_lora_weights()
    embeds = prompt_table(pipeline, [prompt])
    return DiffusionEncoder(pipeline.vae, pipeline.unet, embeds, timestep=timestep, prompt=prompt).frozen()
