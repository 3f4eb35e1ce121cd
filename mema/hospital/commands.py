"""`mema deid`, `restore`, `rekey`, `key new`, `audit verify` and `audit rotate`: their options, nothing heavy."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mema.ending import ending

if TYPE_CHECKING:
    from mema.hospital.audit.trail import Trail
    from mema.hospital.places import Job, Todo

audit_app = typer.Typer(no_args_is_help=True, help="The log of who de-identified and restored what.")
key_app = typer.Typer(no_args_is_help=True, help="Files with a passphrase.")
KeyFile = Annotated[Path | None, typer.Option(help="File with the passphrase; else it is asked for.")]
Model = Annotated[Path | None, typer.Option(help="Folder of the de-identifier; else as in params.yaml.")]
Why = Annotated[str, typer.Option(help="What the audit log shall say of the reason.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `mema`."""
    app.command()(deid)
    app.command()(restore)
    app.command()(rekey)
    app.add_typer(key_app, name="key")
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
    with ending(about_photos=True):
        from mema.hospital.audit.trail import Trail
        from mema.hospital.deid import Deid
        from mema.hospital.keys import read_passphrase
        from mema.hospital.outcome import conclude, run_jobs
        from mema.hospital.places import halves, leaving, photo_jobs, refuse_within, zone
        from mema.hospital.report import Report
        from mema.hospital.settings import Network, load_eyes, load_settings

        settings = load_settings()
        todo = photo_jobs(source, out)
        whole, leaves = source.is_dir(), leaving(source, out)
        if leaves:
            refuse_within(leaves, {"--key-file": key_file, **settings.logs})
        folder = zone(settings.reports, "deid", source, leaves)
        network = Network(model or Path(settings.model), rehearse)
        _ = network.sha256  # a missing model is told before anything is asked
        eyes = load_eyes(settings, network, aligned)
        passphrase = None if dry_run else read_passphrase(key_file, settings.kdf, new=True)
        trail = Trail.of(settings.audit_log, settings.audit_second, why)
        report = Report(folder, todo.refused, dry_run)
        work = Deid(settings, network, eyes, passphrase, keep_original, trail, report, expect_faces)
        with report:
            if dry_run:
                found = run_jobs(todo, work, "deid_dry_run", trail)
                raise typer.Exit(conclude(found, "would be de-identified", folder if whole else None))
            root = out if whole else todo.jobs[0].root
            run = _Run("deid", "de-identified", root, folder if whole else None, lambda: halves(out) if whole else [])
            raise typer.Exit(run(todo, work, trail))


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
    with ending(about_photos=True):
        from mema.hospital.audit.trail import Trail
        from mema.hospital.keys import read_passphrase
        from mema.hospital.places import picture_jobs, zone
        from mema.hospital.restore import Restore
        from mema.hospital.settings import Network, load_settings

        settings = load_settings()
        todo = picture_jobs(source, original, exact)
        folder = zone(settings.reports, "restore", original, source)
        whole = source.is_dir()
        passphrase = read_passphrase(key_file, settings.kdf)
        trail = Trail.of(settings.audit_log, settings.audit_second, why or _ask_why())
        network = Network(model or Path(settings.model))
        work = Restore(network, passphrase, trail, exact, allow_changed, one=not whole)
        run = _Run("restore", "restored", original if whole else todo.jobs[0].root, folder if whole else None)
        raise typer.Exit(run(todo, work, trail))


