"""What a person does by hand: `mema doctor`, `status`, `table`, `report`, `profile`, `annotate`, `deid` and others."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mema.ending import FAILED, ending
from mema.hospital.commands import register  # options only, as the next: nothing heavy is imported
from mema.label_studio.commands import app as annotate
from mema.tables import print_table

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # a passphrase or a photo's name may be among them
    help="MeMa: synthetic patient faces that leak no patient.",
)
app.add_typer(annotate, name="annotate")
register(app)
METRICS = Path("data/metrics")
PAGES = {
    "the data set and whom it could show": Path("data/report/index.html"),
    "MeMa as it was read": Path("data/report_readers/index.html"),
    "MedSem-DeID and the benchmark": Path("data/report_benchmark/index.html"),
}
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mema {version('mema')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Stop early, with a remedy, where this is no checkout of the project."""
    if not Path("dvc.yaml").exists():
        raise typer.BadParameter("no dvc.yaml here; run mema in the root of the checkout")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check the machine and the checkout; each line that fails says what to do."""
    from mema.project.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            typer.echo(f"{finding.mark:4}  {finding.what:12} {finding.found}")
            if finding.remedy:
                typer.echo(f"{'':19}-> {finding.remedy}")
    if as_json:
        typer.echo(json.dumps([vars(finding) | {"mark": finding.mark} for finding in findings]))
    if any(finding.mark == "FAIL" for finding in findings):
        raise typer.Exit(FAILED)


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="Which to write; without it, what there is.")] = "",
    force: Annotated[bool, typer.Option(help="Even over values that were changed by hand.")] = False,
) -> None:
    """Write params.yaml from profiles/base.yaml and an overlay; or list the overlays, and what was changed by hand."""
    with ending():
        from mema.params import PARAMS, profiles

        if not name:
            own = profiles.written()
            for other, purpose in profiles.names().items():
                typer.echo(f"{'*' if other == own else ' '} {other:10} {purpose}")
            by_hand = profiles.changes() if PARAMS.exists() else {}
            typer.echo("\n".join(["", f"Changed by hand in {PARAMS}:", *profiles.say(by_hand)] if by_hand else []))
            return
        if PARAMS.exists() and not force and (lost := profiles.lost(name)):
            raise ValueError(
                f"{PARAMS}: holds values of your own, which would be lost:\n  "
                + "\n  ".join(profiles.say(lost))
                + f"\nkeep them in a file profiles/<name>.yaml that begins with `from: {profiles.written() or name}`, "
                "or say --force"
            )
        profiles.write(name)
        typer.echo(f"{PARAMS}: profile {name}. Next: mema doctor")


@app.command()
def benchmark(
    images: Annotated[Path, typer.Option(help="Folder of <image_id>.png or .jpg, de-identified elsewhere.")],
    name: Annotated[str, typer.Option(help="What the rows are to be called: small letters, digits and _.")],
) -> None:
    """Put a folder of de-identified images into the benchmark's tables, beside the built-in methods."""
    os.execv(sys.executable, [sys.executable, "-m", "tasks.deidentify.benchmark", str(images), name])


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show each stage: up to date or why not, and how long it took; then the headline."""
    with ending():
        from mema.project import dvc, graph, headline

        stale = dvc.status()
        timings = {name: headline.read(Path(".scratch/timings") / f"{name}.json") for name in graph.stages()}
        if as_json:
            others = {name: None for name in stale if name not in timings}
            typer.echo(json.dumps({n: {"stale": stale.get(n, []), "took": t} for n, t in (timings | others).items()}))
            return
        for name, timing in timings.items():
            typer.echo(f"{'stale' if name in stale else 'ok':6} {name:22} {_took(timing or {})}".rstrip())
            for reason in stale.get(name, []):
                typer.echo(f"{'':7}{reason}")
        if others := [name for name in stale if name not in timings]:
            typer.echo(f"stale elsewhere: {', '.join(others)}")
        table()


@app.command()
def table() -> None:
    """Print Tables 1 and 2 beside the paper's, Tables 3 and 5 in short, and where the pages are."""
    with ending():
        from mema import params
        from mema.project import headline

        name = params.load().profile
        found = {metric: headline.read(METRICS / f"{metric}.json") for metric in headline.METRICS}
        for title, columns, rows in headline.tables(found):
            print_table(title.format(profile=name), columns, list(rows))
        if leakage := found["leakage"]:
            screened = leakage["screened"]
            typer.echo(f"Screened: {screened['kept']} kept, {screened['rejected']} rejected.")
        if name != "paper":
            typer.echo("The paper has other people and networks: compare the direction, not the digits.")
        _pages()


@app.command()
def report(browser: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False) -> None:
    """Write the start page, six answers and a card for each page; say where they are, and of when."""
    with ending():
        from mema import params
        from mema.project import start_page

        start = start_page.write(params.load().profile)
        typer.echo(f"{'start here':16}  {start.resolve()}")
        there = _pages()
        if browser:
            import webbrowser

            webbrowser.open(start.resolve().as_uri())
        if not there:
            raise typer.Exit(FAILED)


@app.command()
def why(file: Annotated[str, typer.Argument(help="Part of a photo's path; without it, all.")] = "") -> None:
    """Say why a photo was turned away, by an ingest or by `mema deid`: what was found, and what to do."""
    with ending(about_photos=True):
        from mema import params
        from mema.project import why as quarantine

        rows = quarantine.why(file, Path(params.load().deid_files.reports or "."))
        typer.echo("\n".join(row.said() for row in rows) or f"{file or 'everything'}: in no quarantine here")
        if not rows:
            raise typer.Exit(FAILED)


@app.command()
def fetch() -> None:
    """Get the generator, SAM and DINOv2 that params.yaml names from the hub, and check the generator's digests."""
    with ending():
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
    with ending():
        from mema.project import remotes

        remotes.push(typer.echo)


@app.command()
def pull(stage: Annotated[str, typer.Argument(help="A stage; without it everything.")] = "") -> None:
    """Fetch what a stage and those before it made, as this commit names it; `dvc repro` then finds it."""
    with ending():
        from mema.project import remotes

        remotes.pull(stage or None, typer.echo)


def _pages() -> list[Path]:
    """Say which pages there are, and return them."""
    from datetime import datetime

    there = {what: page for what, page in PAGES.items() if page.exists()}
    for what, page in there.items():
        made = datetime.fromtimestamp(page.stat().st_mtime)
        typer.echo(f"{made:%Y-%m-%d %H:%M}  {page.resolve()}  ({what})")
    if not there:
        typer.echo("No report yet: make demo")
    return list(there.values())


def _took(timing: dict[str, float]) -> str:
    seconds, images = timing.get("seconds", 0.0), timing.get("images") or 0
    if not seconds:
        return ""
    return f"{seconds:7.1f} s" + (f" {images / seconds:9.1f} images/s" if images else "")


if __name__ == "__main__":
    app()
