"""Sampling images that each have a donor and a weight of their own, beside both stock routes of diffusers.

The peers are diffusers' pipeline called once an image with `set_ip_adapter_scale`, and its one route that batches:
a scale of 1 and a mask for each row, filled with the row's weight. All start from the same noise; images are compared
with the one-by-one loop's. The limit is the multiplications of the UNet and the decoder as large matrix products.
"""

from typing import Annotated, Literal

import numpy as np
import torch
import typer
from diffusers import StableDiffusionPipeline
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import harness
from benchmarks.harness import Case
from benchmarks.paths.stable_diffusion import EMBED_DIM, adapter, build, check_size, generator_of
from models.computing.threads import side_by_side
from models.diffusion.generator import LoadedGenerator
from models.diffusion.latents import factors, from_unet
from models.diffusion.sampling import Row, SamplingSettings, sample_latents, sample_rows
from models.diseases import DISEASES, SEVERITIES, prompt

GUIDANCE = 3.0
MAX_OPERATIONS = 1100  # of a forward of the UNet
TOLERANCE = {"fp32": 1e-5, "bf16": 5e-2}


class Operations(TorchDispatchMode):
    """Counts the operations that compute something; views of what is there are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.num = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Count and go on."""
        aliases = [value.alias_info for value in function._schema.returns if value.alias_info is not None]
        self.num += all(alias.is_write for alias in aliases)
        return function(*args, **(kwargs or {}))


def rows_of(num: int) -> list[Row]:
    """Return rows over all prompts, a donor each, weights from 0.2 to 0.4 as the plan's."""
    prompts = [prompt(DISEASES[0]), *(prompt(d, s) for d in DISEASES[1:] for s in ("", *SEVERITIES))]
    torch.manual_seed(2)
    return [Row(prompts[i % 24], i, torch.randn(EMBED_DIM), 0.2 + 0.2 * i / num) for i in range(num)]


def texts(generator: LoadedGenerator, prompts: list[str]) -> Tensor:
    """Return the prompts' embeddings: the peers get them from the same table."""
    return generator.prompt_table[[generator.prompts.index(prompt) for prompt in prompts]]


def stock(pipeline: StableDiffusionPipeline, generator: LoadedGenerator, rows: list[Row], steps: int) -> np.ndarray:
    """Return images of one call of diffusers' pipeline."""
    device, dtype, size_px = pipeline.unet.device, pipeline.unet.dtype, generator.image_size_px
    donors = torch.stack([row.embedding for row in rows if row.embedding is not None])[:, None]
    masks = [torch.full((1, 1, size_px, size_px), row.injection_weight) for row in rows]
    pipeline.set_ip_adapter_scale(rows[0].injection_weight if len(rows) == 1 else 1.0)
    made = pipeline(
        prompt_embeds=texts(generator, [row.prompt for row in rows]),
        negative_prompt_embeds=texts(generator, [""] * len(rows)), height=size_px, width=size_px,
        num_inference_steps=steps, guidance_scale=GUIDANCE, output_type="np",
        generator=[torch.Generator().manual_seed(row.seed) for row in rows],
        ip_adapter_image_embeds=[torch.cat([torch.zeros_like(donors), donors]).to(device, dtype)],
        cross_attention_kwargs=None if len(rows) == 1 else {
            "ip_adapter_masks": [torch.cat(masks + masks).to(device, dtype)]
        },
    )  # fmt: skip
    return np.asarray(made.images)


