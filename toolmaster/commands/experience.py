"""`toolmaster experience`: list, judge, share and forget what was learned of tools."""

from __future__ import annotations

import getpass
import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

from toolmaster.commands.options import Json
from toolmaster.errors import ConfigError, InputError
from toolmaster.experience import ExperienceStore, default_path
from toolmaster.experience.lesson import one_line
from toolmaster.progress import console, tell
from toolmaster.runs import write_records
from toolmaster.system.terminal import json_line

app = App(name="experience", default_parameter=Parameter(negative=()))
Store = Annotated[
    Path | None, Parameter(name="--store", help="Experience file; the user's own by default.")
]


@app.command(name="list")
def list_lessons(*, store: Store = None, as_json: Json = False) -> None:
    """List all lessons by source, one per line; with --json, one JSON object per line."""
    path = store or default_path()
    kept = ExperienceStore(path).lessons() if path.exists() else []
    if not kept:
        tell(f"no lessons in {path} yet; `toolmaster solve` learns them in its trials")
    if as_json:
        sys.stdout.writelines(json_line(lesson.model_dump(mode="json")) + "\n" for lesson in kept)
        return
    for source, lessons in groupby(kept, key=lambda lesson: lesson.source):
        console.print(Text(one_line(source, 300) or "no source named", "bold"), soft_wrap=True)
        table = Table(box=None)
        table.add_column("id", no_wrap=True)
        for column in ("tool", "lesson", "by", "on"):
            table.add_column(column, overflow="fold")
        for column in ("retrieved", "helped"):
            table.add_column(column, justify="right", overflow="fold")
        for lesson in lessons:
            text = lesson.text + (f" [stale: {lesson.stale}]" if lesson.stale else "")
            words = (lesson.id, lesson.tool, text, lesson.who or lesson.policy, lesson.when[:10])
            counts = (lesson.retrieved, lesson.helped)
            table.add_row(*(Text(one_line(str(word), 600)) for word in (*words, *counts)))
        console.print(table)


@app.command
def good(*, store: Store = None) -> None:
    """Say that the last task was done well: the lessons it used have helped."""
    _judge(store, right=True)


@app.command
def bad(*, store: Store = None) -> None:
    """Say that the last task was done wrong: the lessons it taught or used are doubted.

    A lesson that has never helped, or cannot be checked, is dropped at once.
    """
    _judge(store, right=False)


def _judge(store: Path | None, *, right: bool) -> None:
    judged = _existing(store).judge(right)
    if not judged:
        raise InputError(
            "the last task awaits no verdict: it used and taught no lesson, or it was judged before"
        )
    for lesson in judged:
        dropped = f"; dropped: {lesson.stale}" if lesson.stale else ""
        print(f"{lesson.id} {lesson.line()} (helped: {lesson.helped}{dropped})")


@app.command
def export(file: Path, /, *, who: str = "", store: Store = None) -> None:
    """Write the lessons that hold to a file for other people, without sources and counts.

    Args:
        file: File to write, as JSON lines; it must not exist.
        who: Your name, which goes with your lessons; if not given, your login name.
    """
    shared = _existing(store).exported(who or getpass.getuser())
    if file.exists():
        raise InputError(f"{file} exists already; name a new file, or remove it")
    try:
        write_records(file, shared)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror}") from None
    print(f"wrote {_count(len(shared))} to {file}")


@app.command(name="import")
def import_lessons(file: Path, /, *, store: Store = None) -> None:
    """Take over the lessons of an exported file; each is checked at its first use.

    Take lessons only from people you trust: if your tool only reads, the call in a lesson is made
    again. Lessons about tools of which you have learned later are left out.

    Args:
        file: File that `toolmaster experience export` wrote.
    """
    added = ExperienceStore(store or default_path()).import_from(file)
    for lesson in added:
        print(f"{lesson.id} {lesson.line()} (by {lesson.who}, {lesson.when[:10]})")
    print(f"took over {_count(len(added))}")


def _count(number: int) -> str:
    return f"{number} lesson{'s' * (number != 1)}"


def _existing(store: Path | None) -> ExperienceStore:
    path = store or default_path()
    if not path.exists():
        raise InputError(f"there is no experience in {path} yet; name another file with --store")
    return ExperienceStore(path)


@app.command
def forget(
    what: str | None = None,
    /,
    *,
    everything: Annotated[bool, Parameter(name="--all", show_default=False)] = False,
    store: Store = None,
) -> None:
    """Remove the lessons about a tool, one lesson, or all.

    Args:
        what: Name of a tool, or id of a lesson.
        everything: Forget every lesson.
    """
    if (what is None) != everything:
        raise ConfigError("name a tool or a lesson, or give --all")
    kept = _existing(store)
    found = kept.lessons() if what is None else kept.find(what)
    if what is not None and not found:
        raise InputError(
            f"no lesson and no tool is called {what!r}; see `toolmaster experience list`"
        )
    print(f"forgot {_count(kept.forget(found))}")
