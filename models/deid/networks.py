"""MedSem-DeID's networks (paper, Fig. 5): fusion, ID-Encryptor, ID-Decryptor, and the image decoder's head."""

from dataclasses import asdict, dataclass

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models.deid.eigenfaces import KeyedFaces
from models.diffusion.latents import factors, from_unet, to_unet

LATENT_STRIDE = 8  # of Stable Diffusion's autoencoder
FACE_STRIDE = 32  # of f_face, f and f_enc
FOLD = FACE_STRIDE // LATENT_STRIDE


@dataclass(frozen=True)
class DeidConfig:
    """Sizes of the networks; `med_channels` 0 leaves f_med out (models M1, M2 and M4 of Table 9)."""

    image_size_px: int
    latent_channels: int
    med_channels: int
    width: int = 512
    password_dim: int = 512
    num_layers: int = 3
    num_heads: int = 8
    mlp_width: int = 1024
    head_width: int = 64
    num_eigenfaces: int = 64

    def __post_init__(self) -> None:
        if self.image_size_px % FACE_STRIDE:
            raise ValueError(f"image_size_px: {self.image_size_px} is no multiple of {FACE_STRIDE}")
        if self.latent_channels * FOLD**2 > self.width:
            raise ValueError(
                f"width: {self.width} cannot hold {self.latent_channels} latent channels of {FOLD} x {FOLD} "
                f"places; give at least {self.latent_channels * FOLD**2}"
            )
        free = (self.width - self.latent_channels * FOLD**2) * self.grid**2
        if self.num_eigenfaces > min(free, self.password_dim // 2):
            raise ValueError(
                f"num_eigenfaces: {self.num_eigenfaces}; at most {min(free, self.password_dim // 2)} with this "
                "width and password_dim"
            )
        if self.width % self.num_heads or self.width % 32:
            raise ValueError(f"width: {self.width} must be a multiple of 32 and of num_heads {self.num_heads}")

    @property
    def grid(self) -> int:
        """Places of f along one side: 3 at 96 px, 8 at 256 px."""
        return self.image_size_px // FACE_STRIDE

    def as_dict(self) -> dict[str, int]:
        """Return what `DeidConfig(**...)` takes back."""
        return asdict(self)


class Residual(nn.Module):
    """A pre-activation residual block that begins as its shortcut, the identity on the channels kept."""

    def __init__(self, width_in: int, width: int, hidden: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(groups if width_in % groups == 0 else 1, width_in), nn.SiLU(),
            nn.Conv2d(width_in, hidden, 3, padding=1), nn.GroupNorm(groups, hidden), nn.SiLU(),
            nn.Conv2d(hidden, width, 3, padding=1),
        )  # fmt: skip
        self.shortcut = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)
        _zero(self.body[-1])
        if isinstance(self.shortcut, nn.Conv2d):
            _zero(self.shortcut)
            with torch.no_grad():
                self.shortcut.weight[:, :width, 0, 0] = torch.eye(width)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return self.shortcut(x) + self.body(x)


