"""MedSem-DeID from MeMa: the medical encoder, the de-identifier, every method, Tables 3 to 10, and their page."""

from prefect import flow

from flows.steps import bring_up_to_date, publish, run_name, show_results, start
from mema.project import graph


@flow(name="deidentify", flow_run_name=run_name)
def deidentify() -> None:
    """Bring every stage from MeMa to the benchmark's page up to date, in order."""
    for stage in graph.stages("deidentify"):
        bring_up_to_date(stage)
    show_results("deidentify")
    publish()


if __name__ == "__main__":
    start(deidentify)
