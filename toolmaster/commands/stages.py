"""The commands of a run: all of its stages or one, with a recipe or without.

toolmaster run quickstart
toolmaster sft quickstart --trainer.learning-rate 1e-4
toolmaster grpo runs/sft/model "tasks.jsonl tools=shop.py:Shop" --reward mine.py:reward
toolmaster evaluate openai:NAME "toolhop:ToolHop.json tasks=50"
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from toolmaster.commands.options import (
    NOTHING,
    Given,
    Json,
    Words,
    options,
    read,
    split_words,
)
from toolmaster.errors import ConfigError, InputError, ToolmasterError
from toolmaster.evaluation.settings import EvaluateSettings
from toolmaster.pipeline.recipe import STAGES, Recipe, find_recipe, recipe_names
from toolmaster.policies.base import RoomySampling, Sampling, ToolCallFormat
from toolmaster.runs import no_space
from toolmaster.system.allocator import restart, restart_tuned
from toolmaster.training.settings import REWARDS

if TYPE_CHECKING:
    from toolmaster.evaluation.evaluation import Evaluation

R = TypeVar("R", bound=Recipe)
_SETTINGS = "TOOLMASTER_SETTINGS"
"""Where a process that starts again finds the settings it began with."""
_PLACES = {
    "demonstrate": ("TASKSET",),
    "sft": ("MODEL", "DEMONSTRATIONS.jsonl"),
    "grpo": ("MODEL", "TASKSET"),
    "evaluate": ("MODEL", "TASKSET"),
}
"""What a stage takes in place of a recipe."""
_Rewards = Annotated[
    tuple[str, ...],
    Parameter(
        help="Reward in place of the default ones: built-in or file.py:NAME. May be repeated."
    ),
]


class Evaluate(Recipe):
    """A model measured on a task set, without a recipe."""

    run: Path = Path("runs/evaluate")
    """Where trajectories go."""
    evaluate: EvaluateSettings = EvaluateSettings(sampling=Sampling(**dict(RoomySampling())))
    out: Path | None = None
    """File of trajectories, from which a stopped evaluation continues; by default one under
    runs/evaluate. Only without a recipe."""
    base_url: str | None = None
    """Endpoint of an `openai:` model: http://localhost:8000/v1. Only without a recipe."""
    tool_calls: ToolCallFormat = ToolCallFormat.AUTO
    """How tool calls are written to an endpoint; "trained" for a model trained here. Only without a
    recipe."""


def _others(own: str) -> list[str]:
    """Settings that the help of one stage leaves out."""
    return [name for name in ("stages", *STAGES) if name != own]


@options(Recipe)
def run(*words: Words, given: Given = NOTHING) -> None:
    """Run every stage of a recipe that is not finished."""
    _run("run", _recipe(Recipe, "run", words, given))


@options(Recipe, own="demonstrate", hide=_others("demonstrate"))
def demonstrate(*words: Words, given: Given = NOTHING) -> None:
    """Make demonstrations."""
    _run("demonstrate", _recipe(Recipe, "demonstrate", words, given))


@options(Recipe, own="sft", hide=_others("sft"))
def sft(*words: Words, given: Given = NOTHING) -> None:
    """Fine-tune a model on demonstrations."""
    _run("sft", _recipe(Recipe, "sft", words, given))


@options(Recipe, own="grpo", hide=_others("grpo"))
def grpo(*words: Words, reward: _Rewards = (), given: Given = NOTHING) -> None:
    """Reinforce a model."""
    weights = {**dict.fromkeys(REWARDS, 0.0), **dict.fromkeys(reward, 1.0)}
    _run("grpo", _recipe(Recipe, "grpo", words, given, {"grpo.rewards": weights} if reward else {}))


@options(Evaluate, own="evaluate", hide=_others("evaluate"))
def evaluate(*words: Words, as_json: Json = False, given: Given = NOTHING) -> None:
    """Measure one model, or the models of a recipe."""
    if _file("evaluate", words) is None:
        _evaluate(_recipe(Evaluate, "evaluate", words, given), as_json=as_json)
        return
    recipe = _recipe(Recipe, "evaluate", words, given)
    _run("evaluate", recipe)
    if as_json:
        _print_results(recipe)


@options(Recipe, hide=_others(""))
def report(*words: Words, as_json: Json = False, given: Given = NOTHING) -> None:
    """Print the tables of a run and write its report.html, or print its results as JSON."""
    recipe = _recipe(Recipe, "report", words, given)
    if as_json:
        _print_results(recipe)
    else:
        _run("report", recipe)


def _file(command: str, words: Sequence[str]) -> Path | None:
    """The recipe among the words; None where the first place is none.

    Raises:
        ConfigError: The command needs a recipe, and there is none of this name.
    """
    first = next(iter(split_words(words)[0]), "")
    if command in _PLACES and not first.endswith(".toml") and first not in recipe_names():
        return None
    return find_recipe(first)


