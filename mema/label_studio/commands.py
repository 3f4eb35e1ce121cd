"""`mema annotate ...`: the clinicians' work in Label Studio. Options alone; the heavy part is imported on use."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mema.ending import FAILED, ending
from mema.tables import print_table

app = typer.Typer(no_args_is_help=True, help="The clinicians' work in Label Studio.")

Root = Annotated[Path, typer.Option(help="Label Studio's folder.")]
Out = Annotated[Path, typer.Option(help="Folder of the manifest and the exports.")]
Selected = Annotated[Path, typer.Option(help="Shards of the images to read.")]
Subset = Annotated[Path, typer.Option(help="Table of prelabel: where a tumour is to be outlined.")]
Kept = Annotated[Path, typer.Option(help="Where spare pictures are, for the instructions.")]
Sam = Annotated[bool, typer.Option(help="Register the SAM backend of MEMA_SAM_PORT.")]
Examples = Annotated[Path, typer.Option(help="Folder of <disease>.png for the instructions.")]
ROOT, OUT, SELECTED = Path(".label_studio"), Path("data/label_studio"), Path("data/selected")
SUBSET, KEPT, EXAMPLES = Path("data/prelabel/subset.parquet"), Path("data/screened/kept"), ROOT / "examples"
PORT, SAM_PORT = 8080, 9090


@app.command()
def start(
    host: Annotated[str, typer.Option(envvar="LABEL_STUDIO_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="LABEL_STUDIO_PORT", min=1, max=65535)] = PORT,
    sam: Annotated[bool, typer.Option(help="Start the SAM backend too.")] = True,
    sam_port: Annotated[int, typer.Option(envvar="MEMA_SAM_PORT", min=1, max=65535)] = SAM_PORT,
    root: Root = ROOT,
) -> None:
    """Start the server, make the readers' accounts, start the SAM backend; what runs already stays."""
    with ending():
        from mema import params
        from mema.label_studio.server import server
        from mema.label_studio.server.places import Places
        from mema.project import simulated

        p, places = params.load(), Places(root)
        names = [*p.annotate.readers, p.annotate.senior]
        accounts = server.start(places, names, host=host, port=port, sam_port=sam_port, sam=sam)
        if not sam:
            typer.echo("backend: left out (--no-sam): clicks give no mask, push with --no-sam")
        typer.echo(f"\nReaders open {os.environ.get('LABEL_STUDIO_URL') or accounts.url} and log in:")
        for name in names:
            typer.echo(f"  {name:12} {accounts.readers[name].email}")
        typer.echo(f"Passwords: {places.accounts}, readable by you alone; tell each reader his own.")
        typer.echo("Next: mema annotate push gives every reader his images.")
        if p.inputs.annotations != simulated.LABEL_STUDIO:
            typer.echo("\n".join(simulated.warnings(p.inputs.annotations, root)))


@app.command()
def stop(root: Root = ROOT) -> None:
    """End server and backend; what the readers submitted stays."""
    with ending():
        from mema.label_studio.server import server
        from mema.label_studio.server.places import Places

        ended = server.stop(Places(root))
        typer.echo(f"stopped: {', '.join(ended)}" if ended else "nothing was running")


@app.command()
def push(
    selected: Selected = SELECTED,
    subset: Subset = SUBSET,
    kept: Kept = KEPT,
    examples: Examples = EXAMPLES,
    out: Out = OUT,
    root: Root = ROOT,
    sam: Sam = True,
) -> None:
    """Give every reader his images, as params.yaml's section annotate says; repeating it adds what is missing."""
    with ending():
        from mema import params
        from mema.label_studio.exchange import push as exchange
        from mema.label_studio.server.access import target_here

        section, target = params.load().annotate, target_here(root, sam=sam)
        shown = exchange.read_examples(examples, kept, selected)
        manifest = exchange.push(selected, subset, out, section, target, shown)
        for name, reader in manifest.readers.items():
            where = f"{target.url}/projects/{reader.project}/data?labeling=1"
            typer.echo(f"{name}: {len(reader.tasks)} tasks at {where}")
        _warn(root, out)


