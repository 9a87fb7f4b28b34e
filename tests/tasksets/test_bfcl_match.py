"""BFCL's single-turn calls: verdicts worked out by hand, and those of its checker of whole rows."""

import random
from collections import Counter
from types import SimpleNamespace

import pytest
from made_rows import bfcl_rows

from toolmaster.tasksets.bfcl import GROUPS, WITHOUT_ANSWERS, Row, make_task
from toolmaster.tasksets.bfcl_match import checker, wrong_call, wrong_calls
from toolmaster.tasksets.bfcl_package import Function
from toolmaster.types import ToolCall

pytest.importorskip(
    "bfcl_eval.constants.executable_backend_config",
    reason="needs `pip install --no-deps bfcl-eval mpmath`",
)

AREA = {
    "properties": {
        "base": {"type": "integer"},
        "height": {"type": "float"},
        "unit": {"type": "string"},
        "note": {"type": "string"},
    },
    "required": ["base"],
}
ANSWER = {"base": [10], "height": [5.0, 5.5], "unit": ["sq. cm", ""]}


def call(name, /, **arguments):
    return ToolCall(name=name, arguments=arguments)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (call("math_area", base=10, height=5.0), ""),
        (call("math_area", base=10, height=5, unit="SQ CM"), ""),
        (call("math_area", base=10, height=5.5, unit="sq.cm"), ""),
        (call("math.area", base=10, height=5.0), "Function name 'math_area' not found"),
        (call("math_area", height=5.0), "Missing required parameter: 'base'"),
        (call("math_area", base=10), "Optional parameter 'height' not provided"),
        (call("math_area", base=10.0, height=5.0), "Incorrect type for parameter 'base'"),
        (call("math_area", base=True, height=5.0), "Incorrect type for parameter 'base'"),
        (call("math_area", base=10, height=6), "Invalid value for parameter 'height': 6.0"),
        (call("math_area", base=10, height=5.0, unit="m"), "Invalid value for parameter 'unit'"),
        (call("math_area", base=10, height=5.0, note="x"), "Unexpected parameter: 'note'"),
        (call("math_area", base=10, height=5.0, colour="x"), "Unexpected parameter: 'colour'"),
    ],
)
def test_one_call(made, problem):
    found = wrong_call(made, Function(name="math.area", parameters=AREA), ANSWER)
    assert found.startswith(problem)
    assert bool(found) is bool(problem)


ITEMS = {"type": "array", "items": {"type": "integer"}}
FLOATS = {"type": "array", "items": {"type": "float"}}
TEXTS = {"type": "array", "items": {"type": "string"}}
DICTS = {"type": "array", "items": {"type": "dict"}}
PERSON = {"name": ["Ada Lane", "Ada"], "age": [36, ""]}


@pytest.mark.parametrize(
    ("kind", "right", "value", "expected"),
    [
        ({"type": "string"}, ["April 1, 2024"], "april 1 2024", True),
        ({"type": "string"}, ["it's"], 'it"s', True),
        ({"type": "string"}, ["a*b^c_d-e/f"], "AbcDEF", True),
        ({"type": "string"}, ["a;b"], "ab", False),
        ({"type": "string"}, ["5"], 5, False),
        ({"type": "string"}, [5], 5, True),  # a right value of another type than declared
        ({"type": "string"}, ["", 5], 5, True),
        ({"type": "string"}, [5], "5", False),
        ({"type": "any"}, ["x"], "X", True),
        ({"type": "integer"}, [1], True, False),
        ({"type": "integer"}, [1], 1.0, False),
        ({"type": "integer"}, ["n"], "n", True),  # the name of a variable
        ({"type": "integer"}, ["n"], "N", False),
        ({"type": "float"}, [1], 1, True),
        ({"type": "float"}, [1], 1.0, True),
        ({"type": "float"}, [1.5], "1.5", False),
        ({"type": "boolean"}, [True], True, True),
        ({"type": "boolean"}, [True], 1, False),
        ({"type": "boolean"}, [True], "true", False),
        (ITEMS, [[1, 2]], [1, 2], True),
        (ITEMS, [[1, 2]], [2, 1], False),
        (ITEMS, [[1, 2]], (1, 2), False),
        (ITEMS, [[1, 2], [2, 1]], [2, 1], True),
        (ITEMS, [[1, 2]], [1.0, 2.0], False),
        (ITEMS, [[1, 2], ""], [], True),
        (ITEMS, [[1, 2]], [], False),
        (FLOATS, [[1.0, 2.0]], [1, 2], False),  # inside a list a whole number is no float
        (FLOATS, [[1, 2]], [1, 2], True),
        ({**ITEMS, "type": "tuple"}, [[1, 2]], [1, 2], True),
        (TEXTS, [["New York", "L.A."]], ["new-york", "la"], True),
        (TEXTS, [["a"]], "a", False),
        ({"type": "array", "items": {"type": "array"}}, [[["a"]]], [["a"]], True),
        ({"type": "array", "items": {"type": "array"}}, [[["a"]]], [["A"]], False),
        ({"type": "dict"}, [PERSON], {"name": "ada lane", "age": 36}, True),
        ({"type": "dict"}, [PERSON], {"name": "Ada"}, True),
        ({"type": "dict"}, [PERSON], {"name": "Ada", "age": 37}, False),
        ({"type": "dict"}, [PERSON], {"age": 36}, False),
        ({"type": "dict"}, [PERSON], {"name": "Ada", "town": "Ely"}, False),
        ({"type": "dict"}, [PERSON, ""], {}, False),
        ({"type": "dict"}, ["", PERSON], {"name": "Ada"}, True),
        (DICTS, [[PERSON, {"name": ["Ben"]}]], [{"name": "Ada"}, {"name": "ben"}], True),
        (DICTS, [[PERSON, {"name": ["Ben"]}]], [{"name": "ben"}, {"name": "Ada"}], False),
        (DICTS, [[PERSON]], [{"name": "Ada"}, {"name": "Ada"}], False),
        (DICTS, [[PERSON]], ["Ada"], False),
        (ITEMS, [[1]], None, False),
    ],
)
def test_values(kind, right, value, expected):
    function = Function(name="f", parameters={"properties": {"v": kind}, "required": ["v"]})
    found = wrong_call(call("f", v=value), function, {"v": right})
    assert (found == "") is expected, found


