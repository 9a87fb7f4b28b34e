"""The commands that look at things and obtain them: tasks, trajectories, comparisons, models."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table
from rich.text import Text

from toolmaster.commands.options import Flag, Json
from toolmaster.errors import InputError
from toolmaster.models.hub import SMOLLM2
from toolmaster.pipeline.recipe import find_recipe, recipe_names
from toolmaster.progress import console, say
from toolmaster.system.terminal import json_line
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.tasksets.loading import names
from toolmaster.tasksets.taskset import refuse_endless
from toolmaster.tools.python import find_object

SHOWN = 3
"""Tasks of a set that are shown."""
LEFT_OUT_SHOWN = 5


def demo() -> None:
    """Show what a trial is good for."""
    from toolmaster.commands.demo import demo as play  # noqa: PLC0415 - heavy

    play(console)


def tasks(task_set: str | None = None, /, *, as_json: Json = False) -> None:
    """List the task sets, or show what one holds.

    Args:
        task_set: A task set with its options, in quotes. If not given, all are listed.
    """
    if task_set is None:
        _list_tasksets(as_json=as_json)
        return
    opened = taskset(task_set)
    if as_json:
        refuse_endless(opened)
        for task in opened:
            print(json_line(_record(task)))
        return
    console.print(Text(opened.label, style="bold"))
    sizes = [f"{name} {_size(opened, name)}" for name in opened.split_names]
    console.print(f"{len(opened):,} tasks; splits: {', '.join(sizes)}", soft_wrap=True)
    for fact, value in opened.facts.items():
        if fact != "taskset":
            say(f"{fact}: {value}", "")
    for task in opened[:SHOWN]:
        _show(task)
    for row in opened.left_out[:LEFT_OUT_SHOWN]:
        where = f"{row.file}, row {row.row}" + (f", {row.field}" if row.field else "")
        say(f"left out: {where}: {row.reason}", "yellow")
    if len(opened.left_out) > LEFT_OUT_SHOWN:
        console.print(f"... and {len(opened.left_out) - LEFT_OUT_SHOWN} more rows left out")


def _list_tasksets(*, as_json: bool) -> None:
    table = Table(box=None)
    for column in ("named as", "what it is", "options"):
        table.add_column(column, overflow="fold")
    for name, where in sorted(names().items()):
        shown, options, style = name, list[str](), ""
        try:
            make = find_object(where)
            about = " ".join((inspect.getdoc(make) or "").partition("\n\n")[0].split())
            if callable(make):
                first, *options = inspect.signature(make).parameters
                shown = _named(name, make, first)
        except InputError as error:
            about, style = str(error), "red"
        if as_json:
            print(json.dumps({"name": name, "about": about, "options": options}))
        table.add_row(Text(shown), Text(about, style), ", ".join(options))
    if as_json:
        return
    console.print(table)
    say(
        "Your own: tasks.jsonl tools=SOURCE, mine.py:tasks, package.module:tasks. Every set takes"
        " split=, tasks=, hidden= (families of behaviours to hide in its tools, or all) and, in a"
        " mixture A + B, weight=."
    )


def _named(name: str, make: Callable[..., Any], first: str) -> str:
    """Return how a set is named: `world[:full|calls|short]`, `bfcl[:CATEGORY]` or `ftrl:FILE`."""
    parameter = inspect.signature(make, eval_str=True).parameters[first]
    choices = "|".join(map(str, get_args(parameter.annotation))) or first.upper()
    return f"{name}:{choices}" if parameter.default is parameter.empty else f"{name}[:{choices}]"


def _size(opened: Taskset, name: str) -> str:
    return f"{len(opened.split(name)):,}" if opened.part in ("", name) else "-"


def _show(task: Task) -> None:
    console.print()
    console.print(Text.assemble((task.id, "cyan"), "  ", (f"tools {task.isolation()}", "dim")))
    say(task.query, "")
    labels = ", ".join(f"{key} {value}" for key, value in task.labels.items())
    if labels:
        say(labels)
    for tool in task.make_tools().tools:
        parameters = ", ".join(tool.parameters.get("properties", {}))
        described = " ".join(tool.description.split())
        line = Text.assemble(("  " + tool.name, "green"), f"({parameters})  {described}")
        console.print(line, soft_wrap=True)


def _record(task: Task) -> dict[str, object]:
    return {
        "id": task.id,
        "query": task.query,
        "answer": task.answer,
        "labels": dict(task.labels),
        "needed": list(task.needed),
        "tools": [tool.name for tool in task.make_tools().tools],
    }


def recipe(name: str | None = None, /) -> None:
    """Print a recipe, or the names of all with what each is for.

    Args:
        name: Name of a recipe.
    """
    if name is None:
        for one in recipe_names():
            purpose = find_recipe(one).read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
            print(f"{one:<12}{purpose}")
    else:
        sys.stdout.write(find_recipe(name).read_text(encoding="utf-8"))


def view(
    file: Path,
    index: int | None = None,
    /,
    *,
    failed: Flag = False,
    only: Annotated[str, Parameter(show_default=False)] = "",
    tokens: str | None = None,
    sent: Flag = False,
) -> None:
    """List trajectories, or show one of them turn by turn.

    Args:
        file: A file of trajectories, or the folder of a run.
        index: Number of the trajectory to show, from 0; negative from the end.
        failed: List only those that did not succeed.
        only: List only those with this task, model or label.
        tokens: Model whose tokens of the record to show, with the trained ones coloured.
        sent: Show the messages as the endpoint got them.
    """
    from toolmaster.report.viewer import browse  # noqa: PLC0415 - only here

    browse(file, index, console, failed=failed, only=only, tokens=tokens, sent=sent)


def compare(a: Path, b: Path, /, *, as_json: Json = False) -> None:
    """Compare two evaluations on the tasks they share.

    Args:
        a: The baseline: a file of trajectories, the folder of an evaluation, or that of a run,
            which stands for the model that it trained last.
        b: What is compared with it, likewise.
    """
    from toolmaster.evaluation.comparison import compare as compare_files  # noqa: PLC0415 - numpy

    comparison = compare_files(a, b)
    if as_json:
        print(json.dumps(comparison.record()))
    else:
        console.print(comparison)


def model(name: str = SMOLLM2, /) -> None:
    """Obtain a model and print its folder.

    Args:
        name: Model id of the Hugging Face Hub, or the quickstart's.
    """
    from toolmaster.models.checkpoints import find_model  # noqa: PLC0415 - heavy

    print(find_model(name))


def propose(
    *tools: str,
    model: str,
    count: Annotated[int, Parameter(validator=Number(gte=1))] = 20,
    base_url: str | None = None,
    out: Path = Path("runs/proposals"),
    as_json: Json = False,
) -> None:
    """Let a model propose tasks.

    Args:
        tools: Python modules, `mcpServers` files, OpenAPI documents, each with its options in
            quotes.
        model: The model that proposes: `openai:NAME`.
        count: Number of tasks to propose.
        base_url: Endpoint of the model: http://localhost:8000/v1. If not set, `OPENAI_BASE_URL` or
            OpenAI's own.
        out: Folder that `proposals.jsonl` is written to.
    """
    from toolmaster.teacher.propose import propose as propose_tasks  # noqa: PLC0415 - heavy

    made = propose_tasks(list(tools), model, count, output_dir=out, base_url=base_url)
    if as_json:
        for task in made:
            print(json_line({"id": task.id, "query": task.query}))
    else:
        console.print(f"{len(made)} tasks: {out / 'proposals.jsonl'}", soft_wrap=True)
