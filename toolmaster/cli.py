"""The command line. Heavy imports happen inside commands, so that help is instant."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar

import typer

from toolmaster.allocator import restart_tuned
from toolmaster.commands import experience
from toolmaster.commands.solve import solve
from toolmaster.errors import ToolmasterError

app = typer.Typer(
    help="Train, measure and run language models that try unfamiliar tools before using them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(experience.app, name="experience")
T = TypeVar("T")
Words = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads this annotation
    typer.Argument(metavar="WORDS...", help="Places, then settings to change: key=value"),
]
SessionOverrides = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads this annotation
    typer.Argument(help="Settings to change: key=value, for example seed=1 limits.trial_calls=3"),
]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, nothing else")]


def _run(work: Callable[[], T]) -> T:
    try:
        return work()
    except KeyboardInterrupt:  # here, for typer would end without a word
        typer.echo("toolmaster: stopped; the same command continues from here", err=True)
        raise typer.Exit(130) from None


def _stage(command: str, words: list[str] | None, given: dict[str, Any]) -> None:
    from toolmaster.commands.stages import recipe_of, run_stage  # noqa: PLC0415 - heavy
    from toolmaster.commands.words import split_words  # noqa: PLC0415

    recipe = recipe_of(split_words(words), command, given)
    _run(lambda: run_stage(command, recipe))


@app.command()
def run(words: Words = None) -> None:
    """All stages of a RECIPE, one after the other; continues where it was stopped."""
    _stage("run", words, {})


@app.command()
def sft(words: Words = None) -> None:
    """Fine-tune: RECIPE, or MODEL DEMONSTRATIONS.jsonl."""
    _stage("sft", words, {})


@app.command()
def grpo(
    words: Words = None,
    reward: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="format, correctness, ..., mine.py:function; may be repeated"),
    ] = None,
) -> None:
    """Reinforce: RECIPE, or MODEL TASKSET."""
    given: dict[str, Any] = {}
    if reward:  # these in place of the usual ones
        from toolmaster.training.settings import REWARDS  # noqa: PLC0415

        given["grpo.rewards"] = {**dict.fromkeys(REWARDS, 0.0), **dict.fromkeys(reward, 1.0)}
    _stage("grpo", words, given)


@app.command()
def evaluate(
    words: Words = None,
    out: Annotated[
        Path | None, typer.Option(help="Trajectories, from which a stopped evaluation goes on")
    ] = None,
    rollouts: Annotated[int | None, typer.Option(help="Rollouts of each task")] = None,
    base_url: Annotated[str | None, typer.Option(help="Endpoint of an openai: model")] = None,
    as_json: JsonOutput = False,
) -> None:
    """Measure: RECIPE, or MODEL TASKSET; MODEL may be `replay` for known-good calls."""
    from toolmaster.commands.words import split_words, two_places  # noqa: PLC0415

    found = split_words(words)
    if found.recipe is not None:
        _stage("evaluate", words, {"evaluate.rollouts": rollouts})
        return
    from toolmaster.commands.evaluate import run_evaluate  # noqa: PLC0415 - heavy

    model, tasks = two_places(found, "evaluate", "MODEL", "TASKSET")
    given = {"out": out, "rollouts": rollouts, "base_url": base_url}
    restart_tuned()
    _run(lambda: run_evaluate(model, tasks, given, found.settings, as_json=as_json))


@app.command()
def report(words: Words = None) -> None:
    """Print the tables of a RECIPE's run and write report.html."""
    _stage("report", words, {})


@app.command()
def tasks(
    taskset: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help='A task set, for example "world:short split=test"'),
    ] = None,
    as_json: JsonOutput = False,
) -> None:
    """List the task sets, or show what one holds."""
    from toolmaster.commands.tasks import list_tasksets, show_taskset  # noqa: PLC0415 - heavy

    if taskset is None:
        list_tasksets()
    else:
        show_taskset(taskset, as_json=as_json)


app.command()(solve)


@app.command()
def model(name: str = "smollm2-135m-instruct") -> None:
    """Obtain a model (once) and print its folder: one of the Hub by its id, or the quickstart's."""
    from toolmaster.models import find_model  # noqa: PLC0415

    typer.echo(find_model(name))


