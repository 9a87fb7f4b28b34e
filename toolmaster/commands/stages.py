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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter

from toolmaster.commands.options import (
    NOTHING,
    C,
    Given,
    Json,
    Words,
    options,
    read,
    split_words,
)
from toolmaster.errors import ConfigError, InputError, ToolmasterError, did_you_mean
from toolmaster.pipeline.recipe import STAGES, Recipe, find_recipe, recipe_names
from toolmaster.policies.base import RoomySampling, ToolCallFormat
from toolmaster.progress import console, tell
from toolmaster.runs import no_space
from toolmaster.system.allocator import restart, restart_tuned
from toolmaster.tasksets.loading import Common
from toolmaster.training.settings import REWARDS

if TYPE_CHECKING:
    from toolmaster.evaluation.evaluation import Evaluation

R = TypeVar("R", bound=Recipe)
_SETTINGS = "TOOLMASTER_SETTINGS"
"""Where a process that starts again finds the settings it began with."""
_PLACES = {
    "demonstrate": {"TASKSET": "tasks"},
    "sft": {"MODEL": "model", "DEMONSTRATIONS.jsonl": "demonstrate.file"},
    "grpo": {"MODEL": "model", "TASKSET": "tasks"},
    "evaluate": {"MODEL": "model", "TASKSET": "tasks"},
}
"""What a stage takes in place of a recipe, and the setting that each place stands for."""
_WITHOUT_RECIPE: dict[str, dict[str, Any]] = {
    "demonstrate": {"demonstrate.count": None},
    "sft": {},
    "grpo": {},
    "evaluate": {f"evaluate.sampling.{key}": value for key, value in RoomySampling()},
}
"""The defaults that are others without a recipe, by key."""
for _name, _made in _WITHOUT_RECIPE.items():
    _made["run"] = Path("runs") / _name
_Yes = Annotated[bool, Parameter(help="Do not ask before money is spent.", show_default=False)]
_Rewards = Annotated[
    tuple[str, ...],
    Parameter(
        help="Reward in place of the default ones: a built-in one, judge, or FILE.py:NAME. May be"
        " repeated.",
        show_default=False,
    ),
]


class Evaluate(Recipe):
    """A model measured on a task set, without a recipe."""

    out: Path | None = None
    """File of trajectories, from which a stopped evaluation continues; if not set, one in the
    folder of the run. Only without a recipe."""
    base_url: str | None = None
    """Endpoint of an `openai:` model: http://localhost:8000/v1. Only without a recipe."""
    tool_calls: ToolCallFormat = ToolCallFormat.AUTO
    """How tool calls are written to an endpoint; "trained" for a model trained here. Only without a
    recipe."""


def _stage(name: str, cls: type[Recipe] = Recipe) -> Callable[[C], C]:
    """Give the command of a stage its options."""
    others = [other for other in ("stages", *STAGES) if other != name]
    keys = {key: place for place, key in _PLACES[name].items()}
    return options(cls, own=name, hide=others, without_recipe={**_WITHOUT_RECIPE[name], **keys})


@options(Recipe)
def run(*words: Words, given: Given = NOTHING) -> None:
    """Run every stage of a recipe that is not finished."""
    _run("run", _recipe(Recipe, "run", words, given))


@_stage("demonstrate")
def demonstrate(*words: Words, yes: _Yes = False, given: Given = NOTHING) -> None:
    """Make demonstrations; with `yes`, without a question before money is spent."""
    flags = {"demonstrate.confirm": ("--yes", False)} if yes else {}
    _run("demonstrate", _recipe(Recipe, "demonstrate", words, given, flags))


@_stage("sft")
def sft(*words: Words, given: Given = NOTHING) -> None:
    """Fine-tune a model on demonstrations."""
    _run("sft", _recipe(Recipe, "sft", words, given))


@_stage("grpo")
def grpo(*words: Words, reward: _Rewards = (), given: Given = NOTHING) -> None:
    """Reinforce a model."""
    weights = {**dict.fromkeys(REWARDS, 0.0), **dict.fromkeys(reward, 1.0)}
    flags = {"grpo.rewards": (f"--reward {' '.join(reward)}", weights)} if reward else {}
    _run("grpo", _recipe(Recipe, "grpo", words, given, flags))


