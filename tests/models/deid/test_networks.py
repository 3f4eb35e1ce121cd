import pytest
import torch

from models.deid.networks import Cipher, DeidConfig, MedSemDeID, Residual, decode, encode
from tests.toys.deid import toy_model, toy_vae

CONFIG = DeidConfig(96, 4, 6, width=96, num_layers=2, num_heads=4, mlp_width=64, head_width=16, num_eigenfaces=0)


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    latents, f_med = (torch.randn(2, *shape, generator=generator) for shape in ((4, 12, 12), (6, 6, 6)))
    return latents, f_med, torch.randn(2, 512, generator=generator)


def test_shapes_are_the_paper_s() -> None:
    config = DeidConfig(256, 4, 320)
    with torch.device("meta"):
        model = MedSemDeID(config)
        f = model.features(torch.empty(2, 4, 32, 32), torch.empty(2, 320, 16, 16))
        assert f.shape == (2, 512, 8, 8)
        f_enc = model.encrypt(f, torch.empty(2, 512))
        assert f_enc.shape == (2, 512, 8, 8)
        assert model.latents(model.decrypt(f_enc, torch.empty(2, 512))).shape == (2, 4, 32, 32)


def test_untrained_networks_reverse_without_loss(inputs: tuple[torch.Tensor, ...]) -> None:
    latents, f_med, password = inputs
    model = MedSemDeID(CONFIG)
    f_enc = model.encrypt(model.features(latents, f_med), password)
    assert torch.allclose(model.latents(model.decrypt(f_enc, password)), latents, atol=1e-5)


def test_each_part_hears_gradients_from_the_first_step(inputs: tuple[torch.Tensor, ...]) -> None:
    latents, f_med, password = inputs
    model = MedSemDeID(CONFIG)
    f_enc = model.encrypt(model.features(latents, f_med), password)
    model.latents(model.decrypt(f_enc, password)).square().mean().backward()
    for block in (*model.encryptor.blocks, *model.decryptor.blocks):
        assert block.linear2.weight.grad.abs().sum() > 0  # type: ignore[union-attr]
        assert block.self_attn.out_proj.weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    assert model.fusion[0].body[-1].weight.grad.abs().sum() > 0  # type: ignore[union-attr,index]


def test_a_cipher_listens_to_the_password_and_to_every_place(inputs: tuple[torch.Tensor, ...]) -> None:
    model = toy_model()
    f = torch.randn(1, 96, 3, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    password = inputs[2][:1].requires_grad_()
    corner = model.encrypt(f, password)[0, :, 0, 0].sum()
    by_place, by_password = torch.autograd.grad(corner, [f, password])
    assert (by_place[0].abs().sum(0) > 0).all()
    assert (by_password != 0).all()


def test_f_med_reaches_f_only_where_the_model_uses_it(inputs: tuple[torch.Tensor, ...]) -> None:
    latents, f_med, _ = inputs
    model = MedSemDeID(CONFIG)
    torch.nn.init.normal_(model.fusion[0].body[-1].weight, std=0.1)  # type: ignore[union-attr,index,arg-type]
    model.scale_f_med(torch.full((1, 6, 1, 1), 2.0), torch.full((1, 6, 1, 1), 3.0))
    assert not torch.allclose(model.features(latents, f_med), model.features(latents, 2 * f_med))
    scaled = model.features(latents, 3 * f_med + 2)
    model.scale_f_med(torch.zeros(1, 6, 1, 1), torch.ones(1, 6, 1, 1))
    assert torch.allclose(scaled, model.features(latents, f_med), atol=1e-5)
    assert MedSemDeID(DeidConfig(96, 4, 0, width=96, num_heads=4)).features(latents, None).shape[1] == 96


def test_nothing_of_the_image_goes_round_the_encryptor(inputs: tuple[torch.Tensor, ...]) -> None:
    """X_enc is a function of f_enc alone."""
    latents, f_med, password = inputs
    model = MedSemDeID(CONFIG)
    f_enc = model.encrypt(model.features(latents.requires_grad_(), f_med), password)
    cut = f_enc.detach().requires_grad_()
    model.latents(cut).sum().backward()
    assert cut.grad is not None
    assert latents.grad is None


def test_a_residual_block_begins_as_the_identity_on_what_it_keeps() -> None:
    x = torch.randn(1, 10, 3, 3)
    assert torch.equal(Residual(10, 8, 8, 1)(x), x[:, :8])


def test_encode_and_decode_agree_with_the_autoencoder_s_scale() -> None:
    vae, images = toy_vae().eval(), torch.rand(1, 3, 96, 96) * 2 - 1
    latents = encode(vae, images)
    assert torch.equal(latents, vae.encode(images).latent_dist.mean * 0.7)
    assert torch.allclose(decode(vae, latents), vae.decode(latents / 0.7).sample)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_size_px": 100}, "image_size_px: 100 is no multiple of 32"),
        ({"latent_channels": 40}, "give at least 640"),
        ({"num_heads": 7}, "must be a multiple of 32 and of num_heads 7"),
    ],
)
def test_sizes_that_cannot_be_are_named(change: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DeidConfig(**({"image_size_px": 96, "latent_channels": 4, "med_channels": 0} | change))


def test_ciphers_have_a_place_for_every_token() -> None:
    assert Cipher(CONFIG).position.shape == (1, 10, 96)
