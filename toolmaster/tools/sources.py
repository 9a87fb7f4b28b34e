"""Opening tools from where they are: Python modules, by the path of their file."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from toolmaster.errors import InputError
from toolmaster.tools.functions import from_function
from toolmaster.tools.tool import Tool, ToolSet
from toolmaster.types import TrialMode


@asynccontextmanager
async def open_sources(
    specs: Sequence[str], *, trials: TrialMode | None = None
) -> AsyncIterator[ToolSet]:
    """The public functions of Python files as one tool set.

    Raises:
        InputError: a file that cannot be imported.
    """
    yield ToolSet(tuple(tool for spec in specs for tool in _from_file(Path(spec), trials)))


def _from_file(path: Path, trials: TrialMode | None) -> list[Tool]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"tools {str(path)!r}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    functions = inspect.getmembers(module, inspect.isfunction)
    return [
        replace(from_function(function), source=str(path), trials=trials)
        for name, function in functions
        if not name.startswith("_") and function.__module__ == module.__name__
    ]
