"""The server's own virtual environment: its pins contradict Prefect's, so it cannot share ours."""

import hashlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

from mema.label_studio.server.places import Places
from mema.runtime import durable

CONSTRAINTS = Path(__file__).parents[3] / "constraints-label-studio.txt"


def ensure(places: Places) -> Path:
    """Return the environment's `bin` folder; made, or brought to the present pins, where it is not.

    PIP_FLAGS holds further options for pip. Takes a minute or two the first time.
    """
    bin_folder, stamp = places.venv / "bin", places.venv / ".installed"
    pins = hashlib.sha256(CONSTRAINTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == pins:
        return bin_folder
    if os.environ.get("MEMA_LABEL_STUDIO_VENV") and (bin_folder / "label-studio").exists():
        return bin_folder
    print(f"Installing Label Studio in {places.venv} ...", flush=True)
    python = bin_folder / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", places.venv], check=True, env=clean())
    flags = shlex.split(os.environ.get("PIP_FLAGS", ""))
    install = [python, "-m", "pip", "install", *flags, "--constraint", CONSTRAINTS, "label-studio"]
    if subprocess.run(install, check=False, env=clean()).returncode:
        raise ValueError(f"{places.venv}: pip failed, see above; mend it and call make label-studio again")
    durable.write_text(stamp, pins)
    return bin_folder


def clean() -> dict[str, str]:
    """The caller's variables without those that would lead another Python to our modules."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in hidden}
