"""A training that is killed in the middle, as far as its own process can tell."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


def killed_at_step(monkeypatch: pytest.MonkeyPatch, module: ModuleType, train: Callable[[], Any], step: int) -> None:
    """Run `train` until the module's `augment`, which each step calls once, is called the `step`th time."""
    augment, calls = module.augment, []

    def dies(*arguments: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == step:
            raise InterruptedError("killed")
        return augment(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(module, "augment", dies)
        with pytest.raises(InterruptedError, match="killed"):
            train()
