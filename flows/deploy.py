"""`make deploy`: tell Prefect's server of the flows of this commit, named after the profile of params.yaml."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from flows.worker import join_server
from mema import params
from mema.project import prefect_access, simulated
from mema.tables import print_table

WITH_LOGIN = f'{prefect_access.CLIENT}="$(cat {prefect_access.FILE.relative_to(prefect_access.FILE.parents[1])})"'


def main() -> None:
    """Deploy all flows of prefect.yaml; what is not committed is not deployed."""
    commit = git("rev-parse", "HEAD")
    if git("status", "--porcelain", "--untracked-files=no"):
        print(f"note: changes that are not committed are not deployed; {commit[:10]} is", file=sys.stderr)
    p = params.load()
    os.environ |= {
        "MEMA_PROFILE": p.profile,
        "MEMA_POLL": str(p.inputs.annotations == simulated.LABEL_STUDIO).lower(),
        "MEMA_COMMIT": commit,
        "MEMA_CHECKOUT": os.getcwd(),
        # a folder here works on this machine alone; workers elsewhere need an address that they reach
        "MEMA_REPOSITORY": os.environ.get("MEMA_REPOSITORY") or os.getcwd(),
    }
    join_server()
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\ndeploy: prefect ended with exit code {done.returncode}")
    print_table(f"Deployed: {commit[:10]}", ("deployment", "pool", "schedule"), list(rows()))
    print(f"\nmake worker POOL=gpu (or cpu) works them off. Run one:\n{WITH_LOGIN} \\")
    print(f"  prefect deployment run pipeline/pipeline-{p.profile}")


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield name, pool and schedule of each deployment of prefect.yaml."""
    polls = os.environ["MEMA_POLL"] == "true"
    for entry in yaml.safe_load(Path("prefect.yaml").read_text())["deployments"]:
        name = entry["name"].replace("{{ $MEMA_PROFILE }}", os.environ["MEMA_PROFILE"])
        every = "; ".join(f"every {item['interval']} s" for item in entry.get("schedules") or ())
        yield name, entry["work_pool"]["name"], every if every and polls else "-"


def git(*arguments: str) -> str:
    """Return git's answer; ends this process where there is none."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"git {arguments[0]}: {done.stderr.strip()}; deploy from a checkout with at least one commit")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
