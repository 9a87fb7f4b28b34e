"""Whether BFCL's single-turn calls are the expected ones, by its own checker of one call.

An expected call lists the right values of each parameter; "" among them means that the parameter
may be left out. Every call must be expected, and every expected call must be made, in any order.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from toolmaster.tasksets.bfcl_package import Function, package, tool_name
from toolmaster.types import ToolCall

Answer = Mapping[str, Sequence[Any]]
"""Maps parameters to their right values."""


@cache
def checker() -> Any:
    """Return the package's module of the checker.

    It imports the clients of a dozen vendors for a table that it needs for names with dots only.
    Our names have none, so it gets an empty table.
    """
    models = ModuleType("bfcl_eval.constants.model_config")
    models.MODEL_CONFIG_MAPPING = {}  # type: ignore[attr-defined]
    before = sys.modules.setdefault(models.__name__, models)
    try:
        return package("eval_checker.ast_eval.ast_checker")
    finally:
        if before is models:
            del sys.modules[models.__name__]


def wrong_calls(
    calls: Sequence[ToolCall],
    functions: Mapping[str, Function],
    expected: Sequence[tuple[str, Answer]],
) -> tuple[str, int]:
    """Compare the calls of a task with the expected ones, in any order.

    Args:
        calls: the calls of the model.
        functions: the functions by name.
        expected: function name and right values of each call.

    Returns:
        Why the calls are wrong ("" if they are right), and how many expected calls were made.
    """
    left = list(calls)
    missing = []
    for name, answer in expected:
        problems = [wrong_call(call, functions[name], answer) for call in left]
        if "" in problems:
            del left[problems.index("")]
        else:
            missing.append(problems[0] if len(problems) == 1 else f"no call of {name} is right")
    made = len(expected) - len(missing)
    if len(calls) != len(expected):
        return f"calls made: {len(calls)}, expected: {len(expected)}", made
    return (missing[0] if missing else ""), made


def wrong_call(call: ToolCall, function: Function, answer: Answer) -> str:
    """Return why a call is not an expected one of a function; "" if it is."""
    rule, name = checker(), tool_name(function.name)
    described = {"name": name, "parameters": function.parameters.model_dump()}
    made, right = {call.name: call.arguments}, {name: answer}
    try:
        found = rule.simple_function_checker(described, made, right, rule.Language.PYTHON, "")
    except (AttributeError, KeyError, TypeError):  # it fails on a value of another kind
        return f"{name} has an argument of another kind"
    return "" if found["valid"] else "; ".join(map(str, found["error"]))
