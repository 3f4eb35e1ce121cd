"""`mema fetch` on a hub of two toy repositories."""

import hashlib
import json
from pathlib import Path

import pytest

from mema.params.synthesize import Generator
from mema.project.fetch import ENCODER, fetch, fetch_folder
from tests.worlds.profiles import profile


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    files = {
        "sd/model_index.json": json.dumps({"unet": ["diffusers", "UNet2DConditionModel"]}),
        "sd/unet/diffusion_pytorch_model.safetensors": "unet",
        f"ip/{ENCODER}/model.safetensors": "encoder",
        "ip/models/adapter.safetensors": "adapter",
    }
    for name, text in files.items():
        (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hub" / name).write_text(text)
    return tmp_path / "hub"


def generator(tmp_path: Path, **sha256: str) -> Generator:
    adapter = str(tmp_path / "out/ip/adapter.safetensors")
    return Generator(path=str(tmp_path / "out/sd"), ip_adapter=adapter, hub="sd", ip_adapter_hub="ip", sha256=sha256)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_checkpoint_comes_to_its_folder_and_only_where_a_hub_is_named(tmp_path: Path) -> None:
    paper = profile("paper")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "config.json").write_text("{}")
    asked = []

    def download(repository: str, patterns: list[str]) -> Path:
        asked.append(repository)
        return snapshot

    fetch_folder(paper.prelabel.hub, str(tmp_path / "sam"), download)
    assert (tmp_path / "sam/config.json").read_text() == "{}"
    fetch_folder("", str(tmp_path / "other"), download)
    fetch_folder(paper.train_judges.hub, str(tmp_path / "dinov2"), download)
    assert asked == ["facebook/sam-vit-huge", "facebook/dinov2-small"]
    assert not (tmp_path / "other").exists()


def test_the_encoder_joins_the_pipeline_and_digests_agree(tmp_path: Path, hub: Path) -> None:
    expected = {"image_encoder/model.safetensors": digest("encoder"), "ip_adapter": digest("adapter")}
    fetch(generator(tmp_path, **expected), lambda repository, patterns: hub / repository)
    index = json.loads((tmp_path / "out/sd/model_index.json").read_text())
    assert index["image_encoder"] == ["transformers", "CLIPVisionModelWithProjection"]
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]


def test_a_wrong_digest_is_refused(tmp_path: Path, hub: Path) -> None:
    wrong = {"unet/diffusion_pytorch_model.safetensors": digest("another")}
    with pytest.raises(ValueError, match=r"generator\.sha256\.unet/.* fetch the checkpoint again"):
        fetch(generator(tmp_path, **wrong), lambda repository, patterns: hub / repository)


def test_only_what_the_pipeline_needs_is_asked_for(tmp_path: Path, hub: Path) -> None:
    asked: dict[str, list[str]] = {}

    def download(repository: str, patterns: list[str]) -> Path:
        asked[repository] = patterns
        return hub / repository

    fetch(generator(tmp_path), download)
    assert "unet/diffusion_pytorch_model.safetensors" in asked["sd"]
    assert not any("safety" in pattern or pattern in ("*", "**") for pattern in asked["sd"])
    assert "models/adapter.safetensors" in asked["ip"]


def test_a_local_profile_has_nothing_to_fetch() -> None:
    with pytest.raises(ValueError, match=r"generator\.hub.*: empty"):
        fetch(Generator(path="a", ip_adapter="b"))