@_stage("evaluate", Evaluate)
def evaluate(*words: Words, as_json: Json = False, given: Given = NOTHING) -> None:
    """Measure one model, or the models of a recipe."""
    if _recipe_place("evaluate", words) is None:
        _evaluate(_recipe(Evaluate, "evaluate", words, given), as_json=as_json)
        return
    recipe = _recipe(Recipe, "evaluate", words, given)
    _run("evaluate", recipe)
    if as_json:
        _print_results(recipe)


@options(Recipe, hide=("stages", *STAGES))
def report(*words: Words, as_json: Json = False, given: Given = NOTHING) -> None:
    """Print the tables of a run and write its report.html, or print its results as JSON."""
    places, _ = split_words(words)
    if places and Path(places[0]).exists() and not _is_recipe(places[0]):
        from toolmaster.evaluation.kept import evaluation_file, read_evaluation  # noqa: PLC0415

        file = evaluation_file(Path(places[0]))
        _show_evaluation(file, read_evaluation(file), as_json=as_json)
        return
    recipe = _recipe(Recipe, "report", words, given)
    if as_json:
        _print_results(recipe)
    else:
        _run("report", recipe)


def _is_recipe(place: str) -> bool:
    """Whether a place names a recipe: a TOML file, a recipe's name, or the folder of a run."""
    return place.endswith(".toml") or place in recipe_names() or bool(_settings_of_run(place))


def _settings_of_run(place: str) -> dict[str, Any]:
    """The settings that a run in this folder was begun with; none where there is no run."""
    file = Path(place) / "config.json"
    try:
        held = json.loads(file.read_bytes()) if file.is_file() else {}
    except ValueError:
        raise InputError(f"{file} is damaged; give the recipe in place of the folder") from None
    if "stages" not in held:  # of a model, perhaps
        return {}
    return {**{key: held[key] for key in Recipe.model_fields if key in held}, "run": Path(place)}


def _recipe_place(command: str, words: Sequence[str]) -> str | None:
    """The place that names a recipe; None where the places of a stage stand for one.

    Raises:
        ConfigError: The command needs a recipe, and none is named.
    """
    places, _ = split_words(words)
    first = places[0] if places else ""
    if _is_recipe(first):
        return first
    wanted = _PLACES.get(command, {})
    if places and len(places) == len(wanted):
        return None
    close = did_you_mean(first, recipe_names())
    received = f"received {', '.join(map(repr, places)) or 'none of them'}{close}"
    kinds = [f"a RECIPE ({', '.join(recipe_names())}, a TOML file of yours, or a run's folder)"]
    kinds += [" and ".join(wanted)] if wanted else []
    quotes = ""
    if "TASKSET" in wanted:
        quotes = '. A task set with options is one argument, in quotes: "world:short split=test"'
    raise ConfigError(f"`{command}` takes {', or '.join(kinds)}; {received}{quotes}")


def _recipe(
    cls: type[R],
    command: str,
    words: Sequence[str],
    given: Given,
    flags: Mapping[str, tuple[str, Any]] = NOTHING,
) -> R:
    """The recipe of a command: the named one, or one made of the places after the command.

    Args:
        cls: What to return.
        command: Its name.
        words: What stands after it.
        given: Its options.
        flags: Settings by key that follow from its other options: what the user wrote, and the
            value.

    Raises:
        ConfigError: Places, settings or options cannot be accepted.
    """
    places, settings = split_words(words)
    first = _recipe_place(command, words)
    own = command if command in _PLACES else ""
    if first is None:
        return _direct(cls, command, places, settings, given, flags)
    if len(places) > 1:
        raise ConfigError(
            f"`{command}` takes one recipe; received also {places[1]!r}. Settings are written"
            " key=value"
        )
    made = _settings_of_run(first)
    refused = dict.fromkeys(
        Evaluate.model_fields.keys() - Recipe.model_fields.keys(),
        f"`{command}` takes this with MODEL TASKSET, not with a recipe",
    )
    return read(
        cls,
        settings,
        given,
        own=own,
        recipe=None if made else find_recipe(first),
        made=made,
        places=flags,
        refused=refused if command == "evaluate" else NOTHING,
    )


