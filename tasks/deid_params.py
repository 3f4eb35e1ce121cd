"""Types and bounds of the sections of params.yaml on MedSem-DeID: its training, and the hospital's commands."""

from typing import Annotated, Any, Literal

from pydantic import Field

from tasks.section import Count, Section


class DeidNetworks(Section):
    """Sizes of MedSem-DeID's ciphers and of the image decoder's head; see models.deid.networks.DeidConfig."""

    width: Count
    password_dim: Count
    num_layers: Count
    num_heads: Count
    mlp_width: Count
    head_width: Count
    num_eigenfaces: Annotated[int, Field(ge=0)]


class TrainDeid(Section):
    """MedSem-DeID's training; `use_f_med` and `lambda_med` 0 give the models of Table 9."""

    domain: Literal["drawn", "photograph"]  # what MeMa's pictures are, which the generator decides
    loss_recogniser: str
    image_size_px: Annotated[int, Field(ge=64, multiple_of=32)]
    use_f_med: bool
    networks: DeidNetworks
    steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    halve_at: tuple[Count, ...]
    betas: tuple[float, float]
    max_grad_norm: Annotated[float, Field(gt=0)]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    lambda_med: Annotated[float, Field(ge=0)]
    lambda_rev: Annotated[float, Field(ge=0)]
    lambda_gan: Annotated[float, Field(ge=0)]
    cosine_floor: Annotated[float, Field(ge=-1, lt=1)]
    phi_jitter: Annotated[float, Field(ge=0, lt=0.5)]
    discriminator_width: Count
    discriminator_rate: Annotated[float, Field(gt=0)]
    slope_weight: Annotated[float, Field(ge=0)]
    precision: Literal["fp32", "bf16"]
    checkpoint_every: Count
    grid_every: Annotated[int, Field(ge=0)]
    seed: int

    def training(self) -> dict[str, Any]:
        """Return what models.deid.training.DeidSettings takes."""
        return self.model_dump(
            exclude={"domain", "loss_recogniser", "image_size_px", "use_f_med", "networks"}
        )


class DeidFiles(Section):
    """The hospital's commands: which model, which detector, how large a photo, how dear a guess."""

    model: str
    detector: Literal["dlib", "ultraface", "insightface"]
    detector_path: str = ""
    smallest_face_px: Annotated[int, Field(ge=20)] = (
        40  # what is searched for, where the photo's size allows it
    )
    doubtful_faces: Literal["hide", "refuse"] = "hide"  # whose eyes can't be placed with certainty
    judge: str = ""  # a recogniser that the method doesn't use; empty: dlib's, which is packaged
    judge_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.954
    min_size_px: Count
    max_megapixels: Annotated[float, Field(gt=0, le=178)]  # Pillow refuses more
    max_aspect: Annotated[float, Field(ge=1)]
    argon2_iterations: Annotated[int, Field(ge=1, le=16)]
    argon2_memory_kib: Annotated[int, Field(ge=128, le=1 << 20)]
    argon2_lanes: Annotated[int, Field(ge=1, le=16)]
    audit_log: str
    audit_second: str = ""  # a second place for each line: a file, or syslog:/dev/log
    reports: str = ""  # folder of the hospital for quarantine and report; empty: beside the input
