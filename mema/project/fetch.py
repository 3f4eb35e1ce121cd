"""`mema fetch`: the generator of the paper profile from the hub, in the layout that the stages load."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from mema.params.synthesize import Generator

# From snapshot_download(repository, allow_patterns=...) to the local folder of the snapshot.
Download = Callable[[str, list[str]], Path]
PIPELINE = ["*.json", "*.txt", "*/*.json", "*/*.txt"]
WEIGHTS = ["unet", "vae", "text_encoder"]
ENCODER = "models/image_encoder"


def from_hub(repository: str, patterns: list[str]) -> Path:
    """Download the matching files of a hub repository into its cache."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, allow_patterns=patterns))


def fetch(generator: Generator, download: Download = from_hub) -> None:
    """Write the pipeline with the IP-Adapter's image encoder inside and the adapter's file; check digests."""
    if not generator.hub or not generator.ip_adapter_hub:
        raise ValueError("generator.hub, generator.ip_adapter_hub: empty; this profile's checkpoints are local")
    from models.diffusion.generator import check_sha256

    folder, adapter = Path(generator.path), Path(generator.ip_adapter)
    weights = [f"{name}/{stem}.safetensors" for name in WEIGHTS for stem in ("diffusion_pytorch_model", "model")]
    copy(download(generator.hub, PIPELINE + weights), folder)
    injector = download(
        generator.ip_adapter_hub, [f"{ENCODER}/*.json", f"{ENCODER}/*.safetensors", f"models/{adapter.name}"]
    )
    copy(injector / ENCODER, folder / "image_encoder")
    adapter.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(injector / "models" / adapter.name, adapter)
    index = folder / "model_index.json"
    entries = json.loads(index.read_text()) | {"image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}
    entries["safety_checker"] = [None, None]
    index.write_text(json.dumps(entries, indent=2) + "\n")
    check_sha256(folder, adapter, generator.sha256)


def fetch_folder(hub: str, folder: str, download: Download = from_hub) -> None:
    """Write a checkpoint of the hub (SAM, DINOv2) to a folder, as safetensors; nothing without a hub name."""
    if hub:
        copy(download(hub, ["*.json", "*.safetensors"]), Path(folder))


def copy(source: Path, target: Path) -> None:
    """Copy a snapshot, whose files are links into the hub's cache, as plain files."""
    shutil.copytree(source, target, symlinks=False, dirs_exist_ok=True)


if __name__ == "__main__":
    raise SystemExit("this module does nothing alone; run `mema fetch`")
