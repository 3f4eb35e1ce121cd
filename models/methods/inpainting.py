"""Everything but the eyes drawn anew: the strong baseline, which is *told* the diagnosis, as no other method is."""

from collections.abc import Sequence
from typing import Any

from models.methods.method import Images, Irreversible, Passwords, Sources


class Inpaint(Irreversible):
    """models/diffusion/inpainting.py as a method."""

    needs = frozenset({"generator"})
    told_disease = True

    @classmethod
    def make(cls, sources: Sources, **options: Any) -> "Inpaint":
        """Load the fine-tuned generator."""
        from models.diffusion.inpainting import Inpainting, InpaintingSettings

        return cls(Inpainting(sources.generator(), InpaintingSettings(**options)))

    def __init__(self, inpainting: Any) -> None:
        self._inpainting = inpainting

    def deidentify(self, images: Images, passwords: Passwords, diseases: Sequence[str]) -> tuple[Images, None]:
        """Return the pictures, drawn after the captions of their diseases."""
        return self._inpainting.draw(images, diseases), None


METHOD = Inpaint
