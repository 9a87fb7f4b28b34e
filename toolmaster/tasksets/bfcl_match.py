"""The rule of BFCL's single-turn tasks: whether calls are the expected ones.

Source: Patil et al., the Berkeley Function Calling Leaderboard, the rule of its `ast_checker` for
Python functions. An expected call gives for each parameter the values that are right; "" among them
says that the parameter may be left out. Everything that is called must be expected, and the other
way round. A value has the type that the function declares, where a whole number serves as a
`float`, or the type of the first right value. Texts are equal up to case, spaces and the characters
`,./-_*^`, with single quotes like double ones. In a dictionary each key has its own right values.
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
"""BFCL's names of types; `any` takes text there."""
OPTIONAL = ""
"""Stands among the right values of a parameter that may be left out."""
Answer = Mapping[str, Sequence[Any]]
"""Parameter to its right values."""
Expected = Sequence[tuple[str, Answer]]
"""Function and right values of each call that is expected."""
_IGNORED = re.compile(r"[ ,./\-_*^]")


def wrong_calls(
    calls: Sequence[ToolCall],
    functions: Mapping[str, Mapping[str, Any]],
    expected: Expected,
) -> tuple[str, int]:
    """Compare the calls of a task with the expected ones, in any order.

    Args:
        calls: what the model called.
        functions: function name to its parameters, in BFCL's own schema.
        expected: function name and right values of each call.

    Returns:
        Why the calls are wrong, "" where they are right; and how many expected calls were made.
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
        call: what the model called.
        name: the expected function.
        parameters: its parameters, in BFCL's own schema.
        answer: the right values.

    Returns:
        Why the call is wrong; "" where it is right.
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
    """Whether an argument is one of the right values.

    Args:
        value: the argument, as JSON has it.
        schema: of the parameter; `type` is a key of `TYPES`.
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
    if otherwise is not declared:  # the original takes it for the name of a variable
        return value in right
    return _same(value, right, of_dicts=items is dict)


def _same(value: Any, right: Sequence[Any], *, of_dicts: bool) -> bool:
    """Whether a value of the declared type is one of the right ones."""
    if isinstance(value, dict):
        return any(_same_dict(value, one) for one in right)
    if isinstance(value, list) and of_dicts:
        return any(_same_dicts(value, one) for one in right)
    if isinstance(value, list):  # "" among the right values stands for an empty list, too
        lists = [[_bare(item) for item in one] for one in right if isinstance(one, list | str)]
        return [_bare(item) for item in value] in lists
    if isinstance(value, str):
        return _bare(value) in [_bare(one) for one in right if isinstance(one, str)]
    return value in right


def _items_fit(values: Sequence[Any], declared: type, right: Sequence[Any]) -> bool:
    """Whether the items have the declared type, or that of the first item of a right list."""
    for one in right:
        if not isinstance(one, list):
            return True
        first = next((item for item in one if item != OPTIONAL), OPTIONAL)
        allowed = (declared, type(first) if first != OPTIONAL else declared)
        if all(type(value) in allowed for value in values):
            return True
    return False


def _same_dict(value: Any, right: Any) -> bool:
    """Whether each key has one of its right values, and no key that is needed is missing."""
    if not isinstance(value, dict) or not isinstance(right, dict):
        return False
    return all(
        key in right and _bare(item) in [_bare(one) for one in right[key]]
        for key, item in value.items()
    ) and all(key in value or OPTIONAL in values for key, values in right.items())


def _same_dicts(values: Sequence[Any], right: Any) -> bool:
    return len(values) == len(right) and all(map(_same_dict, values, right))


def _bare(value: Any) -> Any:
    """A text without what does not count; anything else as it is."""
    if isinstance(value, str):
        return _IGNORED.sub("", value).lower().replace("'", '"')
    return value
