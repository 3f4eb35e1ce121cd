"""Profiles: profiles/base.yaml, and overlays that hold only what they change; params.yaml is written from them.

An overlay starts from base.yaml, or from the overlay that its key `from` names. A mapping is merged key by key,
anything else replaced; an empty value takes the key out.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedMap

from mema.params import PARAMS, Params, check
from mema.runtime import durable

FOLDER = Path("profiles")
BASE, FROM = "base", "from"
LINE_WIDTH = 200
WRITTEN = re.compile(r"^# Values as written: ([0-9a-f]{16})$", re.MULTILINE)
HEAD = (
    "Profile {name}, written by `mema profile {name}` from profiles/. Values changed here hold until it is written\n"
    "again; to keep them, give them a file of their own there. `open`: the paper leaves it open, the value is ours.\n"
    "Values as written: {digest}"
)


def names(folder: Path = FOLDER) -> dict[str, str]:
    """Return {name: what it is for}, from the first comment of each overlay."""
    files = sorted(file for file in folder.glob("*.yaml") if file.stem != BASE)
    return {file.stem: _first_comment(file) for file in files}


def compose(name: str, folder: Path = FOLDER) -> CommentedMap:
    """Return a profile whole, comments and all; raises ValueError where there is none, or a file is no YAML."""
    if name == BASE or not (folder / f"{name}.yaml").is_file():
        raise ValueError(f"profile: {name!r} is not one of {', '.join(names(folder))} in {folder.resolve()}")
    merged = _read(folder / f"{BASE}.yaml")
    for overlay in reversed(list(_chain(name, folder))):
        _merge(merged, overlay)
    merged.insert(0, "profile", name)
    merged.yaml_set_start_comment(HEAD.format(name=name, digest=_digest(merged)))
    return merged


def load_profile(name: str, folder: Path = FOLDER) -> Params:
    """Return a profile, checked."""
    return check(compose(name, folder), folder / f"{name}.yaml")


def text(name: str, folder: Path = FOLDER) -> str:
    """Return params.yaml as a profile has it."""
    stream = io.StringIO()
    _yaml().dump(compose(name, folder), stream)
    return stream.getvalue()


def write(name: str, path: Path = PARAMS, folder: Path = FOLDER) -> None:
    """Write params.yaml; the profile is checked first."""
    load_profile(name, folder)
    durable.write_text(path, text(name, folder))


def changes(path: Path = PARAMS, folder: Path = FOLDER) -> tuple[str, list[str]]:
    """Return params.yaml's profile, and what was changed by hand since: "train_lora.rank: 32, in the profile 64".

    A profile that has changed meanwhile is no change by hand: params.yaml says what was written.
    """
    own, written = _read(path), WRITTEN.search(path.read_text())
    name = str(own.get("profile", ""))
    if written and written[1] == _digest(own):
        return name, []
    if name not in names(folder):
        return name, [f"profile: {name or 'absent'}, which is none of {', '.join(names(folder))}"]
    return name, list(_differences(own, compose(name, folder), ()))


def _chain(name: str, folder: Path) -> Iterator[CommentedMap]:
    """Yield an overlay, then the one that it starts from, and so on."""
    seen = []
    while name != BASE:
        if name in seen:
            raise ValueError(f"{folder}: {' starts from '.join([*seen, name])}; let one of them start from {BASE}")
        seen.append(name)
        file = folder / f"{name}.yaml"
        if not file.is_file():
            raise ValueError(f"{folder / seen[-2]}.yaml: {FROM}: {name!r} is not one of {', '.join(names(folder))}")
        overlay = _read(file)
        name = str(overlay.pop(FROM, BASE))
        yield overlay


def _merge(into: CommentedMap, overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(into.get(key), Mapping):
            _merge(into[key], value)
        else:
            into.ca.items.pop(key, None)  # what is said of the value that goes
            into[key] = deepcopy(value)
            if comment := overlay.ca.items.get(key) if isinstance(overlay, CommentedMap) else None:
                into.ca.items[key] = deepcopy(comment)


def _differences(own: Any, profile: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(own, Mapping) and isinstance(profile, Mapping):
        for key in [*profile, *(key for key in own if key not in profile)]:
            yield from _differences(own.get(key), profile.get(key), (*path, str(key)))
    elif own != profile:
        yield f"{'.'.join(path)}: {_say(own)}, in the profile {_say(profile)}"


def _say(value: Any) -> str:
    return "absent" if value is None else str(value)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _read(file: Path) -> CommentedMap:
    try:
        return _yaml().load(file.read_text()) or CommentedMap()
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"{file}{f', line {mark.line + 1}' if mark else ''}: is no YAML; mend it") from None


def _first_comment(file: Path) -> str:
    first = file.read_text().partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = LINE_WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