def _recipe(
    cls: type[R], command: str, words: Sequence[str], given: Given, chosen: Given = NOTHING
) -> R:
    """The recipe of a command: the named one, or one made of the places after the command.

    Args:
        cls: What to return.
        command: Its name.
        words: What stands after it.
        given: Its options.
        chosen: Settings by key that follow from its other options.

    Raises:
        ConfigError: Places, settings or options cannot be accepted.
    """
    places, settings = split_words(words)
    file, own = _file(command, words), command if command in _PLACES else ""
    if file is not None:
        if len(places) > 1:
            raise ConfigError(
                f"`{command}` takes one recipe; received also {places[1]!r}. Settings are written"
                " key=value"
            )
        return read(cls, settings, given, own=own, recipe=file, made=chosen)
    made = {**_direct(command, places), **chosen}
    return read(cls, settings, given, own=own, made=made)


def _direct(command: str, places: Sequence[str]) -> dict[str, Any]:
    """The settings that a command without a recipe stands for."""
    wanted = _PLACES[command]
    if len(places) != len(wanted):
        raise ConfigError(
            f"`{command}` takes a RECIPE ({', '.join(recipe_names())}, or a TOML file), or"
            f" {' and '.join(wanted)}; received {', '.join(map(repr, places)) or 'none of them'}. A"
            ' task set with options is one argument, in quotes: "world:short split=test"'
        )
    given = dict(zip(wanted, places, strict=True))
    made: dict[str, Any] = {"run": f"runs/{command}", "stages": [command]}
    keys = {"MODEL": "model", "TASKSET": "tasks", "DEMONSTRATIONS.jsonl": "demonstrate.file"}
    made |= {keys[name]: place for name, place in given.items()}
    if command == "demonstrate":
        made["demonstrate.count"] = None
    if command == "sft":
        made["stages"] = ["demonstrate", "sft"]
    return made


def _run(command: str, recipe: Recipe) -> None:
    """Run a stage, or all of them, in a process that is set up for it.

    Raises:
        InputError: The disk is full; what is finished is kept.
    """
    from toolmaster.pipeline import stages  # noqa: PLC0415 - heavy

    started_with = os.environ.pop(_SETTINGS, None)
    if started_with is not None:
        recipe = Recipe.model_validate_json(started_with)
    _restarting(recipe, restart_tuned)
    try:
        if command != "run":
            stages.run_stage(recipe, command)
        elif stages.run_next(recipe) != "report":
            _restarting(recipe, restart)  # the next stage should not pay for this one's memory
    except Exception as error:  # of whatever library was writing: each has another one
        if isinstance(error, ToolmasterError) or not no_space(error, recipe.run):
            raise
        raise InputError(
            f"no space left for {recipe.run}; what is finished is kept: free some space and start"
            " the same command again"
        ) from None


def _restarting(recipe: Recipe, restart_process: Callable[[], None]) -> None:
    """Start again with the same settings, whatever becomes of the recipe's file meanwhile."""
    os.environ[_SETTINGS] = recipe.model_dump_json()
    try:
        restart_process()
    finally:  # it did not have to
        del os.environ[_SETTINGS]


def _evaluate(settings: Evaluate, *, as_json: bool) -> None:
    """Measure one model on one task set and print what came out."""
    from toolmaster.evaluation.evaluate import evaluate as measure  # noqa: PLC0415 - heavy
    from toolmaster.progress import console  # noqa: PLC0415

    restart_tuned()
    started = time.perf_counter()
    name = re.sub(r"[^\w.-]+", "-", f"{settings.model} {settings.tasks} {settings.protocol}").strip(
        "-"
    )
    out = settings.out or settings.run / name / "trajectories.jsonl"
    result = measure(
        settings.model,
        settings.tasks,
        rollouts=settings.evaluate.rollouts,
        out=out,
        protocol=settings.protocol,
        limits=settings.limits,
        sampling=settings.evaluate.sampling,
        base_url=settings.base_url,
        tool_calls=settings.tool_calls,
        seed=settings.seed,
    )
    page = out.with_suffix(".html")
    _write_page(page, settings, result, time.perf_counter() - started)
    if as_json:
        print(json.dumps(result.record()))
        return
    console.print(result)
    told = f"kept: toolmaster view {out}\nreport: {page}"
    console.print(told, style="dim", markup=False, soft_wrap=True)


def _write_page(path: Path, settings: Evaluate, result: Evaluation, seconds: float) -> None:
    """Write the report of one model."""
    from toolmaster.models.provenance import took  # noqa: PLC0415 - only here
    from toolmaster.report.page import Page, write_report  # noqa: PLC0415 - loads jinja2
    from toolmaster.report.viewer import decoder  # noqa: PLC0415

    made = {
        "model": settings.model,
        "task set": settings.tasks,
        "seed": str(settings.seed),
        **{key: value for key, value in result.facts.items() if key != "taskset"},
        "time taken": f"{took(seconds)} since it was last started",
    }
    decoders = {}
    if any(step.token_ids for t in result.trajectories for step in t.steps):
        decoders = {result.model: decoder(settings.model)}
    title = f"{settings.model} on {settings.tasks}"
    config = settings.model_dump(mode="json", exclude={"stages", "demonstrate", "sft", "grpo"})
    write_report(path, Page(title, [result], made, config, decoders=decoders))


def _print_results(recipe: Recipe) -> None:
    """Print the evaluations of a run as one JSON object, by model."""
    from toolmaster.evaluation.evaluation import Evaluation  # noqa: PLC0415 - heavy
    from toolmaster.pipeline.stages import results_of  # noqa: PLC0415

    results = results_of(recipe).items()
    print(json.dumps({title: Evaluation(held, title).record() for title, held in results}))