class Cipher(nn.Module):
    """Transformer blocks over the places of f and a password token; ID-Encryptor and ID-Decryptor alike.

    Pre-norm blocks whose branches begin at zero: an untrained cipher returns what it is given. Sizes follow
    RiDDLE's mapper (Li et al. 2023).
    """

    def __init__(self, config: DeidConfig) -> None:
        super().__init__()
        self.password = nn.Linear(config.password_dim, config.width)
        self.position = nn.Parameter(0.02 * torch.randn(1, config.grid**2 + 1, config.width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.width, config.num_heads, config.mlp_width, dropout=0.0, activation="gelu",
                batch_first=True, norm_first=True,
            )
            for _ in range(config.num_layers)
        )  # fmt: skip
        for block in self.blocks:
            _zero(block.self_attn.out_proj)  # type: ignore[union-attr]
            _zero(block.linear2)  # type: ignore[arg-type]

    def forward(self, features: Float[Tensor, "b c h w"], passwords: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        tokens = torch.cat([features.flatten(2).mT, self.password(passwords)[:, None]], 1)
        start = tokens = tokens + self.position
        for block in self.blocks:
            tokens = block(tokens)
        return features + (tokens - start)[:, :-1].mT.reshape(features.shape)


class MedSemDeID(nn.Module):
    """What is trained: latents of the face and f_med to f, f and a password to f_enc and back, f to latents.

    The image encoder is the autoencoder's, frozen, its H/8 latents folded to H/32 without loss and turned into
    512 channels; the image decoder is this module's head and the autoencoder's decoder. Everything that reaches
    X_enc has passed the ID-Encryptor: there is no skip connection around it.
    """

    def __init__(self, config: DeidConfig) -> None:
        super().__init__()
        self.config = config
        folded = config.latent_channels * FOLD**2
        self.face = nn.Conv2d(folded, config.width, 1, bias=False)
        self.fusion = nn.Sequential(
            Residual(config.width + config.med_channels, config.width, config.width // 2, 16),
            Residual(config.width, config.width, config.width // 2, 16),
            Residual(config.width, config.width, config.width // 2, 16),
        )
        self.key = KeyedFaces(config.num_eigenfaces, config.width, config.grid)
        self.encryptor, self.decryptor = Cipher(config), Cipher(config)
        self.unface = nn.Conv2d(config.width, folded, 1, bias=False)
        self.head = nn.Sequential(
            *(Residual(config.latent_channels, config.latent_channels, config.head_width, 1) for _ in range(2))
        )
        nn.init.orthogonal_(self.face.weight)
        with torch.no_grad():
            self.unface.weight.copy_(self.face.weight.transpose(0, 1))
        self.register_buffer("med_mean", torch.zeros(1, config.med_channels, 1, 1))
        self.register_buffer("med_std", torch.ones(1, config.med_channels, 1, 1))

    def scale_f_med(self, mean: Float[Tensor, "1 m 1 1"], std: Float[Tensor, "1 m 1 1"]) -> None:
        """Remember f_med's mean and deviation over the training images, where this model uses f_med."""
        if self.config.med_channels:
            self.med_mean.copy_(mean)
            self.med_std.copy_(std)

    @torch.no_grad()
    def key_with(
        self, directions: Float[Tensor, "k c h8 w8"], mean: Float[Tensor, " k"], std: Float[Tensor, " k"]
    ) -> None:
        """Set the keyed layer to eigenfaces of the latents; the rest of f's channels hide coefficients.

        Call it before training, while `face` still has orthonormal columns.
        """
        seen = self.face(F.pixel_unshuffle(directions.to(self.face.weight), FOLD))
        free = torch.linalg.qr(self.face.weight.flatten(1), mode="complete").Q[:, self.face.weight.shape[1] :]
        hidden = torch.zeros_like(seen)
        places = self.config.grid**2
        for k in range(len(seen)):
            hidden[k, :, k % places // self.config.grid, k % self.config.grid] = free[:, k // places]
        self.key.set(seen, hidden, mean, std)

    def features(
        self, latents: Float[Tensor, "b c h8 w8"], f_med: Float[Tensor, "b m h16 w16"] | None
    ) -> Float[Tensor, "b 512 h32 w32"]:
        """Return f: f_face, joined by f_med pooled by two where it is used, through three residual blocks."""
        f = self.face(F.pixel_unshuffle(latents, FOLD))
        if self.config.med_channels:
            assert f_med is not None, "this model was built with f_med"
            scaled = (f_med - self.med_mean) / self.med_std
            f = torch.cat([f, F.avg_pool2d(scaled, 2)], 1)
        return self.fusion(f)

    def encrypt(self, f: Float[Tensor, "b c h w"], passwords: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Return f_enc."""
        return self.encryptor(self.key.encrypt(f, passwords), passwords)

    def decrypt(self, f_enc: Float[Tensor, "b c h w"], passwords: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Return f_hat under the right password, the feature of another face under a wrong one."""
        return self.key.decrypt(self.decryptor(f_enc, passwords), passwords)

    def latents(self, f: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h8 w8"]:
        """Return the latents that the autoencoder's decoder turns into an image."""
        return self.head(F.pixel_shuffle(self.unface(f), FOLD))


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def encode(vae: AutoencoderKL, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
    """Return the posterior means of RGB images in [-1, 1], at the scale the generator works with."""
    return to_unet(vae.encode(images).latent_dist.mean, *factors(vae))  # type: ignore[union-attr]


def decode(vae: AutoencoderKL, latents: Float[Tensor, "b c h8 w8"]) -> Float[Tensor, "b 3 h w"]:
    """Return RGB images, about [-1, 1], of latents that `encode` made."""
    return vae.decode(from_unet(latents, *factors(vae))).sample  # type: ignore[union-attr]
