"""`toolmaster tasks`: which task sets there are, and what one of them holds."""

from __future__ import annotations

import inspect
import json

from rich.table import Table
from rich.text import Text

from toolmaster.errors import InputError
from toolmaster.progress import console
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.tasksets.loading import names
from toolmaster.tools.python import find_object

SHOWN = 3
"""Tasks of a set that are shown."""
LEFT_OUT_SHOWN = 5


def list_tasksets() -> None:
    """Print the task sets that can be opened by name."""
    table = Table(box=None)
    for column in ("name", "what it is", "options"):
        table.add_column(column, overflow="fold")
    for name, where in sorted(names().items()):
        try:
            make = find_object(where)
        except InputError as error:
            table.add_row(name, Text(str(error), style="red"), "")
            continue
        about = (inspect.getdoc(make) or "").partition("\n\n")[0]
        options = list(inspect.signature(make).parameters) if callable(make) else []
        table.add_row(name, Text(" ".join(about.split())), ", ".join(options[1:]))
    console.print(table)
    console.print(
        "Your own: tasks.jsonl tools=SOURCE, mine.py:tasks, package.module:tasks. Every set takes"
        " split=, tasks= and, in a mixture A + B, weight=.",
        style="dim",
        soft_wrap=True,
    )


def show_taskset(named: str, *, as_json: bool = False) -> None:
    """Print what a task set holds.

    Args:
        named: the set, in one line.
        as_json: print one JSON object a task instead, for all tasks.

    Raises:
        ConfigError: the line cannot be understood.
        InputError: the set cannot be opened.
    """
    tasks = taskset(named)
    if as_json:
        for task in tasks:
            print(json.dumps(_record(task), ensure_ascii=False, default=str))
        return
    console.print(Text(tasks.label, style="bold"))
    sizes = [f"{name} {_size(tasks, name)}" for name in tasks.split_names]
    console.print(f"{len(tasks):,} tasks; splits: {', '.join(sizes)}", soft_wrap=True)
    for fact, value in tasks.facts.items():
        if fact != "taskset":
            console.print(f"{fact}: {value}", soft_wrap=True, markup=False)
    for task in tasks[:SHOWN]:
        _show(task)
    for row in tasks.left_out[:LEFT_OUT_SHOWN]:
        where = f"{row.file}, row {row.row}" + (f", {row.field}" if row.field else "")
        console.print(f"left out: {where}: {row.reason}", style="yellow", soft_wrap=True)
    if len(tasks.left_out) > LEFT_OUT_SHOWN:
        console.print(f"... and {len(tasks.left_out) - LEFT_OUT_SHOWN} more rows left out")


def _size(tasks: Taskset, name: str) -> str:
    return f"{len(tasks.split(name)):,}" if tasks.part in ("", name) else "-"


def _show(task: Task) -> None:
    console.print()
    console.print(Text.assemble((task.id, "cyan"), "  ", _isolation(task)))
    console.print(Text(task.query), soft_wrap=True)
    labels = ", ".join(f"{key} {value}" for key, value in task.labels.items())
    if labels:
        console.print(Text(labels, style="dim"), soft_wrap=True)
    for tool in task.make_tools().tools:
        parameters = ", ".join(tool.parameters.get("properties", {}))
        described = " ".join(tool.description.split())
        line = Text.assemble(("  " + tool.name, "green"), f"({parameters})  {described}")
        console.print(line, soft_wrap=True)


def _isolation(task: Task) -> tuple[str, str]:
    return (f"tools {task.isolation()}", "dim")


def _record(task: Task) -> dict[str, object]:
    return {
        "id": task.id,
        "query": task.query,
        "answer": task.answer,
        "labels": dict(task.labels),
        "needed": list(task.needed),
        "tools": [tool.name for tool in task.make_tools().tools],
    }
