"""The parts of the generator twin: the same classes as Stable Diffusion v1-5 with IP-Adapter, at small size."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor2_0
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from models.diffusion.ip_adapter import Injection
from models.diseases import all_prompts
from phantom.twins.generator.codec import LATENT_CHANNELS

TEXT_DIM = 128
EMBED_DIM = 128
PROMPT_TOKENS = 16
IMAGE_MEAN = IMAGE_STD = [0.5, 0.5, 0.5]


def build_unet(latent_size: int) -> UNet2DConditionModel:
    """Return an untrained two-level UNet with heads of 48 dimensions (8 would be slow in attention)."""
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(96, 144),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_DIM,
        attention_head_dim=(2, 3),  # diffusers' name for the number of heads
        norm_num_groups=16,
    )


def build_tokenizer() -> CLIPTokenizer:
    """Return CLIP's tokenizer with a byte-pair vocabulary learnt from the prompts: each of their words one token."""
    words = sorted(set(re.findall(r"\w+|[^\w\s]", " ".join(all_prompts()).lower())))
    merges = _learn_merges(words)
    letters = sorted(chr(c) for c in range(33, 127) if not chr(c).isupper())
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{x}</w>" for x in letters)]
    tokens += sorted({a + b for a, b in merges} - set(tokens))
    vocab = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=PROMPT_TOKENS)


def _learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Return byte-pair merges (Sennrich et al. 2016) until every word is whole; ties go to the smaller pair.

    The tokenizers library breaks ties by its hash seed, so that two trainings would number the words differently.
    """
    splits = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while counts := Counter(pair for split in splits for pair in pairwise(split)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for split in splits:
            for i in range(len(split) - 2, -1, -1):
                if i + 1 < len(split) and (split[i], split[i + 1]) == best:
                    split[i : i + 2] = ["".join(best)]
    return merges


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return an untrained CLIPTextModel of two layers."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_DIM,
            intermediate_size=2 * TEXT_DIM,
            projection_dim=TEXT_DIM,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=PROMPT_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_image_encoder(image_size_px: int) -> CLIPVisionModelWithProjection:
    """Return an untrained CLIPVisionModelWithProjection of five layers with patches of an eighth of the image."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            image_size=image_size_px,
            patch_size=image_size_px // 8,
            hidden_size=160,
            intermediate_size=480,
            projection_dim=EMBED_DIM,
            num_hidden_layers=5,
            num_attention_heads=5,
        )
    )


def training_scheduler() -> DDPMScheduler:
    """Return Stable Diffusion's noise schedule with v-prediction."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
    )


def save_generator(
    folder: Path,
    adapter_file: Path,
    *,
    codec: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    image_encoder: CLIPVisionModelWithProjection,
    injection: Injection,
) -> None:
    """Write a StableDiffusionPipeline directory and an IP-Adapter file, in fp16, as the libraries load them."""
    size = image_encoder.config.image_size
    scheduler = DPMSolverMultistepScheduler.from_config(training_scheduler().config, timestep_spacing="trailing")
    unet.set_attn_processor(AttnProcessor2_0())
    pipeline = StableDiffusionPipeline(
        vae=codec,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=CLIPImageProcessor(
            size={"height": size, "width": size}, do_center_crop=False, image_mean=IMAGE_MEAN, image_std=IMAGE_STD
        ),
        image_encoder=image_encoder,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    adapter_file.parent.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().half().contiguous() for k, v in injection.state_dict_diffusers().items()}
    save_file(state, adapter_file)
