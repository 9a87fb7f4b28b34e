"""`taskset`: any task set, named in one line.

    world, world:calls, world:short     the embedded world
    ftrl:FILE, toolhop:FILE, bfcl, ...  a benchmark, from its original file; see `BUILT_IN`
    tasks.jsonl tools=shop.py:Shop      tasks for your own tools, one JSON object per line
    mine.py:tasks, package.module:tasks a `Taskset`, a list of `Task`s, or a function that makes one
    NAME, NAME:PLACE                    a task set of an installed package (entry point group
                                        `toolmaster.tasksets`)
    A weight=0.7 + B weight=0.3         a mixture

Options follow after spaces as `key=value`: `split=` (a split's name), `tasks=` (the first N),
`weight=` (in a mixture), `hidden=` (families of behaviours to hide in the tools), and parameters of
the function that makes the set. Options of a tool source, such as `trials=live`, follow its
`tools=SOURCE`; `tools=` may be given several times.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, validate_call

from toolmaster.errors import ConfigError, InputError, ToolmasterError, did_you_mean, first_problem
from toolmaster.tasksets.mixture import mix
from toolmaster.tasksets.task import Task
from toolmaster.tasksets.taskset import Taskset
from toolmaster.tools.python import find_object
from toolmaster.tools.sources import SourceOptions

_SETS = ("world", "apibank", "bfcl", "ftrl", "restbench", "stabletoolbench", "toolhop")
BUILT_IN = {name: f"toolmaster.tasksets.{name}:{name}" for name in _SETS}
"""Maps names to the functions that make the task sets, called as `function(place, **options)`."""
GROUP = "toolmaster.tasksets"
"""The entry point group in which an installed package offers task sets."""
_OPTION = re.compile(r"\s+(?=[A-Za-z_][\w.-]*=)")
_PLUS = re.compile(r"\s\+\s")


class Common(BaseModel):
    """The options that every task set takes."""

    split: str = ""
    tasks: int | None = Field(None, ge=1)
    """The first N tasks; None takes all."""
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Share in a mixture."""
    hidden: str = ""
    """Families of behaviours to hide in the tools, with commas, or "all"; see `hidden.hide`."""


def taskset(
    named: str | Taskset | Iterable[Task] | Mapping[Any, float], *, default: str = ""
) -> Taskset:
    """Open a task set.

    Args:
        named: one line, as in the module's docstring; or a task set, some tasks, or a mapping from
            any of these to its weight in a mixture.
        default: the split to take if a line names none and the set has its own splits.

    Raises:
        ConfigError: the line cannot be understood, or the set does not take an option.
        InputError: the set's file or module is missing or cannot be used.

    Example:
        >>> taskset("world:short split=test tasks=2").label
        'world:short/test (v6s)'
    """
    if isinstance(named, Taskset):
        return named
    if isinstance(named, str):
        parts = [_one(line, default) for line in _PLUS.split(named.strip())]
        return parts[0][0] if len(parts) == 1 else mix(parts)
    if isinstance(named, Mapping):
        return mix([(taskset(key, default=default), weight) for key, weight in named.items()])
    return _as_taskset(named, "tasks")


def names() -> dict[str, str]:
    """Return the names of all task sets that can be opened by name, and their functions."""
    installed = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    return {**installed, **BUILT_IN}


def _one(line: str, default: str) -> tuple[Taskset, float]:
    """Return the task set of one line, and its weight."""
    place, *words = _OPTION.split(line)
    options: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key == "tools":
            options.setdefault("tools", []).append(value)
        elif "tools" in options and key.partition(".")[0] in SourceOptions.model_fields:
            options["tools"][-1] += f" {word}"
        elif key in options:
            raise ConfigError(f"task set {place!r}: {key} is given twice")
        else:
            options[key] = value
    common = {key: options.pop(key) for key in Common.model_fields if key in options}
    try:
        chosen = Common.model_validate(common)
    except ValidationError as error:
        key, problem = first_problem(error)
        raise ConfigError(f"task set {place!r}: {key}={common[key]}: {problem}") from None
    made = _make(place, options)
    made = made.split(chosen.split) if chosen.split else made.own_split(default)
    if chosen.hidden:
        from toolmaster.tasksets.hidden import hide  # noqa: PLC0415 - the embedded world

        made = hide(made, chosen.hidden)
    return (made if chosen.tasks is None else made[: chosen.tasks]), chosen.weight


def _make(place: str, options: dict[str, Any]) -> Taskset:
    name, _, inner = place.partition(":")
    known = names()
    if name in known:
        made = find_object(known[name])
        return _called(made, inner or None, options, place)
    if Path(place).suffix in (".jsonl", ".ndjson"):
        from toolmaster.tasksets.files import own_tasks  # noqa: PLC0415 - opens tool sources

        return _called(own_tasks, place, options, place)
    hint = did_you_mean(name, known)
    if ":" in place:
        try:
            found = find_object(place)
        except InputError as error:
            if not hint or not name.isidentifier():
                raise
            raise InputError(f"task set {place!r}: there is none{hint}; {error}") from None
        return _called(found, None, options, place)
    if place.isdigit():
        hint = f' (the number of tasks is an option of a set, as in "world tasks={place}")'
    raise ConfigError(
        f"task set {place!r}: there is none of this name{hint}; a task set is one of"
        f" {', '.join(known)} (as NAME or NAME:PLACE), a JSON-lines file with tools=SOURCE, or"
        " something in Python (mine.py:tasks, package.module:tasks)"
    )


def _called(made: Any, inner: str | None, options: dict[str, Any], place: str) -> Taskset:
    """Return the task set of an object: call a function with the options of the line."""
    parameters = inspect.signature(made).parameters if callable(made) else {}
    if inner is not None:
        if not parameters:
            raise ConfigError(f"task set {place!r}: it takes nothing after the colon")
        options = {next(iter(parameters)): inner, **options}
    takes = [*Common.model_fields, *parameters]
    for key in options:
        if key not in parameters:
            hint, allowed = did_you_mean(key, takes), ", ".join(takes)
            raise ConfigError(f"task set {place!r}: no option {key!r}{hint}; it takes: {allowed}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in options:
            after_colon = parameter.kind is not parameter.KEYWORD_ONLY and ":" not in place
            how = f"{place}:FILE" if after_colon else f"{key}=..."
            raise ConfigError(f"task set {place!r}: it needs {key!r}, as in {how}")
    if not callable(made):
        return _as_taskset(made, place)
    try:
        return _as_taskset(validate_call(made)(**options), place)
    except ValidationError as error:
        problem = ": ".join(first_problem(error))
        raise ConfigError(f"task set {place!r}: {problem}") from None
    except ToolmasterError:
        raise
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise InputError(f"task set {place!r}: it fails: {problem}") from error


def _as_taskset(made: Any, place: str) -> Taskset:
    if isinstance(made, Taskset):
        return made
    if isinstance(made, Iterable) and not isinstance(made, str | bytes | Mapping):
        return Taskset(place, made)
    raise InputError(
        f"task set {place!r}: it is a {type(made).__name__}; expected a Taskset, a list of Tasks,"
        " or a function that returns one of these"
    )
