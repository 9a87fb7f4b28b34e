"""The places after a command: a recipe, or the model and the task set that stand for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolmaster.commands.options import NOTHING, C, Given, options, read, split_words
from toolmaster.errors import ConfigError, InputError, did_you_mean
from toolmaster.pipeline.recipe import STAGES, Recipe, find_recipe, recipe_names
from toolmaster.policies.base import EndpointSettings, RoomySampling, ToolCallFormat
from toolmaster.policies.names import endpoint_model
from toolmaster.system.nesting import read_json
from toolmaster.tasksets.loading import Common


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
    endpoint: EndpointSettings = EndpointSettings()


_PLACES = {
    "demonstrate": {"TASKSET": "tasks"},
    "sft": {"MODEL": "model", "DEMONSTRATIONS.jsonl": "demonstrate.file"},
    "grpo": {"MODEL": "model", "TASKSET": "tasks"},
    "evaluate": {"MODEL": "model", "TASKSET": "tasks"},
}
"""What a stage takes in place of a recipe, and the setting that each place stands for."""
_SMALL = RoomySampling().with_defaults(RoomySampling.small)
_DEFAULTS: dict[str, dict[str, Any]] = {
    "demonstrate": {"run": Path("runs/demonstrate"), "demonstrate.count": None},
    "sft": {"run": Path("runs/sft")},
    "grpo": {"run": Path("runs/grpo")},
    "evaluate": {
        "run": Path("runs/evaluate"),
        **{f"evaluate.sampling.{key}": value for key, value in _SMALL},
    },
}
"""The defaults that are others without a recipe, by key."""
_ONLY_DIRECT = dict.fromkeys(
    Evaluate.model_fields.keys() - Recipe.model_fields.keys(),
    "only `evaluate MODEL TASKSET` takes this, without a recipe",
)


def stage_options(stage: str) -> Callable[[C], C]:
    """Give the command of a stage its options."""
    places = {key: place for place, key in _PLACES[stage].items()}
    defaults = {**_DEFAULTS[stage], **places}
    return options(_settings_of(stage), stage, _others(stage), without_recipe=defaults)


def _others(stage: str) -> list[str]:
    """Return what is said of other stages alone."""
    return [name for name in ("stages", *STAGES) if name != stage]


def _settings_of(command: str) -> type[Recipe]:
    return Evaluate if command == "evaluate" else Recipe


def read_recipe(
    command: str,
    words: Sequence[str],
    given: Given,
    flags: Mapping[str, tuple[str, Any]] = NOTHING,
) -> Recipe:
    """Return the recipe of a command: the named one, or one made of the places after the command.

    Args:
        command: Its name.
        words: What stands after it.
        given: Its options.
        flags: Settings by key that follow from its other options: what the user wrote, and the
            value.

    Returns:
        The recipe; an `Evaluate` if `evaluate` is given a model and a task set.
    """
    places, settings = split_words(words)
    wanted = _PLACES.get(command, {})
    if places and is_recipe(places[0]):
        if len(places) > 1:
            raise ConfigError(
                f"`{command}` takes one recipe; received also {places[1]!r}. Settings are written"
                " key=value"
            )
        made = _settings_of_run(places[0])
        return read(
            Recipe,
            settings,
            given,
            own=command if wanted else "",
            recipe=None if made else find_recipe(places[0]),
            made=made,
            places=flags,
            refused=_ONLY_DIRECT,
        )
    if not places or len(places) != len(wanted):
        raise ConfigError(_what_is_wanted(command, places))
    named = dict(zip(wanted, places, strict=True))
    if "TASKSET" in named:
        _refuse_outside_quotes(command, named["TASKSET"], settings)
    refused = [*_others(command), "evaluate.tasks", "evaluate.base_tasks"]
    stages = ["demonstrate", "sft"] if command == "sft" else [command]
    made = {**_DEFAULTS[command], "stages": stages}
    if command == "evaluate" and endpoint_model(named["MODEL"]) is not None:
        made["evaluate.sampling.turn_tokens"] = RoomySampling().turn_tokens
    said = {wanted[name]: (f"{name} {place!r}", place) for name, place in named.items()}
    return read(
        _settings_of(command),
        settings,
        given,
        own=command,
        made=made,
        places={**said, **flags},
        refused=dict.fromkeys(refused, f"`{command}` takes this with a recipe alone"),
    )


def is_recipe(place: str) -> bool:
    """Return whether a place names a recipe: a TOML file, a name, or the folder of a run."""
    return place.endswith(".toml") or place in recipe_names() or bool(_settings_of_run(place))


def _settings_of_run(place: str) -> dict[str, Any]:
    """The settings that a run in this folder was begun with; none where there is no run."""
    file = Path(place) / "config.json"
    try:
        held = read_json(file.read_bytes()) if file.is_file() else {}
    except ValueError:
        raise InputError(f"{file} is damaged; give the recipe in place of the folder") from None
    if "stages" not in held:  # of a model, perhaps
        return {}
    return {**{key: held[key] for key in Recipe.model_fields if key in held}, "run": Path(place)}


def _what_is_wanted(command: str, places: Sequence[str]) -> str:
    """What a command takes, and what it received instead."""
    wanted = _PLACES.get(command, {})
    close = did_you_mean(places[0], recipe_names()) if places else ""
    direct = f", or {' and '.join(wanted)}" if wanted else ""
    quotes = ""
    if "TASKSET" in wanted:
        quotes = '. A task set with options is one argument, in quotes: "world:short split=test"'
    return (
        f"`{command}` takes a RECIPE ({', '.join(recipe_names())}, a TOML file of yours, or a"
        f" run's folder){direct}; received {', '.join(map(repr, places)) or 'none of them'}{close}"
        f"{quotes}"
    )


def _refuse_outside_quotes(command: str, line: str, settings: Sequence[str]) -> None:
    """Refuse options of a task set that stand beside it, as in `bfcl tasks=5`."""
    cls = _settings_of(command)
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
