"""`toolmaster experience`: look at what was learned of tools, forget it, take it elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from toolmaster.experience import ExperienceStore, Lesson

app = typer.Typer(
    help="What was learned of tools: list, show, forget, export, import.", no_args_is_help=True
)
StoreFile = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads this annotation
    typer.Option("--store", help="The experience file; the user's own by default"),
]
What = Annotated[str, typer.Argument(help="A tool's name, or the id of a lesson")]


def _store(path: Path | None, *, new: bool = False) -> ExperienceStore:
    from toolmaster.errors import InputError  # noqa: PLC0415
    from toolmaster.experience import ExperienceStore, default_path  # noqa: PLC0415

    path = path or default_path()
    if not new and not path.exists():
        raise InputError(f"there is no experience in {path} yet; name another file with --store")
    return ExperienceStore(path)


def _find(store: ExperienceStore, what: str) -> list[Lesson]:
    from toolmaster.errors import InputError  # noqa: PLC0415

    found = store.find(what)
    if not found:
        raise InputError(
            f"no lesson and no tool is called {what!r}; see `toolmaster experience list`"
        )
    return found


@app.command("list")
def list_lessons(store: StoreFile = None) -> None:
    """List all lessons by source, a line each."""
    from itertools import groupby  # noqa: PLC0415

    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from toolmaster.experience.lesson import one_line  # noqa: PLC0415
    from toolmaster.progress import console  # noqa: PLC0415

    for source, lessons in groupby(_store(store).lessons(), key=lambda one: one.source):
        console.print(Text(one_line(source, 300) or "no source named", "bold"), soft_wrap=True)
        table = Table(box=None)
        table.add_column("id", no_wrap=True)
        for column in ("tool", "lesson"):
            table.add_column(column, overflow="fold")
        for column in ("retrieved", "helped"):
            table.add_column(column, justify="right", no_wrap=True)
        for lesson in lessons:
            text = lesson.text + (f" [stale: {lesson.stale}]" if lesson.stale else "")
            words = (lesson.id, lesson.tool, text, lesson.retrieved, lesson.helped)
            table.add_row(*(Text(one_line(str(word), 600)) for word in words))
        console.print(table)


@app.command()
def show(what: What, store: StoreFile = None) -> None:
    """Show the lessons about a tool, with the calls that showed them."""
    from toolmaster.experience.lesson import one_line  # noqa: PLC0415

    for lesson in _find(_store(store), what):
        arguments = json.dumps(lesson.arguments, ensure_ascii=False)
        typer.echo(f"{lesson.id}  {lesson.line()}")
        typer.echo(f"  shown by   {one_line(arguments, 400)} -> {lesson.observation}")
        typer.echo(f"  learned    {lesson.when} by {lesson.policy}")
        typer.echo(f"  source     {one_line(lesson.source, 300) or 'not named'}")
        typer.echo(f"  retrieved  {lesson.retrieved} times, helped {lesson.helped} times")
        typer.echo(f"  state      {'stale: ' + lesson.stale if lesson.stale else 'fresh'}")


@app.command()
def forget(
    what: Annotated[
        Optional[str],  # noqa: UP045 - typer reads this annotation
        typer.Argument(help="A tool's name, or the id of a lesson"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget every lesson")] = False,
    store: StoreFile = None,
) -> None:
    """Remove the lessons about a tool, one lesson, or all."""
    if (what is None) != everything:
        raise typer.BadParameter("name a tool or a lesson, or say --all")
    kept = _store(store)
    count = kept.forget(kept.lessons() if what is None else _find(kept, what))
    typer.echo(f"forgot {count} lesson{'s' * (count != 1)}")


@app.command("export")
def export_lessons(
    file: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this annotation
        typer.Argument(help="Where to; the terminal by default"),
    ] = None,
    store: StoreFile = None,
) -> None:
    """Write all lessons as JSON lines."""
    from toolmaster.runs import write_atomically  # noqa: PLC0415

    text = "".join(lesson.model_dump_json() + "\n" for lesson in _store(store).lessons())
    if file is None:
        sys.stdout.write(text)
    else:
        write_atomically(file, text)


@app.command("import")
def import_lessons(
    file: Annotated[Path, typer.Argument(help="JSON lines, as export writes them")],
    store: StoreFile = None,
) -> None:
    """Add lessons from a file; none replaces one that is here."""
    from toolmaster.errors import InputError  # noqa: PLC0415

    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read {file}: {reason}") from None
    taken, left_out = _store(store, new=True).add_lines(lines)
    typer.echo(f"{taken} added, {len(left_out)} left out")
    for why in left_out:
        typer.echo(f"  {why}", err=True)
