"""SAM of the real classes at toy size with random weights, saved in the layout that `from_pretrained` reads."""

from pathlib import Path

import torch
from transformers import (
    SamConfig,
    SamImageProcessorPil,
    SamMaskDecoderConfig,
    SamModel,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

IMAGE_SIZE = 96
WIDTH = 32


def build_sam() -> SamModel:
    """Return the model with seeded weights; its embedding is 32 x 24 x 24."""
    torch.manual_seed(0)
    vision = SamVisionConfig(
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=4,
        output_channels=WIDTH,
        num_pos_feats=WIDTH // 2,
        mlp_dim=2 * WIDTH,
        window_size=0,
        initializer_range=0.02,
        global_attn_indexes=[0],
    )
    prompts = SamPromptEncoderConfig(hidden_size=WIDTH, image_size=IMAGE_SIZE, patch_size=4)
    decoder = SamMaskDecoderConfig(
        hidden_size=WIDTH, mlp_dim=2 * WIDTH, num_attention_heads=2, iou_head_hidden_dim=WIDTH
    )
    return SamModel(
        SamConfig(
            vision_config=vision.to_dict(),
            prompt_encoder_config=prompts.to_dict(),
            mask_decoder_config=decoder.to_dict(),
        )
    )


def save_sam(folder: Path) -> Path:
    """Write the model and its image processor, 96 px on the longer side."""
    build_sam().save_pretrained(folder)
    side, part = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}, IMAGE_SIZE // 4
    SamImageProcessorPil(
        size={"longest_edge": IMAGE_SIZE},
        pad_size=side,
        mask_size={"longest_edge": part},
        mask_pad_size={"height": part, "width": part},
    ).save_pretrained(folder)
    return folder
