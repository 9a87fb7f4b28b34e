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
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolmaster.commands.options import NOTHING, Given, Json, Words, options, split_words
from toolmaster.commands.places import Evaluate, is_recipe, read_recipe, stage_options
from toolmaster.errors import InputError, ToolmasterError
from toolmaster.pipeline.recipe import STAGES, Recipe
from toolmaster.progress import console, say, tell
from toolmaster.runs import no_space
from toolmaster.system.allocator import restart, restart_tuned
from toolmaster.training.settings import REWARDS

if TYPE_CHECKING:
    from toolmaster.evaluation.evaluation import Evaluation

_SETTINGS = "TOOLMASTER_SETTINGS"
"""Where a process that starts again finds the settings it began with."""
_Rewards = Annotated[
    tuple[str, ...],
    Parameter(
        help="Reward in place of the default ones: a built-in one, judge, or FILE.py:NAME. May be"
        " repeated.",
        show_default=False,
    ),
]


@options(Recipe)
def run(*words: Words, given: Given = NOTHING) -> None:
    """Run every stage of a recipe that is not finished."""
    run_recipe("run", read_recipe("run", words, given))


@stage_options("demonstrate")
def demonstrate(*words: Words, given: Given = NOTHING) -> None:
    """Make demonstrations."""
    run_recipe("demonstrate", read_recipe("demonstrate", words, given))


@stage_options("sft")
def sft(*words: Words, given: Given = NOTHING) -> None:
    """Fine-tune a model on demonstrations."""
    run_recipe("sft", read_recipe("sft", words, given))


@stage_options("grpo")
def grpo(*words: Words, reward: _Rewards = (), given: Given = NOTHING) -> None:
    """Reinforce a model."""
    weights = {**dict.fromkeys(REWARDS, 0.0), **dict.fromkeys(reward, 1.0)}
    flags = {"grpo.rewards": (f"--reward {' '.join(reward)}", weights)} if reward else {}
    run_recipe("grpo", read_recipe("grpo", words, given, flags))


@stage_options("evaluate")
def evaluate(*words: Words, as_json: Json = False, given: Given = NOTHING) -> None:
    """Measure one model, or the models of a recipe."""
    recipe = read_recipe("evaluate", words, given)
    if isinstance(recipe, Evaluate):
        _evaluate(recipe, as_json=as_json)
        return
    run_recipe("evaluate", recipe)
    if as_json:
        _print_results(recipe)


@options(Recipe, hide=("stages", *STAGES))
def report(*words: Words, as_json: Json = False, given: Given = NOTHING) -> None:
    """Print the tables of a run and write its report.html, or print its results as JSON."""
    places, _ = split_words(words)
    if places and Path(places[0]).exists() and not is_recipe(places[0]):
        from toolmaster.evaluation.kept import evaluation_file, read_evaluation  # noqa: PLC0415

        file = evaluation_file(Path(places[0]))
        _show_evaluation(file, read_evaluation(file), as_json=as_json)
        return
    recipe = read_recipe("report", words, given)
    if as_json:
        _print_results(recipe)
    else:
        run_recipe("report", recipe)


def run_recipe(command: str, recipe: Recipe) -> None:
    """Run a stage, or all of them, in a process that is set up for it."""
    from toolmaster.pipeline import stages  # noqa: PLC0415 - heavy

    started_with = os.environ.pop(_SETTINGS, None)
    if started_with is not None:
        recipe = Recipe.model_validate_json(started_with)
    _restarting(recipe, restart_tuned)
    try:
        if command != "run":
            stages.run_stage(recipe, command)
            _tell_next(command, recipe)
        elif stages.run_next(recipe) != "report":
            _restarting(recipe, restart)  # the next stage should not pay for this one's memory
    except Exception as error:  # of whatever library was writing: each has another one
        if isinstance(error, ToolmasterError) or not no_space(error, recipe.run):
            raise
        raise InputError(
            f"no space left for {recipe.run}; what is finished is kept: free some space and start"
            " the same command again"
        ) from None


def _tell_next(stage: str, recipe: Recipe) -> None:
    """Tell where the result of a stage is, and which command goes on from it."""
    if stage == "report":
        return
    model, demonstrations = (recipe.run / stage / name for name in ("model", "trajectories.jsonl"))
    kept, following = f"{model}", f"evaluate {model} TASKSET"
    if stage == "demonstrate":
        kept, following = f"toolmaster view {demonstrations}", f"sft MODEL {demonstrations}"
    elif stage == "evaluate":
        kept, following = f"toolmaster view {recipe.run}", f"report {recipe.run}"
    later = recipe.stages[recipe.stages.index(stage) + 1 :] if stage in recipe.stages else ()
    tell(f"kept: {kept}\nnext: toolmaster {f'{later[0]} {recipe.run}' if later else following}")


def _restarting(recipe: Recipe, restart_process: Callable[[], None]) -> None:
    """Start again with the same settings, whatever becomes of the recipe's file meanwhile."""
    os.environ[_SETTINGS] = recipe.model_dump_json()
    try:
        restart_process()
    finally:  # it did not have to
        del os.environ[_SETTINGS]


def _evaluate(settings: Evaluate, *, as_json: bool) -> None:
    from toolmaster.evaluation.evaluate import evaluate as measure  # noqa: PLC0415 - heavy

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
        endpoint=settings.endpoint,
        seed=settings.seed,
    )
    _show_evaluation(out, result, as_json=as_json, seconds=time.perf_counter() - started)


def _show_evaluation(
    file: Path, result: Evaluation, *, as_json: bool, seconds: float | None = None
) -> None:
    """Print an evaluation and write its report beside the file of its trajectories."""
    from toolmaster.evaluation.kept import read_settings  # noqa: PLC0415 - heavy
    from toolmaster.models.provenance import took  # noqa: PLC0415
    from toolmaster.report.page import Page, write_report  # noqa: PLC0415 - loads jinja2
    from toolmaster.report.viewer import decoder  # noqa: PLC0415

    kept = read_settings(file)
    settings = {} if kept is None else kept.settings
    made = {"model": result.model, "task set": ", ".join(result.by("taskset")), **result.facts}
    made.pop("taskset", None)
    if "seed" in settings:
        made["seed"] = settings["seed"]
    if seconds is not None:
        made["time taken"] = f"{took(seconds)} since it was last started"
    page = file.with_suffix(".html")
    title = f"{made['model']} on {made['task set']}"
    decoders = {result.model: decoder(result.model)}
    write_report(page, Page(title, [result], made, settings, decoders=decoders))
    if as_json:
        print(json.dumps(result.record()))
        return
    console.print(result)
    say(f"kept: toolmaster view {file}\nreport: {page}")


def _print_results(recipe: Recipe) -> None:
    from toolmaster.evaluation.evaluation import Evaluation  # noqa: PLC0415 - heavy
    from toolmaster.pipeline.stages import results_of  # noqa: PLC0415

    results = results_of(recipe).items()
    print(json.dumps({title: Evaluation(held, title).record() for title, held in results}))
