"""Profiles: profiles/base.yaml, and overlays that hold only what they change; params.yaml is written from them.

An overlay starts from base.yaml, or from the overlay that its key `from` names. A mapping is merged key by key,
anything else replaced; an empty value takes the key out. A hospital's own overlay starts from one of KINDS, whose name
params.yaml keeps as its `profile`: what pages and checks say of a profile, they say of its kind.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.comments import CommentedMap

from mema.params import KINDS, PARAMS, Params, check
from mema.runtime import durable

FOLDER = Path("profiles")
BASE, FROM = "base", "from"
LINE_WIDTH = 200
HEAD = (
    "Profile {name}, written by `mema profile {name}` from profiles/. Values changed here hold until it is written\n"
    "again; to keep them, give them a file of their own there. `open`: the paper leaves it open, the value is ours.\n"
    "Values as written: {digest}"
)
NAMED = re.compile(r"^# Profile ([\w.-]+), written by", re.MULTILINE)
WRITTEN = re.compile(r"^# Values as written: ([0-9a-f]{16})$", re.MULTILINE)
Changes = dict[str, tuple[Any, Any]]  # dotted name -> own value, the profile's


def names(folder: Path = FOLDER) -> dict[str, str]:
    """Return {name: what it is for}, from the first comment of each overlay."""
    files = sorted(file for file in folder.glob("*.yaml") if file.stem != BASE)
    return {file.stem: _first_comment(file) for file in files}


def compose(name: str, folder: Path = FOLDER) -> CommentedMap:
    """Return a profile whole, comments and all; raises ValueError where there is none, or a file is no YAML."""
    if name == BASE or not (folder / f"{name}.yaml").is_file():
        raise ValueError(f"profile: {name!r} is not one of {', '.join(names(folder))} in {folder.resolve()}")
    merged, chain = _read(folder / f"{BASE}.yaml"), list(_chain(name, folder))
    for _, overlay in reversed(chain):
        _merge(merged, overlay)
    kind = next((one for one, _ in chain if one in KINDS), "")
    if not kind:
        raise ValueError(f"{folder / name}.yaml: {FROM}: let it start from one of {', '.join(KINDS)}")
    merged.insert(0, "profile", kind)
    merged.yaml_set_start_comment(HEAD.format(name=name, digest=_digest(merged)))
    return merged


def load_profile(name: str, folder: Path = FOLDER) -> Params:
    """Return a profile, checked, as those read it who have params.yaml."""
    document, file = yaml.safe_load(text(name, folder)), folder / f"{name}.yaml"
    for dotted, (given, read) in differences(compose(name, folder), document).items():
        raise ValueError(
            f"{file}: {dotted}: {given!r} would be read as {read!r}; put it between quotes, or write it plainly"
        )
    return check(document, file)


def text(name: str, folder: Path = FOLDER) -> str:
    """Return params.yaml as a profile has it."""
    stream = io.StringIO()
    _yaml().dump(compose(name, folder), stream)
    return stream.getvalue()


def write(name: str, path: Path = PARAMS, folder: Path = FOLDER) -> None:
    """Write params.yaml; the profile is checked first."""
    load_profile(name, folder)
    durable.write_text(path, text(name, folder))


def written(path: Path = PARAMS) -> str:
    """Return the name of the overlay that params.yaml was written from, "" where it does not say."""
    found = NAMED.search(path.read_text()) if path.exists() else None
    return found[1] if found else ""


def changes(path: Path = PARAMS, folder: Path = FOLDER) -> Changes:
    """Return what was changed in params.yaml by hand since it was written.

    A profile that has changed meanwhile is no change by hand: params.yaml says what was written.
    """
    own, digest = _read(path), WRITTEN.search(path.read_text())
    name = written(path) or str(own.get("profile", ""))
    if digest and digest[1] == _digest(own):
        return {}
    profile = compose(name, folder) if name in names(folder) else CommentedMap()
    return differences(own, profile)


def lost(name: str, path: Path = PARAMS, folder: Path = FOLDER) -> Changes:
    """Return what was changed by hand and would be lost by writing a profile, which may hold the same value."""
    target = differences(_read(path), compose(name, folder))
    return {dotted: pair for dotted, pair in changes(path, folder).items() if dotted in target}


def say(found: Changes) -> list[str]:
    """Return lines like "train_lora.rank: 32, in the profile 64"."""
    shown = {dotted: ["absent" if value is None else value for value in pair] for dotted, pair in found.items()}
    return [f"{dotted}: {own}, in the profile {profile}" for dotted, (own, profile) in shown.items()]


def differences(own: Any, profile: Any, path: tuple[str, ...] = ()) -> Changes:
    """Return where two documents differ, by dotted name."""
    if profile is None and isinstance(own, Mapping):
        profile = {}
    if own is None and isinstance(profile, Mapping):
        own = {}
    if not (isinstance(own, Mapping) and isinstance(profile, Mapping)):
        same = own == profile and isinstance(own, bool) == isinstance(profile, bool)
        return {} if same else {".".join(path): (own, profile)}
    found: Changes = {}
    for key in [*profile, *(key for key in own if key not in profile)]:
        found |= differences(own.get(key), profile.get(key), (*path, str(key)))
    return found


def _chain(name: str, folder: Path) -> Iterator[tuple[str, CommentedMap]]:
    """Yield an overlay, then the one that it starts from, and so on."""
    seen: list[str] = []
    while name != BASE:
        if name in seen:
            raise ValueError(f"{folder}: {' starts from '.join([*seen, name])}; let one of them start from {BASE}")
        file = folder / f"{name}.yaml"
        if not file.is_file():
            raise ValueError(f"{folder / seen[-1]}.yaml: {FROM}: {name!r} is not one of {', '.join(names(folder))}")
        seen.append(name)
        overlay = _read(file)
        yield name, overlay
        name = str(overlay.pop(FROM, None) or BASE)


def _merge(into: CommentedMap, overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if key == FROM:
            continue
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping):
            if not isinstance(into.get(key), Mapping):
                into[key] = CommentedMap()
            _merge(into[key], value)
        else:
            into.ca.items.pop(key, None)  # what is said of the value that goes
            into[key] = deepcopy(value)
        comment = overlay.ca.items.get(key) if isinstance(overlay, CommentedMap) else None
        if comment and value is not None:
            into.ca.items[key] = deepcopy(comment)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _read(file: Path) -> CommentedMap:
    try:
        found = _yaml().load(file.read_text())
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ValueError(f"{file}{f', line {mark.line + 1}' if mark else ''}: is no YAML; mend it") from None
    if not isinstance(found, CommentedMap | None):
        raise ValueError(f"{file}: holds no sections; write `section:` and below it its values")
    return found or CommentedMap()


def _first_comment(file: Path) -> str:
    first = file.read_text().partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _yaml() -> YAML:
    found = YAML()
    found.preserve_quotes = True
    found.width = LINE_WIDTH
    found.indent(mapping=2, sequence=4, offset=2)
    return found
