"""What a person does by hand: `mema doctor`, `status`, `table`, `push`, `pull`, `benchmark`, `deid` and others."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from mema.hospital.commands import register  # options only: nothing heavy is imported

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # a passphrase or a photo's name may be among them
    help="MeMa: synthetic patient faces that leak no patient.",
)
annotate = typer.Typer(no_args_is_help=True, help="The clinicians' work in Label Studio.")
app.add_typer(annotate, name="annotate")
register(app)
METRICS = Path("data/metrics")
REPORT = Path("data/report/index.html")
BENCHMARK = Path("data/report_benchmark/index.html")


@app.callback()
def main() -> None:
    """Stop early, with a remedy, where this is no checkout of the project."""
    if not Path("dvc.yaml").exists():
        raise typer.BadParameter("no dvc.yaml here; run mema in the root of the checkout")


@app.command()
def doctor() -> None:
    """Check the machine and the checkout; each line that fails says what to do."""
    from mema.project.doctor import examine

    failed = False
    for finding in examine():
        mark = "ok  " if not finding.remedy else "FAIL" if finding.fatal else "note"
        typer.echo(f"{mark}  {finding.what:12} {finding.found}")
        if finding.remedy:
            typer.echo(f"{'':19}-> {finding.remedy}")
        failed |= mark == "FAIL"
    raise typer.Exit(int(failed))


@app.command()
def benchmark(
    images: Annotated[Path, typer.Option(help="folder of <image_id>.png or .jpg, de-identified elsewhere")],
    name: Annotated[str, typer.Option(help="what the rows are to be called: small letters, digits and _")],
) -> None:
    """Put a folder of de-identified images into the benchmark's tables, beside the built-in methods."""
    command = [sys.executable, "-m", "tasks.deidentify.benchmark", str(images), name]
    os.execv(sys.executable, command)


@app.command()
def status() -> None:
    """Show each stage: up to date or why not, and how long it took; then the headline."""
    from mema.project import dvc, graph, headline

    stale = dvc.status()
    for stage in graph.stages():
        timing = headline.read(Path(".scratch/timings") / f"{stage}.json")
        took = _took(timing) if timing else ""
        typer.echo(f"{'stale' if stage in stale else 'ok':6} {stage:22} {took}".rstrip())
        for reason in stale.get(stage, []):
            typer.echo(f"{'':7}{reason}")
    others = [stage for stage in stale if stage not in graph.stages()]
    if others:
        typer.echo(f"stale elsewhere: {', '.join(others)}")
    table()


@app.command()
def table() -> None:
    """Print Tables 1 and 2 beside the paper's, Tables 3 and 5 in short, and where the reports are."""
    from mema import params
    from mema.project import headline

    profile = params.load().profile
    leakage, distribution = (headline.read(METRICS / f"{name}.json") for name in ("leakage", "distribution"))
    if leakage:
        columns = ("recogniser", *headline.ARMS, "paper direct", "paper injected")
        _print(
            f"Table 1, profile {profile}: share recognised as a patient [95 %]",
            columns,
            headline.leakage_rows(leakage),
        )
        kept, rejected = leakage["screened"]["kept"], leakage["screened"]["rejected"]
        typer.echo(f"Screened: {kept} kept, {rejected} rejected.")
    if distribution:
        columns = ("attribute", "random", "guided", "paper random", "paper guided")
        _print(
            f"Table 2, profile {profile}: distance to the patients",
            columns,
            headline.distance_rows(distribution),
        )
    medical, identity = (headline.read(METRICS / f"{name}.json") for name in ("medical", "identity"))
    if medical and identity:
        columns = ("method", "Med-Class", *(f"ID-Dis {name}" for name in headline.distance_columns(identity)))
        _print(
            f"Tables 3 and 5, profile {profile}: signs kept, identity lost (the others: {BENCHMARK})",
            columns,
            headline.method_rows(medical, identity),
        )
    if profile != "paper":
        typer.echo(
            "The paper measured other people with other networks: compare the direction, not the digits."
        )
    typer.echo(f"Report: {REPORT.resolve()}" if REPORT.exists() else "No report yet: make demo")


@annotate.command("status")
def annotate_status() -> None:
    """Show how far each reader is, when he will be through, and how far the readers agree so far."""
    from mema import params
    from mema.label_studio.exchange.agreement import agreement_so_far, describe
    from mema.label_studio.exchange.manifest import read_manifest
    from mema.label_studio.exchange.progress import progress
    from mema.label_studio.server.access import target_here
    from mema.project import simulated

    out = Path(simulated.LABEL_STUDIO)
    for line in simulated.warnings(params.load().inputs.annotations):
        typer.echo(f"note: {line}", err=True)
    try:
        target = target_here()
        states = progress(read_manifest(out), target)
        columns = ("reader", "round", "done", "skipped", "deleted", "open", "a day", "through")
        rows = [
            (
                *(state.name, state.round),
                *(str(n) for n in (state.done, state.skipped, state.missing, state.open)),
                f"{state.per_day:.1f}",
                f"{state.expected_finish:%Y-%m-%d}" if state.expected_finish else "-",
            )
            for state in states
        ]
        _print("Readers", columns, rows)
        typer.echo(describe(dict(agreement_so_far(out, Path("data/selected"), target))))
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@app.command()
def fetch() -> None:
    """Get the generator, SAM and DINOv2 that params.yaml names from the hub, and check the generator's digests."""
    from mema import params
    from mema.project.fetch import fetch as get
    from mema.project.fetch import fetch_folder

    p = params.load()
    get(p.generator)
    fetch_folder(p.prelabel.hub, p.prelabel.sam)
    fetch_folder(p.train_judges.hub, p.train_judges.dinov2)
    typer.echo(f"{p.generator.path} and {p.generator.ip_adapter} are in place")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def repro(context: typer.Context) -> None:
    """Put right what a killed DVC left half-written, then become `dvc repro` with the same arguments."""
    from mema.project import mending
    from mema.runtime import logs

    logs.configure()
    mending.become("repro", *context.args)


@app.command()
def push() -> None:
    """Send results to the remotes, patients' first; fails before anything leaves unless both are set up."""
    from mema.project import remotes

    _or_exit(lambda: remotes.push(typer.echo))


@app.command()
def pull(stage: Annotated[str, typer.Argument(help="a stage; without it everything")] = "") -> None:
    """Fetch what a stage and those before it made, as this commit names it; `dvc repro` then finds it."""
    from mema.project import remotes

    _or_exit(lambda: remotes.pull(stage or None, typer.echo))


def _or_exit(act: Callable[[], None]) -> None:
    """Act; what a person can mend is one line and no traceback."""
    try:
        act()
    except (RuntimeError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _took(timing: dict[str, float]) -> str:
    seconds, images = timing.get("seconds", 0.0), timing.get("images") or 0
    return f"{seconds:7.1f} s" + (f" {images / seconds:9.1f} images/s" if images and seconds else "")


def _print(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    grid = Table(*columns, title=title, title_justify="left")
    for row in rows:
        grid.add_row(*row)
    Console().print(grid)


if __name__ == "__main__":
    app()
