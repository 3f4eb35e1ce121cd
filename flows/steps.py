"""What flows are made of: a stage of dvc.yaml as one Prefect task."""

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from tasks import dvc


# Whether a stage is up to date is DVC's question alone, hence no cache of Prefect's own.
@task(task_run_name="{stage}", cache_policy=NO_CACHE)
def bring_up_to_date(stage: str) -> None:
    """Run `dvc repro <stage>`; its lines become the task's log."""
    dvc.reproduce(stage, get_run_logger().info)