def case(width: float, size_px: int, num: int, batch_size: int, steps: int, precision: str) -> Case:
    """Return the sampling of `num` images; the loop makes a part of them, and its time is scaled."""
    networks = build(width, size_px, torch.bfloat16 if precision == "bf16" else torch.float32)
    pipeline, rows = networks.pipeline, rows_of(num)
    unet = networks.copy_of_unet()
    injection, state = adapter(unet)
    generator = generator_of(networks, unet, injection)
    pipeline.load_ip_adapter([state], subfolder="", weight_name="", image_encoder_folder=None)
    # It repeats the donors by the batch size, which mixes them up; as they are given they are one a row.
    pipeline.prepare_ip_adapter_image_embeds = lambda image, embeds, *_: embeds
    settings = SamplingSettings(steps, GUIDANCE, batch_size)
    batches = [rows[i : i + batch_size] for i in range(0, num, batch_size)]
    few = rows[:: max(1, num // 4)]

    def ours() -> np.ndarray:
        made = side_by_side(lambda batch: sample_rows(generator, batch, settings).numpy(), batches)
        return np.concatenate(list(made))

    def loop(chosen: list[Row]) -> np.ndarray:
        return np.concatenate([stock(pipeline, generator, [row], steps) for row in chosen])

    def masked(chosen: list[list[Row]]) -> np.ndarray:
        return np.concatenate([stock(pipeline, generator, batch, steps) for batch in chosen])

    def check() -> str:
        padded = [*few, *[few[-1]] * (batch_size - len(few))]
        latents = sample_latents(generator, padded, settings)
        signal = generator.vae.decode(from_unet(latents, *factors(generator.vae)).to(unet.dtype)).sample
        pixels = (signal[: len(few)].float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        expected = loop(few)
        apart = float(np.abs(pixels - expected).max() / expected.max())
        by_mask = float(np.abs(masked([few]) - expected).max() / expected.max())
        assert apart < TOLERANCE[precision], f"ours is {apart:.1e} off the loop"
        assert by_mask < TOLERANCE[precision], f"the mask route is {by_mask:.1e} off the loop"
        levels = int(np.abs(ours()[:: max(1, num // 4)] - np.round(expected * 255)).max())
        assert levels <= (1 if precision == "fp32" else 13), levels  # of 255: halves are rounded either way
        return (
            f"pixels within {apart:.1e} of the loop's (mask route {by_mask:.1e}); {operations} operations a forward, "
            f"{MAX_OPERATIONS} allowed"
        )

    operations, flop = cost(generator, rows[:batch_size], settings)
    assert operations <= MAX_OPERATIONS, operations
    product, share = harness.products(flop * len(batches), unet.dtype, unet.device)
    gpu = unet.device.type == "cuda"
    return Case(
        "sample_batch",
        f"{num} images, {width:g} of SD1.5's width, {size_px} px, {steps} steps, batch {batch_size}, {precision}",
        ours=ours,
        peers={"one by one": lambda: loop(few), "mask route": lambda: masked(batches)},
        check=check,
        limit=product,
        limit_name=f"{flop * len(batches) / 1e12:.3g} TFLOP of products",
        targets={"one by one": 3.0, "mask route": 1.3} if gpu else {},
        scale={"one by one": len(few) / num, "limit": share},
    )


def cost(generator: LoadedGenerator, rows: list[Row], settings: SamplingSettings) -> tuple[int, float]:
    """Return the operations of one forward of the UNet, and the multiplications of a whole batch (2 each)."""
    unet, seen = generator.unet, Operations()
    forward = unet.forward

    def counted(*args, **kwargs):
        with seen:
            return forward(*args, **kwargs)

    unet.forward = counted
    try:
        sample_rows(generator, rows, settings)
    finally:
        unet.forward = forward
    flop = harness.flop_of(lambda: sample_rows(generator, rows, settings))
    return seen.num // settings.num_inference_steps, flop


def main(
    width: Annotated[float, typer.Option(help="of the channels of v1-5")] = 0.25,
    size_px: Annotated[int, typer.Option(help="a multiple of 64")] = 128,
    images: Annotated[int, typer.Option(min=1)] = 64,
    batch_size: Annotated[int, typer.Option(min=1)] = 16,
    steps: Annotated[int, typer.Option(min=1, help="of DPM-Solver++")] = 4,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="of the computation")] = "fp32",
    rounds: harness.Rounds = 3,
    out: harness.Out = None,
) -> None:
    """Assert equal images, then let ours, the loop and the mask route take turns."""
    check_size(width, size_px)
    harness.report(case(width, size_px, images, batch_size, steps, precision), rounds, out)


if __name__ == "__main__":
    typer.run(main)