def _direct(
    cls: type[R],
    command: str,
    places: Sequence[str],
    settings: Sequence[str],
    given: Given,
    flags: Mapping[str, tuple[str, Any]],
) -> R:
    """The settings that a command without a recipe stands for."""
    wanted = _PLACES[command]
    named = dict(zip(wanted, places, strict=True))
    if "TASKSET" in named:
        _refuse_outside_quotes(cls, command, named["TASKSET"], settings)
    stages = ["demonstrate", "sft"] if command == "sft" else [command]
    only = [name for name in ("stages", *STAGES) if name != command]
    only += [f"evaluate.{key}" for key in ("tasks", "base_tasks") if command == "evaluate"]
    return read(
        cls,
        settings,
        given,
        own=command,
        made={**_WITHOUT_RECIPE[command], "stages": stages},
        places={
            **{wanted[name]: (f"{name} {place!r}", place) for name, place in named.items()},
            **flags,
        },
        refused=dict.fromkeys(only, f"`{command}` takes this with a recipe alone"),
    )


def _refuse_outside_quotes(
    cls: type[Recipe], command: str, line: str, settings: Sequence[str]
) -> None:
    """Refuse options of a task set that stand beside it, as in `bfcl tasks=5`.

    Raises:
        ConfigError: There is one; shows the line in quotes.
    """
    known = {*cls.model_fields, *type(cls.model_fields[command].default).model_fields}

    def is_outside(word: str) -> bool:
        key, _, value = word.partition("=")
        first = key.partition(".")[0]
        if first in known:
            return first == "tasks" and value.isdigit()
        return first in Common.model_fields or not did_you_mean(first, known)

    outside = [word for word in settings if is_outside(word)]
    if outside:
        raise ConfigError(
            f"{outside[0]!r} is no setting of `{command}`; the options of a task set stand in its"
            f' quotes: "{line} {" ".join(outside)}"'
        )


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
            if command == "sft" and recipe.demonstrate.file is not None:
                stages.run_stage(recipe, "demonstrate")  # which takes the file over
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
    folder, model = recipe.run / stage, recipe.run / stage / "model"
    demonstrations = folder / "trajectories.jsonl"
    kept, following = {
        "demonstrate": (f"toolmaster view {demonstrations}", f"sft MODEL {demonstrations}"),
        "sft": (f"{model}", f"evaluate {model} TASKSET"),
        "grpo": (f"{model}", f"evaluate {model} TASKSET"),
        "evaluate": (f"toolmaster view {recipe.run}", f"report {recipe.run}"),
    }[stage]
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
    """Measure one model on one task set and print what came out."""
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
        seed=settings.seed,
    )
    _show_evaluation(out, result, as_json=as_json, seconds=time.perf_counter() - started)


def _show_evaluation(
    file: Path, result: Evaluation, *, as_json: bool, seconds: float | None = None
) -> None:
    """Print an evaluation and write its report beside the file of its trajectories."""
    from toolmaster.evaluation.kept import read_kept  # noqa: PLC0415 - heavy
    from toolmaster.models.provenance import took  # noqa: PLC0415
    from toolmaster.report.page import Page, write_report  # noqa: PLC0415 - loads jinja2
    from toolmaster.report.viewer import decoder  # noqa: PLC0415

    kept = read_kept(file)
    settings = {} if kept is None else kept.settings
    made = {"model": result.model, "task set": ", ".join(result.by("taskset")), **result.facts}
    made.pop("taskset", None)
    if "seed" in settings:
        made["seed"] = settings["seed"]
    if seconds is not None:
        made["time taken"] = f"{took(seconds)} since it was last started"
    decoders = {}
    if any(step.token_ids for t in result.trajectories for step in t.steps):
        decoders = {result.model: decoder(result.model)}
    page = file.with_suffix(".html")
    title = f"{made['model']} on {made['task set']}"
    write_report(page, Page(title, [result], made, settings, decoders=decoders))
    if as_json:
        print(json.dumps(result.record()))
        return
    console.print(result)
    told = f"kept: toolmaster view {file}\nreport: {page}"
    console.print(told, style="dim", markup=False, soft_wrap=True)


def _print_results(recipe: Recipe) -> None:
    """Print the evaluations of a run as one JSON object, by model."""
    from toolmaster.evaluation.evaluation import Evaluation  # noqa: PLC0415 - heavy
    from toolmaster.pipeline.stages import results_of  # noqa: PLC0415

    results = results_of(recipe).items()
    print(json.dumps({title: Evaluation(held, title).record() for title, held in results}))
