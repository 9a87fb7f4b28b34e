"""The worlds of BFCL: instances of its package's classes, and a session's run beside a gold run."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from toolmaster.errors import InputError
from toolmaster.tasksets.task import Calls
from toolmaster.tools import ToolRefusal

LARGEST = {"power": "exponent", "logarithm": "precision", "square_root": "precision"}
"""Arguments that could keep the processor busy for ever, and are refused above 10,000."""


class World:
    """Instances of the classes of one case.

    Args:
        classes: their names in the package.
        config: class name to its first state.
        long_context: whether folders and files are filled up with much that is of no use.
    """

    def __init__(
        self, classes: Iterable[str], config: Mapping[str, Any], *, long_context: bool
    ) -> None:
        self.instances = {name: _class(name)() for name in classes}
        for name, instance in self.instances.items():
            if hasattr(instance, "_load_scenario"):
                state = copy.deepcopy(config.get(name, {}))
                instance._load_scenario(state, long_context=long_context)

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The text a call returns; whatever the method raises comes through."""
        limited = arguments.get(LARGEST.get(name, ""), 0)
        if isinstance(limited, int | float) and abs(limited) > 10_000:
            raise ToolRefusal(f"{LARGEST[name]} must be at most 10000")
        result = self.method(name)(**copy.deepcopy(dict(arguments)))
        if isinstance(result, dict):
            try:
                return json.dumps(result)
            except TypeError:
                return str(result)
        return str(result)

    def method(self, name: str) -> Callable[..., Any]:
        """The method of that name; no two classes of a case share one.

        Raises:
            AttributeError: no class has it.
        """
        instance = next((i for i in self.instances.values() if hasattr(i, name)), None)
        method: Callable[..., Any] = getattr(instance, name)
        return method

    def same_state(self, gold: World) -> bool:
        """Whether every public attribute of the gold instances has the same value here."""
        return all(
            getattr(self.instances[name], key) == value
            for name, instance in gold.instances.items()
            for key, value in vars(instance).items()
            if not key.startswith("_")
        )


@dataclass(slots=True)
class Run:
    """The state of a session: its world, and the gold world that follows message by message."""

    world: World
    gold: World
    gold_calls: Calls
    results: list[str] = field(default_factory=list)
    """What every call so far returned, errors included."""
    message: int = 0
    """How many messages were answered."""
    calls: int = 0
    """Calls since the last message."""
    states_right: bool = True
    responses_right: bool = True

    def execute(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Make a call in the world and remember what it gave."""
        self.calls += 1
        text, error = _attempt(self.world, name, arguments)
        self.results.append(text)
        if error is not None:
            raise error
        return text

    def close_message(self) -> None:
        """The message was answered: compare with what gold does."""
        calls = self.gold_calls[self.message]
        returned = [_attempt(self.gold, call.name, call.arguments)[0] for call in calls]
        if calls:
            self.states_right &= self.world.same_state(self.gold)
            self.responses_right &= self.calls > 0 and _holds(self.results, returned)
        self.message += 1
        self.calls = 0

    def verdict(self) -> tuple[bool, bool, bool]:
        """Close the last message, once, if the session got that far.

        Returns:
            Whether it did, whether all states were right, and whether all results were returned.
        """
        complete = self.message >= len(self.gold_calls) - 1
        if complete:
            self.close_message()
        return complete, self.states_right, self.responses_right


def _attempt(world: World, name: str, arguments: Mapping[str, Any]) -> tuple[str, Exception | None]:
    """What a call returns; an error as the text that the original compares, and as it was."""
    try:
        return world.call(name, arguments), None
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is a result
        return f"Error during execution: {error}", error


def _holds(results: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether all wanted results are there, each as often as it is wanted, in any order."""
    rest = list(results)
    for text in wanted:
        if text not in rest:
            return False
        rest.remove(text)
    return True


@cache
def _class(name: str) -> Any:
    return getattr(importlib.import_module(backend().CLASS_FILE_PATH_MAPPING[name]), name)


def backend() -> Any:
    """The package's table of classes.

    Raises:
        InputError: the package is not installed.
    """
    try:
        return importlib.import_module("bfcl_eval.constants.executable_backend_config")
    except ImportError as error:
        raise InputError(
            f"BFCL's cases come from its package ({error}); install it with"
            " `pip install --no-deps bfcl-eval mpmath`"
        ) from None


def package_data() -> Path:
    """The package's folder of cases."""
    return Path(backend().__file__).parents[1] / "data"
