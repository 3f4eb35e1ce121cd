"""A bar over both eyes."""

from models.methods.method import Images, Irreversible, Passwords, share_of_width


class EyeBar(Irreversible):
    """A black bar over both eyes, as in old case reports; edges are shares of the image's width."""

    def __init__(self, top: float = 0.37, bottom: float = 0.53, left: float = 0.12, right: float = 0.88) -> None:
        edges = {"top": top, "bottom": bottom, "left": left, "right": right}
        for name, value in edges.items():
            share_of_width(name, value, 1, zero=True)
        if top >= bottom or left >= right:
            raise ValueError(f"eye_bar: {edges} is no bar; top < bottom and left < right")
        self._top, self._bottom, self._left, self._right = top, bottom, left, right

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return the images with the bar."""
        size, barred = images.shape[2], images.copy()
        rows = slice(round(self._top * size), round(self._bottom * size))
        barred[:, rows, round(self._left * size) : round(self._right * size)] = 0
        return barred, None


METHOD = EyeBar
