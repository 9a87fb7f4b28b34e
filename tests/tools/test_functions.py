"""Python functions as tools: schemas, defaults, types, and what cannot be a tool."""

import asyncio
import enum
import functools
import math
import typing
from collections.abc import Callable
from typing import Annotated, Literal

import pytest
import typing_extensions
from pydantic import BaseModel, Field, ValidationError

from toolmaster.errors import InputError
from toolmaster.tasksets import as_tool_set
from toolmaster.tools import from_function
from toolmaster.tools.functions import MAX_ITEMS
from toolmaster.types import Effect


class Size(enum.StrEnum):
    SMALL = "small"
    LARGE = "large"


class Point(BaseModel):
    x: int
    y: int = 0


def weather(city: str, days: int = 3) -> str:
    """Forecast the weather
    of a city.

    More that is not shown.

    Args:
        city: where, for
            example Oslo
        days (int): how far ahead: up to 9

    Returns:
        Nothing: really.
    """
    return f"{city}/{days}"


def props(function):
    return from_function(function).parameters["properties"]


def test_schema_from_signature_and_docstring():
    tool = from_function(weather)
    assert (tool.name, tool.description) == ("weather", "Forecast the weather of a city.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "where, for example Oslo"},
            "days": {"type": "integer", "default": 3, "description": "how far ahead: up to 9"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert (tool.effect, tool.timeout_s) == (Effect.UNKNOWN, 30.0)


def test_effect_and_timeout_are_passed_on():
    tool = from_function(weather, effect=Effect.READ, timeout_s=None)
    assert (tool.effect, tool.timeout_s) == (Effect.READ, None)


def test_defaults_are_filled_in():
    tool = from_function(weather)
    assert tool.execute(None, {"city": "Oslo"}) == "Oslo/3"
    assert tool.execute(None, {"city": "Oslo", "days": 1}) == "Oslo/1"


def test_no_parameters_and_no_docstring():
    def ping():
        return "pong"

    tool = from_function(ping)
    assert tool.description == ""
    assert tool.parameters["properties"] == {}
    assert tool.violation({}) is None
    assert tool.violation({"x": 1}) == 'unknown parameter "x"; allowed: none'
    assert tool.execute(None, {}) == "pong"


def test_literal():
    def order(size: Literal["s", "l"]) -> str:
        return size

    assert props(order)["size"] == {"enum": ["s", "l"], "type": "string"}
    assert from_function(order).violation({"size": "m"}).startswith("size: ")


def test_enum_arrives_as_the_enum():
    def order(size: Size) -> str:
        return size.name

    tool = from_function(order)
    assert tool.violation({"size": "small"}) is None
    assert tool.violation({"size": "tiny"}).startswith("size: ")
    assert tool.execute(None, {"size": "large"}) == "LARGE"


def test_lists_nested_models_and_options():
    def walk(points: list[Point], label: str | None = None) -> int:
        return sum(p.x + p.y for p in points) + len(label or "")

    tool = from_function(walk)
    assert tool.violation({"points": [{"x": 1}, {"x": 2, "y": 3}], "label": None}) is None
    assert tool.violation({"points": [{"y": 1}]}).startswith("points.0: ")
    assert tool.violation({"points": "no"}).startswith("points: ")
    assert tool.execute(None, {"points": [{"x": 1}, {"x": 2, "y": 3}], "label": "ab"}) == 8


def test_constraints_are_kept():
    def pick(count: Annotated[int, Field(ge=1)], *, tag: str = "a") -> str:
        return tag * count

    assert props(pick)["count"]["minimum"] == 1
    assert from_function(pick).violation({"count": 0}).startswith("count: ")
    assert from_function(pick).execute(None, {"count": 2, "tag": "b"}) == "bb"


def test_async_function():
    async def double(x: int) -> int:
        return 2 * x

    execute = from_function(double).execute
    assert asyncio.iscoroutinefunction(execute)
    assert asyncio.run(execute(None, {"x": 4})) == 8


def test_bad_values_raise_when_the_schema_was_not_asked():
    with pytest.raises(ValidationError):
        from_function(weather).execute(None, {"city": "Oslo", "days": "many"})


def test_missing_type_hint():
    def price(item):
        return item

    with pytest.raises(InputError, match="tool 'price': parameter 'item' needs a type hint"):
        from_function(price)


class Plain:
    """Nothing that pydantic knows."""


def test_type_hints_that_are_not_there():
    def price(item: "Decimal") -> int:  # noqa: F821 - as where only TYPE_CHECKING imports it
        return 0

    with pytest.raises(InputError) as caught:
        from_function(price)
    assert str(caught.value) == (
        "tool 'price': its type hints cannot be read: NameError: name 'Decimal' is not defined;"
        " they need names that exist at run time, so import them outside"
        " `if TYPE_CHECKING`"
    )


@pytest.mark.parametrize(
    ("hint", "found"),
    [
        (Plain, "item: test_functions.Plain"),
        (list[Plain], "item: list[test_functions.Plain]"),
        (Callable[[int], int], "item: collections.abc.Callable[[int], int]"),
        (Annotated[str, Field(pattern="(")], "item: typing.Annotated[str, FieldInfo("),
    ],
)
def test_type_hints_that_make_no_json_schema(hint, found):
    def price(count: int, item) -> int:
        return 0

    price.__annotations__["item"] = hint
    with pytest.raises(InputError) as caught:
        from_function(price)
    message = str(caught.value)
    assert message.startswith(f"tool 'price': no JSON schema can be made of its parameter {found}")
    assert "; use str, int, float" in message


@pytest.mark.parametrize("kind", ["args", "kwargs", "positional"])
def test_parameters_that_cannot_be_named(kind):
    def args(*args: int): ...
    def kwargs(**kwargs: int): ...
    def positional(positional: int, /): ...

    with pytest.raises(InputError, match=f"'{kind}' cannot be passed by name"):
        from_function({"args": args, "kwargs": kwargs, "positional": positional}[kind])


def test_parameters_may_have_any_name():
    """Also those of attributes and settings of pydantic's models, without a warning."""

    def ask(schema: str, copy: int, model_config: str, model_dump: str, _x: int) -> tuple:
        return schema, copy, model_config, model_dump, _x

    tool = from_function(ask)
    arguments = {"schema": "s", "copy": 1, "model_config": "c", "model_dump": "d", "_x": 2}
    assert list(tool.parameters["properties"]) == tool.parameters["required"] == list(arguments)
    assert tool.violation(arguments) is None
    assert tool.execute(None, arguments) == ("s", 1, "c", "d", 2)
    with pytest.raises(ValidationError, match=r"(?m)^copy$"):  # what a policy is told
        tool.execute(None, {**arguments, "copy": "one"})


def test_an_alias_of_the_functions_own():
    def ask(from_: Annotated[str, Field(alias="from")]) -> str:
        return from_

    assert list(props(ask)) == ["from"]
    assert from_function(ask).execute(None, {"from": "Oslo"}) == "Oslo"


def test_a_private_parameter_keeps_its_default():
    def ask(city: str, _client: object = None, *, _retries=3) -> tuple:
        return city, _client, _retries

    assert list(props(ask)) == ["city"]
    assert from_function(ask).execute(None, {"city": "Oslo"}) == ("Oslo", None, 3)
    with pytest.raises(ValidationError):
        from_function(ask).execute(None, {"city": "Oslo", "_retries": 9})


def test_what_a_partial_fixes_is_an_option():
    tool = from_function(functools.partial(weather, days=1))
    assert (tool.name, tool.parameters["required"]) == ("weather", ["city"])
    assert tool.execute(None, {"city": "Oslo"}) == "Oslo/1"


def test_an_object_that_can_be_called():
    class Lookup:
        def __call__(self, city: str) -> str:
            """Look up a city."""
            return city.upper()

    tool = from_function(Lookup())
    assert (tool.name, tool.description) == ("Lookup", "Look up a city.")
    assert tool.execute(None, {"city": "Oslo"}) == "OSLO"


def test_a_tool_of_langchain():
    tools = pytest.importorskip("langchain_core.tools")

    @tools.tool
    def price(item: str, days: int = 1) -> int:
        """Price of an item."""
        return len(item) * days

    made = from_function(price, effect=Effect.READ)
    assert (made.name, made.description, made.effect) == ("price", "Price of an item.", Effect.READ)
    assert made.parameters["required"] == ["item"]
    assert made.execute(None, {"item": "rug", "days": 2}) == 6
    assert list(as_tool_set(price).names()) == ["price"]


@pytest.mark.filterwarnings("ignore:Function 'price' has decorators")
def test_a_tool_of_smolagents():
    smolagents = pytest.importorskip("smolagents")

    @smolagents.tool
    def price(item: str, days: int | None = 1) -> int:
        """Price of an item.

        Args:
            item: what it is
            days: for how long
        """
        return len(item) * days

    made = from_function(price)
    assert (made.name, made.parameters["required"]) == ("price", ["item"])
    assert made.parameters["properties"]["item"] == {"type": "string", "description": "what it is"}
    assert made.execute(None, {"item": "rug", "days": 2}) == 6


def test_an_object_that_wraps_a_function():
    class Wrapping:
        name, fn = "price", staticmethod(weather)

    assert from_function(Wrapping()).name == "weather"
    assert list(as_tool_set(Wrapping()).names()) == ["weather"]


def test_a_cached_function_is_a_tool():
    assert from_function(functools.cache(weather)).execute(None, {"city": "Oslo"}) == "Oslo/3"


@pytest.mark.parametrize("count", [2, MAX_ITEMS + 5])
def test_what_is_yielded_becomes_a_list(count):
    def plain():
        yield from range(count)

    async def asynchronous():
        for number in range(count):
            yield number

    def mapped() -> list[int]:
        return map(int, range(count))

    expected = list(range(min(count, MAX_ITEMS)))
    assert from_function(plain).execute(None, {}) == expected
    assert from_function(mapped).execute(None, {}) == expected
    assert asyncio.run(from_function(asynchronous).execute(None, {})) == expected


NUMPY = """Forecast the weather.

Parameters
----------
city : str
    where
days
    how far ahead
"""
SPHINX = """Forecast the weather.

:param city: where
:param int days: how far ahead
:returns: nothing
"""
NO_BLANK_LINE = """Forecast the weather.
Args:
    city: where
    days: how far ahead
"""


@pytest.mark.parametrize("doc", [NUMPY, SPHINX, NO_BLANK_LINE])
def test_styles_of_docstrings(doc):
    def forecast(city: str, days: int) -> str:
        return city * days

    forecast.__doc__ = doc
    tool = from_function(forecast)
    assert tool.description == "Forecast the weather."
    assert [one["description"] for one in tool.parameters["properties"].values()] == [
        "where",
        "how far ahead",
    ]


def test_texts_of_annotations():
    def forecast(
        city: Annotated[str, "where"],
        days: Annotated[int, typing_extensions.Doc("how far")] = 1,
        unit: Annotated[str, Field(description="C or F")] = "C",
    ) -> str:
        return city * days + unit

    shown = [one["description"] for one in props(forecast).values()]
    assert shown == ["where", "how far", "C or F"]


def test_a_default_without_a_form_in_json_is_left_out():
    def search(limit: float = math.inf, least: float = 0.5) -> float:
        return limit + least

    assert props(search) == {
        "limit": {"type": "number"},
        "least": {"type": "number", "default": 0.5},
    }
    assert from_function(search).execute(None, {}) == math.inf


class Range(typing.TypedDict):
    low: int


def test_a_typed_dict():
    def count(within: Range) -> int:
        return within["low"]

    assert from_function(count).execute(None, {"within": {"low": 3}}) == 3