def rekey(
    place: Annotated[Path, typer.Argument(metavar="OUT", help="A de-identified picture, or a folder.")],
    key_file: KeyFile = None,
    new_key_file: Annotated[Path | None, typer.Option(help="File with the new passphrase.")] = None,
    why: Why = "",
) -> None:
    """Change the passphrase of side-cars; the pictures stay as they are."""
    with ending(about_photos=True):
        from mema.hospital.audit.trail import Trail
        from mema.hospital.keys import read_passphrase
        from mema.hospital.places import refuse_within, sidecar_jobs, zone
        from mema.hospital.rekey import Rekey
        from mema.hospital.settings import load_settings

        settings = load_settings()
        whole = place.is_dir()
        todo = sidecar_jobs(place)
        if whole:
            refuse_within(place, {"--new-key-file": new_key_file, **settings.logs})
        folder = zone(settings.reports, "rekey", place, place if whole else None)
        old = read_passphrase(key_file, settings.kdf, "Present passphrase")
        new = read_passphrase(new_key_file, settings.kdf, "New passphrase", new=True)
        if new.text == old.text:
            raise ValueError("new passphrase: is the present one; name another")
        trail = Trail.of(settings.audit_log, settings.audit_second, why)
        run = _Run("rekey", "rekeyed", place if whole else place.parent, folder if whole else None)
        raise typer.Exit(run(todo, Rekey(old, new, trail), trail))


@key_app.command("new")
def key_new(file: Annotated[Path, typer.Argument(help="The file to write; it must not be there.")]) -> None:
    """Make a strong passphrase, in a file that only its owner reads."""
    with ending(about_photos=True):
        from mema.hospital.keys import make_key_file

        make_key_file(file)
        typer.echo(f"{file}: made. Back it up apart from the photos now: without it none of them comes back")


@audit_app.command("verify")
def audit_verify(
    log: Annotated[Path | None, typer.Argument(help="The log; else as in params.yaml.")] = None,
    head: Annotated[str, typer.Option(help="NUMBER:HASH, as an earlier verify printed it.")] = "",
) -> None:
    """Check that no line of the log was changed, removed or moved; print its head, to be noted elsewhere."""
    with ending(about_photos=True):
        from mema.hospital.audit.log import Sink, parse_head, verify
        from mema.hospital.settings import load_settings

        settings = None if log else load_settings()
        second = Sink(settings.audit_second).file if settings else None
        path = log or Path(settings.audit_log if settings else "")
        found = verify(path, parse_head(head) if head else None, second)
        if not (head or second):
            typer.echo(
                "unanchored: whoever may write the log could have written all of it anew; say --head=NUMBER:HASH as "
                "an earlier verify printed it, or set deid_files.audit_second",
                err=True,
            )
        holds = "the chain holds" if head or second else "unanchored"
        typer.echo(f"{found.seq} lines, {holds}; head {found}")


@audit_app.command("rotate")
def audit_rotate(why: Why = "") -> None:
    """Put the log's file aside under a number; the chain goes on in a new one, and verify follows both."""
    with ending(about_photos=True):
        from mema.hospital.audit.log import Log, Sink
        from mema.hospital.settings import load_settings

        settings = load_settings()
        aside = Log(Path(settings.audit_log), Sink(settings.audit_second)).rotate(why)
        typer.echo(f"put aside as {aside}; it belongs to the chain: keep it there")


@dataclass(frozen=True)
class _Run:
    """A command over its files, in a folder that no other run works in; `quarantine` is None for one file."""

    command: str
    done: str
    root: Path
    quarantine: Path | None
    at_end: Callable[[], list] = list

    def __call__(self, todo: "Todo", work: "Callable[[Job], int | None]", trail: "Trail") -> int:
        """Return the exit code."""
        from mema.hospital.outcome import conclude, remove_earlier, run_jobs
        from mema.hospital.private import locked

        with locked(self.root, whole=self.quarantine is not None) as swept:
            if swept:
                typer.echo(f"{swept} half-written files of a killed run were removed", err=True)
            run = run_jobs(todo, work, self.command, trail)
            run.add(self.at_end())
            if self.quarantine:
                remove_earlier(self.root)
        return conclude(run, self.done, self.quarantine)


def _ask_why() -> str:
    import sys

    return typer.prompt("Why (for the audit log)") if sys.stdin.isatty() else "not stated"