TWO = {"add": Function(name="add", parameters={"properties": {"n": {"type": "integer"}}})}
ADDED = [("add", {"n": [1]}), ("add", {"n": [2]})]


@pytest.mark.parametrize(
    ("numbers", "problem", "made"),
    [
        ([1, 2], "", 2),
        ([2, 1], "", 2),
        ([1, 1], "Invalid value for parameter 'n': 1. Expected one of [2].", 1),
        ([3, 4], "no call of add is right", 0),
        ([1], "calls made: 1, expected: 2", 1),
        ([1, 2, 2], "calls made: 3, expected: 2", 2),
        ([], "calls made: 0, expected: 2", 0),
    ],
)
def test_calls_in_any_order(numbers, problem, made):
    calls = [call("add", n=number) for number in numbers]
    assert wrong_calls(calls, TWO, ADDED) == (problem, made)


OTHERS = (None, True, 0, 1, 1.0, "", "x", "5", [], ["x"], [1], {}, {"a": 1}, [{}])


def changed_value(value, rng):
    """Another value, often one that is nearly the same."""
    near = [*OTHERS]
    if isinstance(value, str):
        near = [
            value.upper(),
            value + ".",
            value + "x",
            value.replace(" ", "-"),
            [value],
            f"'{value}",
        ]
    elif isinstance(value, int | float):
        near = [float(value), int(value), value + 1, str(value), bool(value), [value]]
    elif isinstance(value, list) and value:
        at = rng.randrange(len(value))
        one = [*value[:at], changed_value(value[at], rng), *value[at + 1 :]]
        near = [one, value[::-1], value[1:], [*value, value[0]]]
    elif isinstance(value, dict) and value:
        key = rng.choice(list(value))
        near = [
            {**value, key: changed_value(value[key], rng)},
            {k: v for k, v in value.items() if k != key},
            {**value, "extra": 1},
        ]
    return rng.choice(near if rng.random() < 0.8 else OTHERS)


def changed_calls(calls, functions, answers, rng):
    """The calls with one thing changed."""
    calls = [one.model_copy(deep=True) for one in calls]
    chosen = rng.choice(calls)
    kind = rng.choice(["value"] * 5 + ["other right value", "lose", "add", "calls"])
    if kind == "value" and chosen.arguments:
        name = rng.choice(list(chosen.arguments))
        chosen.arguments[name] = changed_value(chosen.arguments[name], rng)
    elif kind == "other right value":
        name, values = rng.choice(
            list(next(iter(rng.choice(answers).values())).items()) or [("", [1])]
        )
        chosen.arguments[name] = rng.choice(values or [1])
    elif kind == "lose" and chosen.arguments:
        del chosen.arguments[rng.choice(list(chosen.arguments))]
    elif kind == "add":
        known = rng.choice(functions)["parameters"]["properties"]
        chosen.arguments[rng.choice([*known, "unknown"])] = rng.choice(OTHERS)
    else:
        return rng.choice([calls[::-1], [*calls, calls[0]], calls[1:]])
    return calls


def test_changed_calls_are_wrong_where_the_checker_of_whole_rows_says_so(monkeypatch):
    rule = checker()
    monkeypatch.setitem(rule.MODEL_CONFIG_MAPPING, "m", SimpleNamespace(underscore_to_dot=True))
    python = rule.Language.PYTHON

    def theirs(functions, calls, answers, category):
        made = [{one.name: one.arguments} for one in calls]
        try:
            return rule.ast_checker(functions, made, answers, python, category, "m")["valid"]
        except (AttributeError, TypeError):  # it fails on a value of another kind
            return False

    rng = random.Random(5)
    verdicts = Counter()
    categories = {*GROUPS["single_turn"], *GROUPS["live"]}.difference(WITHOUT_ANSWERS)
    rows = [(category, *row) for category in sorted(categories) for row in bfcl_rows(category)]
    for category, row, answers in rows:
        task = make_task(Row.model_validate(row), category, answers)
        functions = {one["name"]: Function.model_validate(one) for one in row["function"]}
        expected = [pair for answer in answers for pair in answer.items()]
        for _ in range(3 if task.calls else 0):
            calls = changed_calls(task.calls[0], row["function"], answers, rng)
            mine = not wrong_calls(calls, functions, expected)[0]
            found = theirs(row["function"], calls, answers, category)
            assert mine is found, (row["id"], calls, answers)
            verdicts[mine] += 1
    assert verdicts[True] > 1000
    assert verdicts[False] > 4000
