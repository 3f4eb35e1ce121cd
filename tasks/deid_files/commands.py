"""`mema deid`, `mema restore`, `mema rekey` and `mema audit verify`: their options, and nothing heavy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

audit_app = typer.Typer(no_args_is_help=True, help="The log of who de-identified and restored what.")
KeyFile = Annotated[Path | None, typer.Option(help="File with the passphrase; else it is asked for.")]
Model = Annotated[Path | None, typer.Option(help="Folder of the de-identifier; else as in params.yaml.")]
Why = Annotated[str, typer.Option(help="What the audit log shall say of the reason.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `mema`."""
    app.command()(deid)
    app.command()(restore)
    app.command()(rekey)
    app.add_typer(audit_app, name="audit")


def deid(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A photo, or a folder of photos.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The PNG, or the folder, to write.")],
    key_file: KeyFile = None,
    aligned: Annotated[bool, typer.Option(help="The pictures are aligned faces, as those of MeMa.")] = False,
    keep_original: Annotated[bool, typer.Option(help="Seal the photo's file too, for --exact.")] = False,
    rehearse: Annotated[
        bool, typer.Option(help="On photographs, with a model of drawn faces, which hides nobody.")
    ] = False,
    model: Model = None,
    why: Why = "",
    expect_faces: Annotated[
        int | None, typer.Option(min=1, help="Turn away a photo on which another number is found.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Only report what would be done; OUT stays as it is.")] = False,
) -> None:
    """Replace every face by nobody's, which shows the same disease; seal beside it what brings it back."""
    with _told():
        from tasks.deid_files.deid import Deid
        from tasks.deid_files.keys import read_passphrase
        from tasks.deid_files.outcome import conclude, run_jobs
        from tasks.deid_files.places import QUARANTINE, photo_jobs, zone
        from tasks.deid_files.report import Report
        from tasks.deid_files.settings import Network, load_eyes, load_settings

        settings = load_settings()
        jobs = photo_jobs(source, out)
        network = Network(model or Path(settings.model), rehearse)
        eyes = load_eyes(settings, network, aligned)
        report = Report(zone(settings.reports, "deid", source, out), rehearsed=dry_run)
        passphrase = None if dry_run else read_passphrase(key_file, settings.kdf, confirm=True)
        work = Deid(settings, network, eyes, passphrase, keep_original, why, report, expect_faces)
        results = run_jobs(jobs, work, "deid")
        report.close()
        typer.echo(f"each photo's account: {report.folder}")
        raise typer.Exit(conclude(results, "de-identified", out / QUARANTINE if source.is_dir() else None))


def restore(
    source: Annotated[Path, typer.Argument(metavar="OUT", help="What `mema deid` wrote: picture or folder.")],
    original: Annotated[Path, typer.Argument(metavar="ORIGINAL", help="The photo, or folder, to write.")],
    key_file: KeyFile = None,
    why: Why = "",
    exact: Annotated[bool, typer.Option(help="The sealed file itself, if it was kept.")] = False,
    allow_changed: Annotated[bool, typer.Option(help="Even if the picture was edited since.")] = False,
    model: Model = None,
) -> None:
    """Give the photo back, and write to the audit log who wanted it and why."""
    with _told():
        from tasks.deid_files.keys import read_passphrase
        from tasks.deid_files.outcome import conclude, run_jobs
        from tasks.deid_files.places import QUARANTINE, picture_jobs
        from tasks.deid_files.restore import Restore
        from tasks.deid_files.settings import Network, load_settings

        settings = load_settings()
        jobs = picture_jobs(source, original, exact)
        why = why or _ask_why()
        passphrase = read_passphrase(key_file, settings.kdf)
        work = Restore(
            Network(model or Path(settings.model)), passphrase, Path(settings.audit_log), why,
            exact=exact, allow_changed=allow_changed, one=not source.is_dir(),
        )  # fmt: skip
        raise typer.Exit(
            conclude(
                run_jobs(jobs, work, "restore"),
                "restored",
                original / QUARANTINE if source.is_dir() else None,
            )
        )


def rekey(
    place: Annotated[Path, typer.Argument(metavar="OUT", help="A de-identified picture, or a folder.")],
    key_file: KeyFile = None,
    new_key_file: Annotated[Path | None, typer.Option(help="File with the new passphrase.")] = None,
    why: Why = "",
) -> None:
    """Change the passphrase of side-cars; the pictures stay as they are."""
    with _told():
        from tasks.deid_files.keys import read_passphrase
        from tasks.deid_files.outcome import conclude, run_jobs
        from tasks.deid_files.places import QUARANTINE, Job, sidecars
        from tasks.deid_files.rekey import Rekey
        from tasks.deid_files.settings import load_settings

        settings = load_settings()
        jobs = [Job(path.name, path, path) for path in sidecars(place)]
        old = read_passphrase(key_file, settings.kdf, "Present passphrase")
        new = read_passphrase(new_key_file, settings.kdf, "New passphrase", confirm=True)
        work = Rekey(old, new, Path(settings.audit_log), why)
        raise typer.Exit(
            conclude(
                run_jobs(jobs, work, "rekey"),
                "rekeyed",
                place / f"rekey-{QUARANTINE}" if place.is_dir() else None,
            )
        )


@audit_app.command("verify")
def audit_verify(
    log: Annotated[Path | None, typer.Argument(help="The log; else as in params.yaml.")] = None,
    head: Annotated[str, typer.Option(help="NUMBER:HASH, as an earlier verify printed it.")] = "",
) -> None:
    """Check that no line of the log was changed, removed or moved; print its head, to be noted elsewhere."""
    with _told():
        from models.deid.audit import parse_head, verify
        from tasks.deid_files.settings import load_settings

        found = verify(log or Path(load_settings().audit_log), parse_head(head) if head else None)
        typer.echo(f"{found.seq} lines, the chain holds; head {found}")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a user can mend into one line and exit code 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


def _ask_why() -> str:
    import sys

    return typer.prompt("Why (for the audit log)") if sys.stdin.isatty() else "not stated"
