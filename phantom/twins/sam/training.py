"""SAM's training at small size: rounds of prompts on one embedding, each correcting the last mask."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange
from transformers import SamModel

from models.segmentation.prompts import correction, inner_point, loose_box, random_point
from models.training.augmentation import augment_in_place
from models.training.checkpoint import cosine_rate, load_checkpoint, save_checkpoint, step_generator
from phantom.twins.sam.phantom_scenes import Scenes

OBJECTS = 3  # per image and step
ROUNDS = 3  # a click or a box, then two corrections
SIGN_SHARE = 0.45  # of the objects, where the face wears a sign


def train_sam(
    model: SamModel,
    scenes: Scenes,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    checkpoint_every: int = 50,
) -> None:
    """Train in place, or go on from `checkpoint`; equal arguments give equal weights on one machine."""
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=learning_rate, weight_decay=0.01
    )
    first = load_checkpoint(checkpoint, optimizer, model=model)
    model.train()
    for step in (bar := trange(first, steps, initial=first, total=steps, desc="sam")):
        rng, generator = np.random.default_rng([seed, step]), step_generator(seed, step)
        chosen = rng.choice(len(scenes.images), batch_size, replace=False)
        pixels = augment_in_place(torch.from_numpy(scenes.images[chosen]), generator)
        truths = np.stack([draw_objects(scenes, i, rng) for i in chosen.tolist()])
        target = torch.from_numpy(truths).float()
        embeddings = model.vision_encoder(pixels).last_hidden_state  # get_image_embeddings has no gradient
        hand, loss = Hand(truths, rng), torch.zeros(())
        for turn in range(ROUNDS):
            out = model(image_embeddings=embeddings, multimask_output=turn == 0, **hand.tensors())
            losses, found = mask_losses(out.pred_masks, out.iou_scores, target)
            loss = loss + losses.mean() / ROUNDS
            hand.correct(found)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine_rate(step, steps, warmup=100)
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % checkpoint_every == 0 or step + 1 == steps:
            save_checkpoint(checkpoint, step + 1, optimizer, model=model)
    model.eval()


def draw_objects(scenes: Scenes, index: int, rng: np.random.Generator) -> Bool[np.ndarray, "p h w"]:
    """Return OBJECTS masks of one scene, its sign more often than its other parts."""
    masks = scenes.masks(index)
    sign = masks.pop("sign", None)
    parts = list(masks.values())
    return np.stack(
        [
            sign if sign is not None and rng.random() < SIGN_SHARE else parts[rng.integers(len(parts))]
            for _ in range(OBJECTS)
        ]
    )


class Hand:
    """The prompts so far for every object of a batch: boxes, or clicks that grow by one a round."""

    def __init__(self, truths: Bool[np.ndarray, "b p h w"], rng: np.random.Generator):
        self._truths, self._rng = truths, rng
        self._shape = truths.shape[:2]
        self._boxes = rng.random() < 0.3
        flat = truths.reshape(-1, *truths.shape[2:])
        first = [inner_point(m) if rng.random() < 0.3 else random_point(m, rng) for m in flat]
        self._points = [[] if self._boxes else [point] for point in first]
        self._labels = [[] if self._boxes else [1] for _ in first]
        self._box = [loose_box(mask, rng) for mask in flat]

    def tensors(self) -> dict[str, Tensor]:
        """Return the prompts as SamModel takes them."""
        given = {}
        if self._boxes:
            given["input_boxes"] = torch.tensor(self._box, dtype=torch.float32).view(*self._shape, 4)
        if self._points[0]:
            points = torch.tensor(self._points, dtype=torch.float32)
            given["input_points"] = points.view(*self._shape, -1, 2)
            given["input_labels"] = torch.tensor(self._labels).view(*self._shape, -1)
        return given

    def correct(self, found: Bool[np.ndarray, "b p h w"]) -> None:
        """Add one click per object, on its largest mistake, or anywhere in it where there is none."""
        pairs = zip(*(a.reshape(-1, *a.shape[2:]) for a in (self._truths, found)), strict=True)
        for i, (truth, mask) in enumerate(pairs):
            point, positive = correction(truth, mask) or (random_point(truth, self._rng), True)
            self._points[i].append(point)
            self._labels[i].append(int(positive))


def mask_losses(
    logits: Float[Tensor, "b p k h w"], scores: Float[Tensor, "b p k"], target: Float[Tensor, "b p h w"]
) -> tuple[Float[Tensor, "b p"], Bool[np.ndarray, "b p h w"]]:
    """Return each object's loss (20 focal + dice, SAM's section A) of its best mask, and that mask.

    The best of several candidates is the one of least loss; every candidate's score learns its IoU.
    """
    wide = target[:, :, None].expand_as(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, wide, reduction="none")
    focal = (entropy * (1 - torch.exp(-entropy)) ** 2).mean((-1, -2))
    share = torch.sigmoid(logits)
    overlap = (share * wide).sum((-1, -2))
    dice = 1 - (2 * overlap + 1) / (share.sum((-1, -2)) + wide.sum((-1, -2)) + 1)
    found = logits.detach() > 0
    truth = wide > 0.5
    iou = (found & truth).sum((-1, -2)) / (found | truth).sum((-1, -2)).clamp(min=1)
    loss, best = (20 * focal + dice).min(-1)
    loss = loss + ((scores - iou) ** 2).mean(-1)
    mask = found.gather(2, best[:, :, None, None, None].expand(-1, -1, 1, *found.shape[-2:]))[:, :, 0]
    return loss, mask.numpy()