@app.command()
def adjudicate(
    selected: Selected = SELECTED,
    subset: Subset = SUBSET,
    kept: Kept = KEPT,
    examples: Examples = EXAMPLES,
    out: Out = OUT,
    root: Root = ROOT,
    ids: Annotated[
        Path | None, typer.Option(help="File of image ids, one a line; else what the readers do not agree on.")
    ] = None,
    sam: Sam = True,
) -> None:
    """Give the senior what the readers do not agree on, from the last pull; repeating it adds what is missing."""
    with ending():
        from mema import params
        from mema.label_studio.exchange import push as exchange
        from mema.label_studio.server.access import target_here
        from models.annotation.votes import disagreements

        section = params.load().annotate
        wanted = disagreements(out, selected) if ids is None else ids.read_text().split()
        if not wanted:
            none = "The readers agree on every image" if ids is None else f"{ids} names no image"
            typer.echo(f"{none}: nothing for the senior.")
            return
        shown = exchange.read_examples(examples, kept, selected)
        manifest = exchange.push_adjudication(wanted, selected, subset, out, section, target_here(root, sam=sam), shown)
        typer.echo(f"{section.senior}: {len(manifest.readers[section.senior].tasks)} tasks")


@app.command()
def pull(
    out: Out = OUT,
    root: Root = ROOT,
    fewer: Annotated[bool, typer.Option(help="Overwrite answers that are no longer on the server.")] = False,
    add: Annotated[bool, typer.Option(help="dvc add the folder, for the remote `restricted`.")] = True,
) -> None:
    """Fetch what the readers said so far; they may go on working meanwhile."""
    with ending():
        from mema.label_studio.exchange import pull as exchange
        from mema.label_studio.server.access import target_here

        for name, counts in exchange.pull(out, target_here(root), fewer=fewer).items():
            typer.echo(f"{name}: {', '.join(f'{count} {state}' for state, count in vars(counts).items())}")
        if add:
            typer.echo(f"{exchange.version(out)} names what was pulled; commit it")
        _warn(root, out)


@app.command()
def status(
    out: Out = OUT,
    root: Root = ROOT,
    selected: Selected = SELECTED,
    agreement: Annotated[bool, typer.Option(help="Say how far the readers agree so far.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for programs.")] = False,
) -> None:
    """Show what runs, how far each reader is and will be through when, and how far they agree."""
    with ending():
        from mema.label_studio.exchange.agreement import agreement_so_far, describe
        from mema.label_studio.exchange.client import check_version
        from mema.label_studio.exchange.manifest import read_manifest
        from mema.label_studio.exchange.progress import progress
        from mema.label_studio.server import processes
        from mema.label_studio.server.access import target_here
        from mema.label_studio.server.places import Places

        _warn(root, out)
        target, places = target_here(root), Places(root)
        for name in () if as_json else ("server", "backend"):
            typer.echo(f"{name:8} {processes.address(places, name) or 'not started from here'}")
        check_version(target.url)
        states = progress(read_manifest(out), target)
        if as_json:
            typer.echo(json.dumps([asdict(state) | {"open": state.open} for state in states], default=str))
            return
        columns = ("reader", "round", "tasks", "done", "skipped", "deleted", "open", "a day", "through")
        counts = [(s.total, s.done, s.skipped, s.missing, s.open) for s in states]
        rows = [
            (
                *(state.name, state.round, *map(str, count)),
                "-" if state.per_day is None else f"{state.per_day:.1f}",
                f"{state.expected_finish:%Y-%m-%d}" if state.expected_finish else "-",
            )
            for state, count in zip(states, counts, strict=True)
        ]
        print_table("Readers", columns, rows)
        if agreement:
            typer.echo(describe(dict(agreement_so_far(out, selected, target))))
        if not states:
            raise typer.Exit(FAILED)


def _warn(root: Path, out: Path) -> None:
    """Say where simulated readers stand in, or what people said goes nowhere."""
    from mema import params
    from mema.project import simulated

    for line in simulated.warnings(params.load().inputs.annotations, root, out):
        typer.echo(f"note: {line}", err=True)
