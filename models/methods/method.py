"""What a de-identification method of the benchmark is, and how one is found.

A built-in method is a file of this folder, called as `use` in params.yaml, with its class under the name METHOD. A
method of one's own is a class of two methods, named by its dotted path, such as `mylab.deid.Mine`:

    class Mine:
        def deidentify(self, images, passwords):
            return images, None           # new images, and what reversal needs beside them (or None)

        def recover(self, images, side_car, passwords):
            return None                   # no way back; else the images

Images are uint8 RGB [n, s, s, 3] in the common frame, eye centres at (0.30, 0.45) and (0.70, 0.45); passwords are
float32 [n, 512], standard normal, one row an image. An image's result must depend on that image and its password
alone, or a killed and resumed run would differ from an uninterrupted one.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

import models.methods

Images = UInt8[np.ndarray, "n s s 3"]
Passwords = Float[np.ndarray, "n d"]


class Sources(Protocol):
    """What a built-in method may be made from."""

    def generator(self) -> Any:
        """Load the fine-tuned generator, a LoadedGenerator."""
        ...

    def faces(self) -> Images:
        """Return the training split's faces."""
        ...

    def deidentifier(self) -> Any:
        """Load MedSem-DeID, a Deidentifier."""
        ...


@runtime_checkable
class Method(Protocol):
    """Anything that maps images and passwords to images of the same size.

    A method with an attribute `told_disease` that is true gets the diseases as a third argument of
    `deidentify`; the tables say so.
    """

    def deidentify(self, images: Images, passwords: Passwords) -> tuple[Images, Any]:
        """Return de-identified images, and what `recover` needs beside them."""
        ...

    def recover(self, images: Images, side_car: Any, passwords: Passwords) -> Images | None:
        """Return the originals as far as the passwords open them, or None where there is no way back."""
        ...


class BuiltIn:
    """A method of this folder; `needs` names what it asks of Sources, so that workers are sent no more than that."""

    needs: ClassVar[frozenset[str]] = frozenset()
    told_disease: ClassVar[bool] = False

    @classmethod
    def make(cls, sources: Sources, **options: Any) -> Self:
        """Return the method with the options of params.yaml."""
        return cls(**options)


class Irreversible(BuiltIn):
    """A method that no password undoes."""

    def recover(self, images: Images, side_car: Any, passwords: Passwords) -> None:
        """Return None: there is no way back."""


def names() -> list[str]:
    """Return the built-in methods."""
    files = (found.name for found in pkgutil.iter_modules(models.methods.__path__))
    return sorted(name for name in files if name != "method")


def built_in(use: str) -> type[BuiltIn] | None:
    """Return the class of a built-in method, None for a dotted path; raises ValueError on a name that is neither."""
    if "." in use:
        return None
    if use not in names():
        raise ValueError(f"deidentify.methods: {use!r}; known: {', '.join(names())}, or package.module.Class")
    return importlib.import_module(f"{models.methods.__name__}.{use}").METHOD


def load_method(use: str, options: Mapping[str, Any], sources: Sources) -> Method:
    """Return a method made with `options`; raises ValueError naming what is wrong."""
    kind = built_in(use)
    try:
        if kind:
            made: Any = kind.make(sources, **options)
        else:
            module, _, name = use.rpartition(".")
            made = getattr(importlib.import_module(module), name)(**options)
    except TypeError as error:
        raise ValueError(f"deidentify.methods: {use} does not take {dict(options)} ({error})") from None
    except (ImportError, AttributeError, ValueError) as error:
        if kind:
            raise
        raise ValueError(f"deidentify.methods: {use!r} cannot be loaded ({error}); give package.module.Class") from None
    if not isinstance(made, Method):
        raise ValueError(f"deidentify.methods: {use} lacks deidentify(images, passwords) or recover(...)")
    return made


def checked(images: Any, like: Images, name: str) -> Images:
    """Return what a method made, if it is as many uint8 images of the same size; raises ValueError."""
    found = (getattr(images, "dtype", None), getattr(images, "shape", None))
    if found != (np.dtype(np.uint8), like.shape):
        raise ValueError(f"{name}: made {found[0]} {found[1]} of uint8 {like.shape}; both must be the same")
    return images


def share_of_width(name: str, value: float, most: float, *, zero: bool = False) -> float:
    if not (0 <= value <= most if zero else 0 < value <= most):
        raise ValueError(f"{name}: {value} must be a share of the image's width, above 0, at most {most}")
    return value
