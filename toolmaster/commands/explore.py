"""The commands that look at things and obtain them: tasks, trajectories, comparisons, models."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Annotated, Any, get_args

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.table import Table
from rich.text import Text

from toolmaster.commands.options import NOTHING, Flag, Given, Json, Words, options, read
from toolmaster.errors import InputError
from toolmaster.models.hub import SMOLLM2
from toolmaster.pipeline.recipe import STAGES, Recipe, find_recipe, recipe_names
from toolmaster.progress import console
from toolmaster.system.terminal import json_line
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.tasksets.loading import names
from toolmaster.tasksets.taskset import refuse_endless
from toolmaster.tools.python import find_object

SHOWN = 3
"""Tasks of a set that are shown."""
LEFT_OUT_SHOWN = 5
_ANY_PORT = Annotated[int | None, Parameter(validator=Number(gte=0, lte=65535))]


def demo() -> None:
    """Show what a trial is good for."""
    from toolmaster.commands.demo import demo as play  # noqa: PLC0415 - heavy

    play(console)


def tasks(task_set: str | None = None, /, *, as_json: Json = False) -> None:
    """List the task sets, or show what one holds.

    Args:
        task_set: A task set with its options, in quotes. If not given, all are listed.

    Raises:
        ConfigError: The line cannot be understood.
        InputError: The set cannot be opened.
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
            console.print(f"{fact}: {value}", soft_wrap=True, markup=False)
    for task in opened[:SHOWN]:
        _show(task)
    for row in opened.left_out[:LEFT_OUT_SHOWN]:
        where = f"{row.file}, row {row.row}" + (f", {row.field}" if row.field else "")
        console.print(f"left out: {where}: {row.reason}", style="yellow", soft_wrap=True)
    if len(opened.left_out) > LEFT_OUT_SHOWN:
        console.print(f"... and {len(opened.left_out) - LEFT_OUT_SHOWN} more rows left out")


def _list_tasksets(*, as_json: bool) -> None:
    table = Table(box=None)
    for column in ("named as", "what it is", "options"):
        table.add_column(column, overflow="fold")
    for name, where in sorted(names().items()):
        options_: list[str] = []
        try:
            make = find_object(where)
            about = " ".join((inspect.getdoc(make) or "").partition("\n\n")[0].split())
            first, *options_ = inspect.signature(make).parameters if callable(make) else [""]
            table.add_row(Text(_named(name, make, first)), Text(about), ", ".join(options_))
        except InputError as error:
            about = str(error)
            table.add_row(name, Text(about, style="red"), "")
        if as_json:
            print(json.dumps({"name": name, "about": about, "options": options_}))
    if as_json:
        return
    console.print(table)
    console.print(
        "Your own: tasks.jsonl tools=SOURCE, mine.py:tasks, package.module:tasks. Every set takes"
        " split=, tasks=, hidden= (families of behaviours to hide in its tools, or all) and, in a"
        " mixture A + B, weight=.",
        style="dim",
        soft_wrap=True,
    )


def _named(name: str, make: Any, first: str) -> str:
    """How a task set is named: `world[:full|short]`, `bfcl[:CATEGORY]` or `ftrl:FILE`."""
    if not first:
        return name
    parameter = inspect.signature(make, eval_str=True).parameters[first]
    choices = "|".join(map(str, get_args(parameter.annotation))) or first.upper()
    return f"{name}:{choices}" if parameter.default is parameter.empty else f"{name}[:{choices}]"


def _size(opened: Taskset, name: str) -> str:
    return f"{len(opened.split(name)):,}" if opened.part in ("", name) else "-"


def _show(task: Task) -> None:
    console.print()
    console.print(Text.assemble((task.id, "cyan"), "  ", (f"tools {task.isolation()}", "dim")))
    console.print(Text(task.query), soft_wrap=True)
    labels = ", ".join(f"{key} {value}" for key, value in task.labels.items())
    if labels:
        console.print(Text(labels, style="dim"), soft_wrap=True)
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

    Raises:
        ConfigError: There is none of this name.
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

    Raises:
        InputError: The file cannot be read or has no such trajectory, or there is no such model.
    """
    from toolmaster.report.viewer import browse  # noqa: PLC0415 - only here

    browse(file, index, console, failed=failed, only=only, tokens=tokens, sent=sent)


def compare(a: Path, b: Path, /, *, as_json: Json = False) -> None:
    """Compare two evaluations on the tasks they share.

    Args:
        a: The baseline: a file of trajectories, the folder of an evaluation, or that of a run,
            which stands for the model that it trained last.
        b: What is compared with it, likewise.

    Raises:
        InputError: A file cannot be read, or they share no task.
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

    Raises:
        InputError: There is no such model.
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

    Raises:
        ToolmasterError: The tools or the model cannot be used.
    """
    from toolmaster.teacher.propose import propose as propose_tasks  # noqa: PLC0415 - heavy

    made = propose_tasks(list(tools), model, count, output_dir=out, base_url=base_url)
    if as_json:
        for task in made:
            print(json_line({"id": task.id, "query": task.query}))
    else:
        console.print(f"{len(made)} tasks: {out / 'proposals.jsonl'}", soft_wrap=True)


@options(Recipe, hide=("run", "stages", "model", "seed", *STAGES))
def serve_session(
    task: str,
    /,
    *words: Words,
    recipe: str | None = None,
    port: _ANY_PORT = None,
    out: Path = Path("served.jsonl"),
    verdict: Flag = False,
    given: Given = NOTHING,
) -> None:
    """Offer a task as an MCP server.

    Args:
        task: Id of a task, for example v6/test/3.
        recipe: Recipe whose task set, protocol and limits are taken.
        port: Port of streamable HTTP, 0 for a free one. If not set, one client is served over
            stdio.
        out: File that trajectories are appended to.
        verdict: Tell the client its score at the end.
    """
    from toolmaster.commands.serve_session import serve_session as serve  # noqa: PLC0415 - heavy

    file = None if recipe is None else find_recipe(recipe)
    settings = read(Recipe, words, given, recipe=file)
    serve(task, settings, port=port, file=out, show_verdict=verdict)
