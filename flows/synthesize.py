"""MeMa from patient photos: learn their signs, sample, screen identities, match the statistics, report."""

from prefect import flow

from flows.steps import bring_up_to_date, publish, run_name, show_results, start
from mema.project import graph


@flow(name="synthesize", flow_run_name=run_name)
def synthesize() -> None:
    """Bring every stage from the photos to the report up to date, in order."""
    for stage in graph.stages("synthesize"):
        bring_up_to_date(stage)
    show_results("synthesize")
    publish()


if __name__ == "__main__":
    start(synthesize)
