"""The command line. Heavy imports happen inside commands, so that help is instant."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, TypeVar

import typer

from toolmaster.allocator import restart, restart_tuned
from toolmaster.commands import experience
from toolmaster.commands.solve import solve
from toolmaster.errors import InputError, ToolmasterError

if TYPE_CHECKING:
    from toolmaster.recipe import Recipe

app = typer.Typer(
    help="Train, measure and run language models that try unfamiliar tools before using them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(experience.app, name="experience")
T = TypeVar("T")
RecipeFile = Annotated[
    Path, typer.Argument(help="A TOML recipe, for example recipes/quickstart.toml")
]
Overrides = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads this annotation
    typer.Argument(help="Settings to change: key=value, for example seed=1 sft.learning_rate=1e-4"),
]
SessionOverrides = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads this annotation
    typer.Argument(help="Settings to change: key=value, for example seed=1 limits.trial_calls=3"),
]

_HANDED_ON = "TOOLMASTER_SETTINGS"
"""Where a process that starts again finds the settings it began with."""


def _recipe(recipe: Path | None, overrides: list[str] | None) -> Recipe:
    from toolmaster.config import load_config  # noqa: PLC0415
    from toolmaster.recipe import Recipe  # noqa: PLC0415

    return load_config(Recipe, recipe, overrides or [])


def _run(work: Callable[[], T]) -> T:
    try:
        return work()
    except KeyboardInterrupt:  # here, for typer would end without a word
        typer.echo("toolmaster: stopped; the same command continues from here", err=True)
        raise typer.Exit(130) from None


def _restarting(settings: Recipe, restart: Callable[[], None]) -> None:
    """Start again with the same settings, whatever becomes of the recipe's file meanwhile."""
    os.environ[_HANDED_ON] = settings.model_dump_json()
    try:
        restart()
    finally:  # it did not have to
        del os.environ[_HANDED_ON]


def _run_stage(name: str, recipe: Path, overrides: list[str] | None) -> None:
    handed_on = os.environ.pop(_HANDED_ON, None)
    if handed_on is None:
        settings = _recipe(recipe, overrides)
    else:
        from toolmaster.recipe import Recipe  # noqa: PLC0415

        settings = Recipe.model_validate_json(handed_on)
    _restarting(settings, restart_tuned)
    from toolmaster import pipeline  # noqa: PLC0415
    from toolmaster.runs import no_space  # noqa: PLC0415

    try:
        if name != "run":
            _run(lambda: getattr(pipeline, name)(settings))
        elif _run(lambda: pipeline.run_next(settings)) != "report":
            _restarting(settings, restart)  # the next stage should not pay for this one's memory
    except Exception as error:  # of whatever library was writing: each has another one
        if isinstance(error, ToolmasterError) or not no_space(error, settings.run):
            raise
        raise InputError(
            f"no space left for {settings.run}; what is finished is kept: free some space and start"
            " the same command again"
        ) from None


def _stage(name: str, help_text: str) -> None:
    def command(recipe: RecipeFile, overrides: Overrides = None) -> None:
        _run_stage(name, recipe, overrides)

    command.__doc__ = help_text
    app.command(name)(command)


_stage("run", "All stages of a recipe, one after the other; continues where it was stopped.")
_stage("synthesize", "Make demonstrations with the oracle teacher.")
_stage("sft", "Fine-tune on the demonstrations.")
_stage("grpo", "Reinforce the fine-tuned model.")
_stage("report", "Print the tables and write report.html.")
app.command()(solve)


@app.command()
def evaluate(
    recipe: Annotated[
        Optional[str],  # noqa: UP045 - no Path, for it may be `base_url=http://...`
        typer.Argument(help="A TOML recipe; none with --benchmark"),
    ] = None,
    overrides: Overrides = None,
    benchmark: Annotated[str | None, typer.Option(help="toolhop, ftrl, bfcl, ...")] = None,
    data: Annotated[str | None, typer.Option(help="The benchmark's original file")] = None,
    model: Annotated[
        str | None, typer.Option(help="A checkpoint folder, or openai:NAME with base_url=URL")
    ] = None,
    replay: Annotated[
        str | None, typer.Option(help="Instead of a model: a file of known calls, or gold")
    ] = None,
) -> None:
    """Measure the models of a recipe on held-out tasks, or any model on a benchmark."""
    if benchmark is None:
        if recipe is None:
            raise typer.BadParameter("give a RECIPE or --benchmark NAME")
        if any(option is not None for option in (data, model, replay)):
            raise typer.BadParameter("--data, --model and --replay go with --benchmark NAME")
        _run_stage("evaluate", Path(recipe), overrides)
        return
    from toolmaster.benchmarks.run import evaluate_benchmark  # noqa: PLC0415
    from toolmaster.benchmarks.settings import settings_for  # noqa: PLC0415

    named = {"data": data, "model": model, "replay": replay}
    given = [f"{key}={json.dumps(value)}" for key, value in named.items() if value is not None]
    settings = settings_for(benchmark, [*given, *([recipe] if recipe else []), *(overrides or [])])
    restart_tuned()
    _run(lambda: evaluate_benchmark(settings))


