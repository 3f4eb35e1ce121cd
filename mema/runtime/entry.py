"""A stage's entry in dvc.yaml, after which its unfinished work is named: one list says what results follow from.

Work that a killed run left is taken up where DVC would not run the stage again: where the contents of every dep and
the values of every param are those of before. Code counts as it was when the process began, for that is what runs.
"""

import hashlib
import inspect
import json
import logging
import re
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from mema.runtime import durable

ROOT = Path(__file__).parents[2]  # of the code that runs
PACKAGES = ("mema", "models", "phantom", "tasks")  # that a stage is made of
FILES = ("dvc.yaml", "data/phantom/dvc.yaml")
TEMPLATE = re.compile(r"\$\{\s*([\w.]+)\s*\}")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What dvc.yaml says of a stage: deps by the names written there, params by file and dotted name."""

    code: dict[str, Path]  # the deps in this project's packages, where they are loaded from
    inputs: dict[str, Path]  # the others, below the folder where the process runs
    params: dict[str, Any]


def name_of(module: ModuleType) -> str:
    """Return the stage that `python -m tasks.<flow>.<stage>` runs."""
    return module.__spec__.name.rpartition(".")[2] if module.__spec__ else ""


def find(stage: str) -> Entry | None:
    """Return the entry of a stage, None where there is none of that name.

    The project in whose folder the process runs comes first, then the one that the running code lies in.
    """
    for root in (Path(), ROOT):
        for file in FILES:
            found = (_read(root / file).get("stages") or {}).get(stage)
            if found is not None:
                return _entry(found, root, (root / file).parent / found.get("wdir", "."))
    return None


def fingerprint(stage: str, *given: Path, by: Any = None, **values: Any) -> str:
    """Return 16 hex digits over a stage's entry and over what a call adds: files, folders, JSON-able values.

    `by` is the class that does the work, which may come from elsewhere: where no dep holds its file, nobody can tell
    whether it is still the same, and the fingerprint is one that no other run has. Raises ValueError where dvc.yaml
    has no such stage.
    """
    entry = find(stage)
    if entry is None:
        raise ValueError(f"{stage}: no stage of that name in {' or '.join(FILES)}; add it there")
    digest = hashlib.sha256()
    for contents, paths in ((_loaded, entry.code), (_contents, entry.inputs)):
        for name, path in sorted(paths.items()):
            digest.update(f"{name}\0".encode() + contents(path))
    for path in given:
        digest.update(b"given\0" + _contents(path))
    asked: dict[str, Any] = {"params": entry.params, "values": values}
    if by is not None and not _follows(entry, by):
        log.warning(
            "%s: %s.%s lies in none of its deps, so its work is not taken up after a kill; add its file or folder, "
            "and what it reads, to the deps of %s in dvc.yaml",
            stage, by.__module__, by.__qualname__, stage,
        )  # fmt: skip
        asked["once"] = secrets.token_hex(16)
    digest.update(json.dumps(asked, sort_keys=True, default=_plain).encode())
    return digest.hexdigest()[:16]


def hold(stage: str) -> str:
    """Return a digest of the code and the params of a stage as they are now; later fingerprints mean this code."""
    entry = find(stage)
    if entry is None:
        return ""
    for path in entry.code.values():
        _loaded(path)
    return _state(entry)


def check_unchanged(stage: str, held: str) -> None:
    """Raise ValueError where code or params changed since `hold`: DVC would note the new ones beside old results."""
    entry = find(stage)
    if held and (entry is None or _state(entry) != held):
        raise ValueError(
            f"{stage}: its code or its params changed while it ran, so that its results are of neither; run it again"
        )


def _state(entry: Entry) -> str:
    digest = hashlib.sha256(json.dumps(entry.params, sort_keys=True, default=_plain).encode())
    for name, path in sorted(entry.code.items()):
        digest.update(name.encode() + _contents(path))
    return digest.hexdigest()


def _entry(stage: dict[str, Any], root: Path, base: Path) -> Entry:
    """Return a parsed entry whose paths are relative to `base` in the project at `root`."""
    values, below = _read(root / "params.yaml"), base.resolve().relative_to(root.resolve())
    entry = Entry({}, {}, {})
    for dep in stage.get("deps") or ():
        written = dep if isinstance(dep, str) else next(iter(dep))
        name = TEMPLATE.sub(lambda match: str(_value(values, match[1])), written)
        if (ROOT / Path(name).parts[0] / "__init__.py").is_file():
            entry.code[name] = ROOT / name
        else:
            entry.inputs[name] = below / name
    for item in stage.get("params") or ():
        for file, names in ({"params.yaml": [item]} if isinstance(item, str) else item).items():
            values = _read(base / file)
            for name in names or values:
                entry.params[f"{file}:{name}"] = _value(values, name)
    return entry


def _value(values: dict[str, Any], name: str) -> Any:
    """Return the value at a dotted name; raises ValueError where there is none, as DVC would."""
    found: Any = values
    for key in name.split("."):
        if not isinstance(found, dict) or key not in found:
            raise ValueError(f"{name}: not in the parameters, and dvc.yaml names it; add it")
        found = found[key]
    return found


def _read(file: Path) -> dict[str, Any]:
    return _parsed(file.read_bytes()) if file.is_file() else {}


@cache
def _parsed(text: bytes) -> dict[str, Any]:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}


@cache
def _loaded(path: Path) -> bytes:
    """Return the digest of code as it was when this process first looked at it."""
    return _contents(path)


def _contents(path: Path) -> bytes:
    digest = hashlib.sha256()
    durable.hash_path(path.resolve(), digest.update)
    return digest.digest()


def _follows(entry: Entry, by: Any) -> bool:
    file = Path(inspect.getfile(by)).resolve()
    return any(file.is_relative_to(dep.resolve()) for dep in (*entry.code.values(), *entry.inputs.values()))


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else repr(value)
