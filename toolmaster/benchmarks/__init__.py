"""The field's benchmarks: their original files as tasks, the official metric and a strict one.

A benchmark is one module with one `Benchmark` value; everything else (rollouts, resuming,
intervals, tables, the report) is shared. See `base` for what a module gives, `run` for what is done
with it.
"""

from __future__ import annotations

from importlib import import_module

from toolmaster.benchmarks.base import Benchmark
from toolmaster.errors import ConfigError

MODULES = {
    "toolhop": "toolhop",
    "ftrl": "ftrl",
    "restbench": "restbench",
    "stabletoolbench": "stabletoolbench",
    "apibank": "apibank",
}
"""Benchmark name to its module in this package, whose `benchmark` it is."""


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in MODULES:
        raise ConfigError(f"no benchmark {name!r}; there are: {', '.join(MODULES)}")
    found = import_module(f"{__name__}.{MODULES[name]}").benchmark
    assert isinstance(found, Benchmark)  # noqa: S101 - the table above is ours
    return found
