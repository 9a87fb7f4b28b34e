"""The rule of BFCL's single-turn tasks: whether calls are the expected ones.

Source: Patil et al., the Berkeley Function Calling Leaderboard, the rule of its `ast_checker` for
Python functions. An expected call lists the right values of each parameter; "" among them means
that the parameter may be left out. Every call must be expected, and every expected call must be
made. A value has the type that the function declares, or the type of the first right value; a whole
number may be a `float`. Texts are equal up to case, spaces and the characters `,./-_*^`, and single
quotes equal double ones. In a dictionary each key has its own right values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from toolmaster.tasksets.bfcl_package import tool_name
from toolmaster.types import ToolCall

TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
"""BFCL's names of types; BFCL takes text for `any`."""
OPTIONAL = ""
"""Among the right values of a parameter: it may be left out."""
Answer = Mapping[str, Sequence[Any]]
"""Maps parameters to their right values."""
Expected = Sequence[tuple[str, Answer]]
"""Function and right values of each expected call."""
_IGNORED = re.compile(r"[ ,./\-_*^]")


def wrong_calls(
    calls: Sequence[ToolCall],
    functions: Mapping[str, Mapping[str, Any]],
    expected: Expected,
) -> tuple[str, int]:
    """Compare the calls of a task with the expected ones, in any order.

    Args:
        calls: the calls of the model.
        functions: maps function names to their parameters, in BFCL's own schema.
        expected: function name and right values of each call.

    Returns:
        Why the calls are wrong ("" if they are right), and how many expected calls were made.
    """
    left = list(calls)
    missing = []
    for name, answer in expected:
        problems = [wrong_call(call, name, functions[name], answer) for call in left]
        if "" in problems:
            del left[problems.index("")]
        else:
            missing.append(problems[0] if len(problems) == 1 else f"no call of {name} is right")
    made = len(expected) - len(missing)
    if len(calls) != len(expected):
        return f"calls made: {len(calls)}, expected: {len(expected)}", made
    return (missing[0] if missing else ""), made


def wrong_call(call: ToolCall, name: str, parameters: Mapping[str, Any], answer: Answer) -> str:
    """Compare one call with an expected one.

    Args:
        call: the call of the model.
        name: the expected function.
        parameters: its parameters, in BFCL's own schema.
        answer: the right values.

    Returns:
        Why the call is wrong; "" if it is right.
    """
    if call.name != tool_name(name):
        return f"{call.name} was called, expected {tool_name(name)}"
    known = parameters["properties"]
    given = call.arguments
    for parameter in parameters.get("required", ()):
        if parameter not in given:
            return f"{parameter} is missing"
    for parameter, value in given.items():
        if parameter not in known or parameter not in answer:
            return f"{parameter} is not expected"
        if not same_value(value, known[parameter], answer[parameter]):
            return f"{parameter} is {value!r}, expected one of {list(answer[parameter])!r}"
    for parameter, values in answer.items():
        if parameter not in given and OPTIONAL not in values:
            return f"{parameter} is missing"
    return ""


def same_value(value: Any, schema: Mapping[str, Any], right: Sequence[Any]) -> bool:
    """Return whether an argument is one of the right values.

    Args:
        value: the argument, a JSON value.
        schema: the schema of the parameter; its `type` is a key of `TYPES`.
        right: the right values.
    """
    declared = TYPES[schema["type"]]
    if schema["type"] == "float" and type(value) is int:
        value = float(value)
    first = next((one for one in right if one != OPTIONAL), OPTIONAL)
    otherwise = type(first) if first != OPTIONAL else declared
    if type(value) not in (declared, otherwise):
        return False
    items = TYPES[schema["items"]["type"]] if declared is list and "items" in schema else None
    if items is not None and type(value) is list and not _items_fit(value, items, right):
        return False
    if otherwise is not declared:  # upstream takes it for the name of a variable
        return value in right
    return _same(value, right, of_dicts=items is dict)


def _same(value: Any, right: Sequence[Any], *, of_dicts: bool) -> bool:
    """Return whether a value of the declared type is one of the right ones."""
    if isinstance(value, dict):
        return any(_same_dict(value, one) for one in right)
    if isinstance(value, list) and of_dicts:
        return any(_same_dicts(value, one) for one in right)
    if isinstance(value, list):  # "" also means an empty list
        lists = [[_bare(item) for item in one] for one in right if isinstance(one, list | str)]
        return [_bare(item) for item in value] in lists
    if isinstance(value, str):
        return _bare(value) in [_bare(one) for one in right if isinstance(one, str)]
    return value in right


def _items_fit(values: Sequence[Any], declared: type, right: Sequence[Any]) -> bool:
    """Return whether items have the declared type, or that of the first item of a right list."""
    for one in right:
        if not isinstance(one, list):
            return True
        first = next((item for item in one if item != OPTIONAL), OPTIONAL)
        allowed = (declared, type(first) if first != OPTIONAL else declared)
        if all(type(value) in allowed for value in values):
            return True
    return False


def _same_dict(value: Any, right: Any) -> bool:
    """Return whether each key has one of its right values, and no required key is missing."""
    if not isinstance(value, dict) or not isinstance(right, dict):
        return False
    return all(
        key in right and _bare(item) in [_bare(one) for one in right[key]]
        for key, item in value.items()
    ) and all(key in value or OPTIONAL in values for key, values in right.items())


def _same_dicts(values: Sequence[Any], right: Any) -> bool:
    return len(values) == len(right) and all(map(_same_dict, values, right))


def _bare(value: Any) -> Any:
    """Return a text without case and ignored characters; any other value as it is."""
    if isinstance(value, str):
        return _IGNORED.sub("", value).lower().replace("'", '"')
    return value
