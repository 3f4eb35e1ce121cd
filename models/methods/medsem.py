"""MedSem-DeID as one of the benchmark's methods."""

from typing import Any

from models.methods.method import BuiltIn, Images, Passwords, Sources


class MedSem(BuiltIn):
    """X_enc for the picture, f_enc for the side-car, X_hat or X_wrong for what comes back."""

    needs = frozenset({"deidentifier"})

    @classmethod
    def make(cls, sources: Sources) -> "MedSem":  # type: ignore[override]
        """Load what train_deid made; it has no options."""
        return cls(sources.deidentifier())

    def __init__(self, deidentifier: Any) -> None:
        self._deidentifier = deidentifier

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, Any]:
        """Return X_enc and f_enc."""
        return self._deidentifier.encrypt(images, passwords)

    def recover(self, images: Images, side_car: Any, passwords: Passwords) -> Images:
        """Return X_hat under the passwords of `deidentify`, X_wrong under others; the picture is not needed."""
        return self._deidentifier.decrypt(side_car, passwords)


METHOD = MedSem
