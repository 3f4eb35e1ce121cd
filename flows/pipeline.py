"""Everything there is, in order: for a schedule, or for a GPU machine's night."""

from prefect import flow

from flows.synthesize import synthesize


@flow(name="pipeline")
def pipeline() -> None:
    """Synthesise MeMa."""
    synthesize()


if __name__ == "__main__":
    pipeline()
