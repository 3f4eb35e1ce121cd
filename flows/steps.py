"""What flows are made of: a stage of dvc.yaml as one Prefect task, what is shown of the results, where they go."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import Flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency
from prefect.context import refresh_global_settings_context
from prefect.runtime import flow_run

from flows.workspace import MARK
from mema import params
from mema.project import dvc, graph, prefect_access, process, remotes, versions
from mema.runtime import addresses

LEASE_SECONDS = 60


def start(flow: Flow[[], None]) -> None:
    """Run a flow by hand, known to a server that asks for the login; raises ValueError where one is without TLS."""
    if url := os.environ.get("PREFECT_API_URL", ""):
        addresses.require_private("PREFECT_API_URL", url)
    os.environ |= prefect_access.variables()
    refresh_global_settings_context()
    flow()


def run_name() -> str:
    """Return flow, profile and version of the code, by which a run is told from others."""
    return f"{flow_run.flow_name}-{params.load().profile}-{versions.commit()}"


def was_killed(_task: Any, _run: Any, state: Any) -> bool:
    """Tell whether trying again can help: a killed stage goes on with its finished shards, an error comes again."""
    return isinstance(state.result(raise_on_failure=False), dvc.StageKilled)


@contextmanager
def turn_on_gpu(stage: str) -> Iterator[None]:
    """Hold the GPU of this worker's machine, so that two runs take turns on it; without a worker nobody else asks."""
    machine = os.environ.get("MEMA_GPU")
    if machine and graph.metas()[stage].gpu:
        # strict: without the limit nothing runs. A flow that was killed gives the GPU back when its lease ends,
        # and one whose server is away for longer goes on.
        with concurrency(
            f"gpu:{machine}", strict=True, lease_duration=LEASE_SECONDS, raise_on_lease_renewal_failure=False
        ):
            yield
    else:
        yield


# Whether a stage is up to date is DVC's question alone, hence no cache of Prefect's own.
@task(task_run_name="{stage}", cache_policy=NO_CACHE, retries=1, retry_delay_seconds=10, retry_condition_fn=was_killed)
def bring_up_to_date(stage: str) -> None:
    """Run `dvc repro <stage>`; its lines become the task's log."""
    with turn_on_gpu(stage):
        dvc.reproduce(
            stage, get_run_logger().info, pull=remotes.configured(), timeout_seconds=3600 * graph.metas()[stage].hours
        )


@task(cache_policy=NO_CACHE)
def show_results(flow: str) -> None:
    """Make an artefact of what a flow made, tables and synthetic images; no figure and no image is of a patient."""
    lines: list[str] = []
    process.module("mema.project.summary", flow, log=lines.append)
    create_markdown_artifact(
        "\n".join(lines) or "Nothing has been measured yet.", key=f"results-{flow}", description=run_name()
    )


@task(cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[10, 60, 300])
def publish() -> None:
    """Push what a run made in a worker's workspace to its remotes; commit dvc.lock and metrics on a branch.

    A run in a checkout of somebody's own leaves both to its owner.
    """
    if not Path(".git", MARK).exists():
        return
    log = get_run_logger()
    if remotes.configured():
        remotes.push(log.info)
    else:
        log.warning("no DVC remotes are set up, so the data stay on this machine (docs/operating.md, Remotes)")
    versions.commit_results(f"runs/{flow_run.name}", log.warning)
