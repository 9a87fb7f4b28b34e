"""The commands that train and measure: a recipe's stages, or one stage without a recipe.

toolmaster run recipes/quickstart.toml
toolmaster sft recipes/quickstart.toml sft.trainer.learning_rate=1e-4
toolmaster grpo runs/sft/model tasks.jsonl --reward mine.py:reward
toolmaster evaluate openai:NAME "toolhop:ToolHop.json tasks=50"
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolmaster import pipeline
from toolmaster.allocator import restart, restart_tuned
from toolmaster.commands.words import Words, two_places
from toolmaster.config import load_config
from toolmaster.errors import ConfigError, InputError, ToolmasterError
from toolmaster.recipe import Recipe
from toolmaster.runs import no_space

_SETTINGS = "TOOLMASTER_SETTINGS"
"""Where a process that starts again finds the settings it began with."""


def recipe_of(words: Words, command: str, given: Mapping[str, Any]) -> Recipe:
    """The recipe of a command: the named one, or one made of the places after the command.

    Args:
        words: what stands after the command.
        command: its name.
        given: settings by key that options of the command have set; None for those not given.

    Raises:
        ConfigError: places, settings or options that cannot be accepted.
    """
    chosen = {key: value for key, value in given.items() if value is not None}
    if words.recipe is not None:
        if len(words.places) > 1:
            raise ConfigError(
                f"`{command}` takes one recipe; received also {words.places[1]!r}. Settings are"
                " written key=value"
            )
        return load_config(Recipe, Path(words.recipe), words.settings, chosen)
    return load_config(Recipe, None, words.settings, {**_direct(words, command), **chosen})


def _direct(words: Words, command: str) -> dict[str, Any]:
    """The settings that a command without a recipe stands for."""
    made: dict[str, Any] = {"run": f"runs/{command}"}
    if command == "demonstrate":
        if len(words.places) != 1:
            raise ConfigError("`demonstrate` takes a RECIPE.toml, or a TASKSET")
        made |= {"stages": ["demonstrate"], "demonstrate.count": None}
        return {**made, "tasks": words.places[0]}
    if command == "sft":
        model, file = two_places(words, command, "MODEL", "DEMONSTRATIONS.jsonl")
        stages = ["demonstrate", "sft"]
        return {**made, "stages": stages, "model": model, "demonstrate.file": file}
    if command == "grpo":
        model, tasks = two_places(words, command, "MODEL", "TASKSET")
        return {**made, "stages": ["grpo"], "model": model, "tasks": tasks}
    raise ConfigError(f"`{command}` needs a RECIPE.toml")


def run_stage(command: str, recipe: Recipe) -> None:
    """Run a stage, or all of them, in a process that is set up for it.

    Raises:
        InputError: the disk is full; what is finished is kept.
    """
    started_with = os.environ.pop(_SETTINGS, None)
    if started_with is not None:
        recipe = Recipe.model_validate_json(started_with)
    _restarting(recipe, restart_tuned)
    try:
        if command != "run":
            pipeline.run_stage(recipe, command)
        elif pipeline.run_next(recipe) != "report":
            _restarting(recipe, restart)  # the next stage should not pay for this one's memory
    except Exception as error:  # of whatever library was writing: each has another one
        if isinstance(error, ToolmasterError) or not no_space(error, recipe.run):
            raise
        raise InputError(
            f"no space left for {recipe.run}; what is finished is kept: free some space and start"
            " the same command again"
        ) from None


def _restarting(recipe: Recipe, restart_process: Any) -> None:
    """Start again with the same settings, whatever becomes of the recipe's file meanwhile."""
    os.environ[_SETTINGS] = recipe.model_dump_json()
    try:
        restart_process()
    finally:  # it did not have to
        del os.environ[_SETTINGS]
