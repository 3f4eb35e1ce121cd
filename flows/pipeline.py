"""Everything there is, in order: for a schedule, or for a GPU machine's night."""

from prefect import flow
from prefect.deployments import run_deployment

from flows.annotate import LABEL_STUDIO, annotate
from flows.synthesize import synthesize
from tasks import params


@flow(name="pipeline")
def pipeline() -> None:
    """Synthesise MeMa and have it read: by simulated readers here and now, by clinicians in a run of its own.

    A flow that waits for people suspends itself, which a flow inside another cannot.
    """
    synthesize()
    if params.load().inputs.annotations == LABEL_STUDIO:
        run_deployment("annotate/annotate", timeout=0, as_subflow=False)
    else:
        annotate()


if __name__ == "__main__":
    pipeline()
