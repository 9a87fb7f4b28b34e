"""`toolmaster experience`: list what was learned of tools, and forget it."""

from __future__ import annotations

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
        for column in ("tool", "lesson"):
            table.add_column(column, overflow="fold")
        for column in ("retrieved", "helped"):
            table.add_column(column, justify="right", overflow="fold")
        for lesson in lessons:
            text = lesson.text + (f" [stale: {lesson.stale}]" if lesson.stale else "")
            words = (lesson.id, lesson.tool, text, lesson.retrieved, lesson.helped)
            table.add_row(*(Text(one_line(str(word), 600)) for word in words))
        console.print(table)


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
    path = store or default_path()
    if not path.exists():
        raise InputError(f"there is no experience in {path} yet; name another file with --store")
    kept = ExperienceStore(path)
    found = kept.lessons() if what is None else kept.find(what)
    if what is not None and not found:
        raise InputError(
            f"no lesson and no tool is called {what!r}; see `toolmaster experience list`"
        )
    count = kept.forget(found)
    print(f"forgot {count} lesson{'s' * (count != 1)}")
