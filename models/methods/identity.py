"""Nothing done."""

from models.methods.method import Images, Irreversible, Passwords


class Identity(Irreversible):
    """No change: how well everything is recognised before anything is done."""

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, None]:
        """Return the images as they are."""
        return images.copy(), None


METHOD = Identity
