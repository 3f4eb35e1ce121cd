"""SAM at the twin's size: the classes of transformers, an embedding of 24 x 24, masks of the image's own size."""

from pathlib import Path

import torch
from transformers import SamConfig, SamImageProcessorPil, SamModel

PATCH_PX = 4  # the decoder magnifies the embedding fourfold, so masks have the size of the image
WIDTH = 96
SHARPNESS = 2.0  # how much stronger than unit weights a near place attracts at first


def twin_sam(image_size_px: int) -> SamModel:
    """Return an untrained SamModel of 0.8 million weights for square images of this size."""
    vision = {
        "hidden_size": WIDTH, "num_hidden_layers": 4, "num_attention_heads": 3, "mlp_ratio": 2.0,
        "output_channels": WIDTH, "num_pos_feats": WIDTH // 2, "image_size": image_size_px,
        "patch_size": PATCH_PX, "window_size": 8, "global_attn_indexes": [1, 3], "initializer_range": 0.02,
    }  # fmt: skip
    prompt = {"hidden_size": WIDTH, "image_size": image_size_px, "patch_size": PATCH_PX, "mask_input_channels": 4}
    decoder = {"hidden_size": WIDTH, "mlp_dim": 2 * WIDTH, "num_attention_heads": 3, "iou_head_hidden_dim": 64}
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    model = SamModel(config)
    _initialise_prompts(model)
    return model


def _initialise_prompts(model: SamModel) -> None:
    """Start prompts and decoder as SAM was, not as transformers does, under which clicks have no meaning.

    Places are frozen random Fourier features of unit scale: drawn with half the encoder's width as scale,
    neighbouring pixels have nothing in common. The decoder's deep heads are silent with weights of deviation
    0.02. Its attention between prompts and image begins by nearness of places, not at random.
    """
    places = model.shared_image_embedding.positional_embedding
    torch.nn.init.normal_(places)
    places.requires_grad_(False)
    for part in (model.prompt_encoder, model.mask_decoder):
        part.apply(lambda module: module.reset_parameters() if hasattr(module, "reset_parameters") else None)
    transformer = model.mask_decoder.transformer
    attentions = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in attentions:
        torch.nn.init.orthogonal_(attention.q_proj.weight, gain=SHARPNESS)
        torch.nn.init.zeros_(attention.q_proj.bias)
        attention.k_proj.load_state_dict(attention.q_proj.state_dict())


def twin_processor(image_size_px: int) -> SamImageProcessorPil:
    """Return the image processor that brings any picture to the twin's input, RGB in [-1, 1]."""
    square = {"height": image_size_px, "width": image_size_px}
    return SamImageProcessorPil(
        size={"longest_edge": image_size_px}, pad_size=square, mask_size={"longest_edge": image_size_px},
        mask_pad_size=square, image_mean=[0.5] * 3, image_std=[0.5] * 3,
    )  # fmt: skip


def save_twin(model: SamModel, folder: Path) -> None:
    """Write weights in half precision and both configurations, as `from_pretrained` reads them."""
    half = SamModel(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.float16).save_pretrained(folder)
    twin_processor(model.config.vision_config.image_size).save_pretrained(folder)
