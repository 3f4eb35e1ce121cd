"""Whoever computes a row of a batch, its luck is the same."""

import pytest
import torch

from models.deid.chance import Augmentation, Jitter, draw_augmentation, draw_chance, draw_jitter


def drawn(kind: str, num: int, seed: int = 0) -> Augmentation | Jitter:
    generator = torch.Generator().manual_seed(seed)
    if kind == "augmentation":
        return draw_augmentation(num, 32, generator)
    jitter = draw_jitter(num, 32, 0.1, generator)
    assert jitter is not None
    return jitter


def images(num: int) -> torch.Tensor:
    return torch.rand(num, 3, 32, 32, generator=torch.Generator().manual_seed(9)).mul(2).sub(1)


@pytest.mark.parametrize("kind", ["augmentation", "jitter"])
def test_rows_are_changed_as_in_the_whole_batch_and_each_by_its_own_luck(kind: str) -> None:
    change, rows = drawn(kind, 6), torch.tensor([1, 4])
    whole, part = change(images(6)), change.take(rows)(images(6)[rows])
    torch.testing.assert_close(part, whole[rows])
    same = images(1).expand(6, -1, -1, -1)
    assert len(torch.unique(change(same).flatten(1), dim=0)) == 6
    assert not torch.equal(drawn(kind, 6, seed=1)(images(6)), whole)


def test_jitter_changes_images_little_and_lets_gradients_through() -> None:
    before = images(2).requires_grad_()
    after = drawn("jitter", 2)(before)
    assert 0.01 < (after - before).abs().mean() < 0.7
    after.sum().backward()
    assert before.grad is not None
    assert (before.grad != 0).float().mean() > 0.5
    assert draw_jitter(2, 32, 0.0, torch.Generator()) is None


def test_an_original_keeps_its_passwords_and_its_three_images_their_changes() -> None:
    whole = draw_chance(100, 4, 32, 8, 0.1, torch.Generator().manual_seed(0))
    parts = [whole.take(slice(start, start + 2)) for start in (0, 2)]
    assert torch.equal(torch.cat([part.rows for part in parts]), whole.rows)
    assert torch.equal(torch.cat([part.wrong for part in parts]), whole.wrong)
    fakes = images(12)  # X_enc of four originals, then X_hat, then X_wrong
    of_second = torch.tensor([2, 3, 6, 7, 10, 11])
    for name in ("fake", "judged", "phi_sees"):
        changed = getattr(parts[1], name)(fakes[of_second])
        torch.testing.assert_close(changed, getattr(whole, name)(fakes)[of_second], msg=name)
