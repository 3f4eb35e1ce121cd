"""Signs of seven diseases, painted over any aligned face whose eye landmarks are known."""

from phantom.drawing.signs.drawing import draw_sign

__all__ = ["draw_sign"]
