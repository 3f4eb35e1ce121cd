"""Everything there is, in order: for a schedule, or for a GPU machine's night."""

from prefect import flow
from prefect.deployments import run_deployment

from flows.annotate import LABEL_STUDIO, annotate
from flows.deidentify import deidentify
from flows.steps import run_name, start
from flows.synthesize import synthesize
from mema import params


@flow(name="pipeline", flow_run_name=run_name)
def pipeline() -> None:
    """Synthesise MeMa, have it read, train and compare de-identifiers; clinicians read in a run of its own.

    A flow that waits for people suspends itself, which a flow inside another cannot; after it, run deidentify.
    """
    synthesize()
    profile = params.load()
    if profile.inputs.annotations == LABEL_STUDIO:
        run_deployment(f"annotate/annotate-{profile.profile}", timeout=0, as_subflow=False)
    else:
        annotate()
        deidentify()


if __name__ == "__main__":
    start(pipeline)