@app.command(context_settings={"ignore_unknown_options": True})  # `-1` is an index
def view(
    place: Annotated[Path, typer.Argument(help="A file of trajectories, or the folder of a run")],
    index: Annotated[
        Optional[int],  # noqa: UP045
        typer.Argument(help="Which record, from 0; negative from the end; none for a list"),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="List only what did not succeed")
    ] = False,
    only: Annotated[
        str, typer.Option(help="List only records with this task, model or label")
    ] = "",
    tokens: Annotated[
        str | None, typer.Option(help="Show tokens, trained ones coloured, with this model")
    ] = None,
) -> None:
    """List the trajectories of a file or a run, or show one of them turn by turn."""
    from toolmaster.progress import console  # noqa: PLC0415
    from toolmaster.report.viewer import browse  # noqa: PLC0415

    browse(place, index, console, failed=failed, only=only, tokens=tokens)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="The baseline's trajectories.jsonl")],
    b: Annotated[Path, typer.Argument(help="The trajectories.jsonl compared with it")],
    as_json: JsonOutput = False,
) -> None:
    """Compare two evaluations on the tasks they share, and tell which tasks flipped."""
    from toolmaster.commands.evaluate import run_compare  # noqa: PLC0415 - heavy

    run_compare(a, b, as_json=as_json)


@app.command(no_args_is_help=True)
def demonstrate(
    words: Words = None,
    teacher: Annotated[
        str | None, typer.Option(help="openai:NAME, a checkpoint folder, or replay:FILE")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Endpoint of the teacher")] = None,
    count: Annotated[int | None, typer.Option(help="Number of demonstrations to keep")] = None,
    judge: Annotated[str | None, typer.Option(help="Model that judges: openai:NAME")] = None,
    prices: Annotated[
        str | None, typer.Option(help="Money per million tokens read and written: 0.25,1.0")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before spending")] = False,
) -> None:
    """Make demonstrations: RECIPE, or TASKSET; with a teacher model, the oracle or known calls."""
    given = {
        "teacher": teacher,
        "base_url": base_url,
        "count": count,
        "judge": judge,
        "prices": prices and prices.split(","),
        "confirm": False if yes else None,
    }
    _stage("demonstrate", words, {f"demonstrate.{key}": value for key, value in given.items()})


@app.command(no_args_is_help=True)
def propose(
    tools: Annotated[
        list[str],
        typer.Argument(help="Python modules, MCP files, OpenAPI documents: one word each"),
    ],
    model: Annotated[str, typer.Option(help="The model that proposes: openai:NAME")],
    count: Annotated[int, typer.Option(help="Number of tasks to propose", min=1)] = 20,
    base_url: Annotated[str | None, typer.Option(help="Endpoint of the model")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tasks")] = Path("runs/proposals"),
) -> None:
    """Let a model propose tasks for your tools."""
    from toolmaster.teacher.propose import propose as propose_tasks  # noqa: PLC0415 - heavy

    made = _run(lambda: propose_tasks(tools, model, count, output_dir=out, base_url=base_url))
    typer.echo(f"{len(made)} tasks: {out / 'proposals.jsonl'}")


@app.command("serve-session")
def serve_session(
    task: Annotated[str, typer.Argument(help="A task id, for example v5/unseen/apiary/silent/3")],
    overrides: SessionOverrides = None,
    recipe: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this annotation
        typer.Option(help="A TOML recipe, for its world, protocol and limits"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Serve streamable HTTP here (0: a free one), not stdio", max=65535, min=0
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where trajectories are appended")] = Path(
        "served.jsonl"
    ),
    verdict: Annotated[bool, typer.Option("--verdict", help="Tell the client its score")] = False,
) -> None:
    """Offer a task as an MCP server: any MCP client can do it."""
    from toolmaster.commands.serve_session import serve_session as serve  # noqa: PLC0415
    from toolmaster.config import load_config  # noqa: PLC0415
    from toolmaster.recipe import Recipe  # noqa: PLC0415

    settings = load_config(Recipe, recipe, overrides or [])
    serve(task, settings, port=port, file=out, show_verdict=verdict)


def main() -> None:
    """Entry point: errors raised on purpose become one message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character that a terminal lacks stops nothing
    try:
        app()
    except ToolmasterError as error:
        typer.echo(f"toolmaster: {error}", err=True)
        sys.exit(error.exit_code)