@app.command()
def model(name: str = "smollm2-135m-instruct") -> None:
    """Obtain a model (once) and print its folder."""
    from toolmaster.models import find_model  # noqa: PLC0415

    typer.echo(find_model(name))


@app.command()
def domains(
    name: Annotated[str | None, typer.Argument(help="Show this domain's tools and a task")] = None,
    path: Annotated[
        list[Path] | None, typer.Option(help="A folder of a domain outside the package")
    ] = None,
) -> None:
    """List the domains of the embedded world, or show one."""
    from toolmaster.world.listing import list_domains, show_domain  # noqa: PLC0415
    from toolmaster.world.tasks import World  # noqa: PLC0415

    world = World(path or [])
    if name is None:
        list_domains(world)
    else:
        show_domain(world, name)


@app.command(context_settings={"ignore_unknown_options": True})  # `-1` is an index
def view(
    file: Annotated[Path, typer.Argument(help="A trajectories.jsonl")],
    index: Annotated[int, typer.Argument(help="Which record, from 0; negative from the end")] = 0,
    tokens: Annotated[
        str | None, typer.Option(help="Show tokens, trained ones coloured, with this model")
    ] = None,
) -> None:
    """Show a trajectory; with --tokens, what is trained is coloured."""
    from toolmaster.progress import console  # noqa: PLC0415
    from toolmaster.report.viewer import show_trajectory  # noqa: PLC0415
    from toolmaster.runs import read_trajectories  # noqa: PLC0415

    trajectories = read_trajectories(file)
    if not -len(trajectories) <= index < len(trajectories):
        raise InputError(f"{file} holds {len(trajectories)} trajectories; there is no {index}")
    trajectory = trajectories[index]
    tokenizer = None
    if tokens is not None:
        from toolmaster.chat import ChatFormat  # noqa: PLC0415
        from toolmaster.models import find_model, load_tokenizer  # noqa: PLC0415

        tokenizer = load_tokenizer(find_model(tokens))
        trajectory = ChatFormat(tokenizer).with_tokens(trajectory)
    show_trajectory(trajectory, console, tokenizer=tokenizer)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="The baseline's trajectories.jsonl")],
    b: Annotated[Path, typer.Argument(help="The trajectories.jsonl compared with it")],
) -> None:
    """Compare two runs on the tasks they share, with an interval on the difference."""
    from toolmaster.evaluation.metrics import latest  # noqa: PLC0415
    from toolmaster.evaluation.tables import compare_table  # noqa: PLC0415
    from toolmaster.progress import console  # noqa: PLC0415
    from toolmaster.runs import read_trajectories  # noqa: PLC0415

    one, two = latest(read_trajectories(a)), latest(read_trajectories(b))
    console.print(compare_table(str(a), one, str(b), two))


@app.command(no_args_is_help=True)
def teach(
    overrides: SessionOverrides = None,
    model: Annotated[str | None, typer.Option(help="The teacher: openai:NAME")] = None,
    base_url: Annotated[str | None, typer.Option(help="The teacher's endpoint")] = None,
    tools: Annotated[
        list[str] | None,
        typer.Option(help="A Python module, an MCP file, an OpenAPI document; may be repeated"),
    ] = None,
    tasks: Annotated[Path | None, typer.Option(help="Tasks for the tools, JSON lines")] = None,
    propose: Annotated[int | None, typer.Option(help="Let the model propose so many tasks")] = None,
    judge: Annotated[str | None, typer.Option(help="A model that judges: openai:NAME")] = None,
    prices: Annotated[
        str | None, typer.Option(help="Money for a million tokens read and written: 0.25,1.0")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="Take world, protocol, limits and seed from a recipe")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before spending")] = False,
) -> None:
    """Make demonstrations with a teacher model, on your tools or on the embedded world."""
    from toolmaster.commands.teach import run_teach, teach_settings  # noqa: PLC0415

    given = {
        "model": model,
        "base_url": base_url,
        "tools": tools,
        "tasks": tasks,
        "propose": propose,
        "judge": judge,
        "prices": prices,
    }
    settings = teach_settings(given, recipe, overrides or [])
    _run(lambda: run_teach(settings, yes=yes))


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

    settings = _recipe(recipe, overrides)
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
