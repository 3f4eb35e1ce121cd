"""Train the generator twin on public phantoms: codec, image encoder, then UNet, text and IP-Adapter (resumable)."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from transformers import CLIPVisionModelWithProjection

from mema.runtime import stage
from mema.runtime.durable import write_json
from models.diffusion.ip_adapter import attach
from models.diseases import all_prompts, prompt
from phantom.params import TwinGenerator, load_twins
from phantom.stages.twin_data import PairedPhotos
from phantom.stages.twin_photos import pairs, unfinished
from phantom.twins.generator.codec import encode_mean, psnr, reconstruct, train_codec
from phantom.twins.generator.pretraining import PretrainingSet, embed_images, train_generator, train_image_encoder
from phantom.twins.generator.twin_networks import (
    EMBED_DIM,
    PROMPT_TOKENS,
    build_image_encoder,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    save_generator,
)


def main(
    generator: Annotated[Path, typer.Option(help="Pipeline directory to write.")],
    ip_adapter: Annotated[Path, typer.Option(help="IP-Adapter file to write.")],
    metrics: Annotated[Path, typer.Option(help="Metrics JSON to write.")],
    params: Annotated[Path, typer.Option(help="The twins' parameters.")] = Path("data/phantom/params.yaml"),
    scratch: Annotated[Path, typer.Option(help="Checkpoints and rendered photos.")] = Path(".scratch/twins"),
) -> None:
    """Train, save in fp16 as the libraries load it, and report codec and encoder on unseen phantoms."""
    p = load_twins(params).twin_generator
    photos = pairs(scratch, p.num_identities, p.image_size_px, p.seed)
    unseen = pairs(scratch, 200, p.image_size_px, p.seed + 1)
    kept = unfinished(scratch, "twin_generator", section=p)
    images = torch.from_numpy(photos.images.reshape(-1, *photos.images.shape[2:]))
    codec = train_codec(images, **p.codec.model_dump(), seed=p.seed, checkpoint=kept / "codec.pt")
    torch.manual_seed(p.seed)
    encoder = build_image_encoder(p.image_size_px)
    report = {"codec": _codec_quality(codec, unseen), "image_encoder": _train_encoder(encoder, photos, unseen, p, kept)}
    tokenizer = build_tokenizer()
    torch.manual_seed(p.seed)
    text_encoder, unet = build_text_encoder(tokenizer), build_unet(p.image_size_px // 8)
    injection = attach(unet, EMBED_DIM)
    ids = tokenizer(list(all_prompts()), padding="max_length", max_length=PROMPT_TOKENS, return_tensors="pt")
    unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = _pretraining_set(codec, encoder, photos)
    train_generator(
        unet, text_encoder, injection, ids.input_ids, data, **p.generator.model_dump(), seed=p.seed,
        checkpoint=kept / "generator.pt",
    )  # fmt: skip
    save_generator(
        generator, ip_adapter, codec=codec, unet=unet, text_encoder=text_encoder, tokenizer=tokenizer,
        image_encoder=encoder, injection=injection,
    )  # fmt: skip
    write_json(metrics, report)


def _train_encoder(
    encoder: CLIPVisionModelWithProjection, photos: PairedPhotos, unseen: PairedPhotos, p: TwinGenerator, kept: Path
) -> dict[str, float]:
    """Train on the traits standardised over the training identities; return the unseen explained variance."""
    mean, std = photos.traits.mean(0), photos.traits.std(0) + 1e-6

    def flat(x: PairedPhotos) -> tuple[torch.Tensor, torch.Tensor]:
        traits = torch.from_numpy(np.repeat((x.traits - mean) / std, 2, axis=0)).float()
        return torch.from_numpy(x.images.reshape(-1, *x.images.shape[2:])), traits

    images, traits = flat(photos)
    head = train_image_encoder(
        encoder, images, traits, **p.image_encoder.model_dump(), seed=p.seed, checkpoint=kept / "image_encoder.pt"
    )
    encoder.eval()
    images, traits = flat(unseen)
    with torch.no_grad():
        residual = head(embed_images(encoder, images)) - traits
    return {"explained_variance": round(1 - float(residual.var() / traits.var()), 4), "n": len(images)}


def _codec_quality(codec: torch.nn.Module, unseen: PairedPhotos) -> dict[str, float]:
    images = torch.from_numpy(unseen.images.reshape(-1, *unseen.images.shape[2:]))
    decoded = torch.cat(list(reconstruct(codec, images)))  # type: ignore[arg-type]
    size = images.shape[1]
    rows, left = slice(int(0.36 * size), int(0.55 * size)), slice(int(0.16 * size), int(0.44 * size))
    return {
        "n": len(images),
        "psnr_db": round(psnr(images, decoded), 2),
        "psnr_eye_db": round(psnr(images[:, rows, left], decoded[:, rows, left]), 2),
    }


def _pretraining_set(
    codec: torch.nn.Module, encoder: CLIPVisionModelWithProjection, photos: PairedPhotos
) -> PretrainingSet:
    prompts = all_prompts()
    first, second = torch.from_numpy(photos.images[:, 0]), torch.from_numpy(photos.images[:, 1])
    graded = [prompts.index(prompt(d, s)) for d, s in zip(photos.disease, photos.severity, strict=True)]
    captions = [prompts.index(prompt(d)) for d in photos.disease]
    return PretrainingSet(
        latents_a=encode_mean(codec, first),  # type: ignore[arg-type]
        latents_b=encode_mean(codec, second),  # type: ignore[arg-type]
        embeds_a=embed_images(encoder, first),
        prompt_a=torch.full((len(first),), prompts.index(prompt("normal"))),
        prompt_b=torch.tensor(graded),
        caption_b=torch.tensor(captions),
    )


if __name__ == "__main__":
    stage.start(main)
