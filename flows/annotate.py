"""Clinicians' work as a flow: push, wait for days without holding a worker, pull, adjudicate, make MeMa of it.

The flow suspends itself while readers read. `annotate-poll`, on a schedule and woken by Label Studio's
webhook, resumes it. A resumed run starts over from the top: every step before is idempotent.
"""

import time

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.flow_runs import resume_flow_run, suspend_flow_run
from prefect.runtime import deployment, flow_run

from flows.steps import bring_up_to_date, publish, run_name, start
from mema import params
from mema.project import graph, process, waiting
from mema.project.simulated import LABEL_STUDIO, warnings

WATCH_SECONDS = 60


@task(task_run_name="{command}", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[10, 60])
def label_studio(command: str) -> None:
    """Run `mema annotate <command>`, which may be repeated after a fault."""
    process.module("mema.cli", "annotate", command, log=get_run_logger().info)


@flow(name="annotate", flow_run_name=run_name)
def annotate() -> None:
    """Bring the readers' data set up to date; with simulated readers, their stages alone."""
    metas = graph.metas()
    stages = graph.stages("annotate")
    for stage in (stage for stage in stages if metas[stage].before_readers):
        bring_up_to_date(stage)
    annotations = params.load().inputs.annotations
    if annotations != LABEL_STUDIO:
        for line in warnings(annotations):
            get_run_logger().warning(line)
    else:
        label_studio("push")
        wait_for("reading")
        label_studio("pull")
        label_studio("adjudicate")
        wait_for("adjudication")
        label_studio("pull")
    for stage in (stage for stage in stages if not metas[stage].before_readers):
        bring_up_to_date(stage)
    publish()


def wait_for(round_name: str) -> None:
    """Return once no reader of a round has an open task; until then suspend, or watch where nobody resumes."""
    while left := waiting.open_tasks(round_name):
        get_run_logger().info("%s: %d tasks are open; mema annotate status tells whose", round_name, left)
        if deployment.id is None:
            time.sleep(WATCH_SECONDS)
        else:  # a key serves once, so that a run resumed too early suspends again
            suspend_flow_run(key=f"{round_name}-{flow_run.run_count}")


@flow(name="annotate-poll")
def poll() -> None:
    """Resume the suspended runs of `annotate` when every task that was pushed is closed."""
    if params.load().inputs.annotations != LABEL_STUDIO:
        return  # simulated readers wait for nobody
    left = waiting.open_tasks()
    if left:
        get_run_logger().info("%d tasks are open", left)
        return
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["annotate"])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Suspended"]))),
        )
    for run in runs:
        resume_flow_run(run.id)
        get_run_logger().info("%s goes on", run.name)


if __name__ == "__main__":
    start(annotate)
