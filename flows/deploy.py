"""`make deploy`: tell Prefect's server of the flows of this commit, named after the profile of params.yaml."""

import os
import subprocess
import sys

from flows.worker import join_server, prefect
from mema import params
from mema.project import prefect_access

WITH_LOGIN = f'{prefect_access.CLIENT}="$(cat {prefect_access.FILE.relative_to(prefect_access.FILE.parents[1])})"'


def main() -> None:
    """Deploy all flows of prefect.yaml; what is not committed is not deployed."""
    commit = git("rev-parse", "HEAD")
    if git("status", "--porcelain", "--untracked-files=no"):
        print(f"note: changes that are not committed are not deployed; {commit[:10]} is", file=sys.stderr)
    profile = params.load().profile
    os.environ |= {
        "MEMA_PROFILE": profile,
        "MEMA_COMMIT": commit,
        "MEMA_CHECKOUT": os.getcwd(),
        # a folder here works on this machine alone; workers elsewhere need an address that they reach
        "MEMA_REPOSITORY": os.environ.get("MEMA_REPOSITORY") or os.getcwd(),
    }
    join_server()
    if code := prefect("deploy", "--all"):
        sys.exit(code)
    print(f"run it: {WITH_LOGIN} prefect deployment run pipeline/{profile}")


def git(*arguments: str) -> str:
    """Return git's answer; ends this process where there is none."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"git {arguments[0]}: {done.stderr.strip()}; deploy from a checkout with at least one commit")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
