"""A stage's entry as the project has it, in a dvc.yaml of a folder's own, with deps beside it."""

from pathlib import Path

import yaml

from mema.runtime import entry


def write_entry(folder: Path, stage: str, *more: Path) -> None:
    """Write dvc.yaml and params.yaml into `folder`: the stage's own entry, and `more` deps as a user would add them."""
    stages = yaml.safe_load((entry.ROOT / "dvc.yaml").read_text())["stages"]
    stages[stage]["deps"] += [str(path) for path in more]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {stage: stages[stage]}}, sort_keys=False))
    (folder / "params.yaml").write_text((entry.ROOT / "params.yaml").read_text())
