import asyncio
import random
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from toolmaster.errors import ConfigError
from toolmaster.tools import Tool, ToolRefusal, from_function
from toolmaster.types import Effect
from toolmaster.world.behaviours import (
    KINDS,
    PRIOR,
    Behaviour,
    EnumCode,
    HiddenParameter,
    Inverted,
    OffByOne,
    OtherFormat,
    Renamed,
    Swapped,
    Transient,
    WrongDefault,
    WrongTwin,
    fitting,
    is_held_out,
    lay,
    outdated,
)

SCHEMA = {
    "type": "object",
    "properties": {
        "source": {"type": "string"},
        "target": {"type": "string"},
        "day": {"type": "string", "format": "date"},
        "size": {"type": "string", "enum": ["small", "large"]},
        "max_price": {"type": "integer"},
        "notify": {"type": "boolean", "default": False},
    },
    "required": ["source", "target", "day", "size"],
    "additionalProperties": False,
}
ARGUMENTS = {
    "source": "Oak Inn",
    "target": "Elm Bar",
    "day": "2024-05-03",
    "size": "small",
    "max_price": 20,
}


def tool(effect=Effect.READ):
    return Tool("trip", "A trip.", SCHEMA, lambda _, arguments: dict(arguments), effect)


def all_behaviours():
    rng = random.Random(1)
    return [b for _ in range(5) for b in fitting(tool(), "test", rng)]


def test_every_kind_fits_a_rich_tool():
    assert {type(one) for one in all_behaviours()} == set(KINDS)


@pytest.mark.parametrize("behaviour", all_behaviours(), ids=lambda b: f"{b.name}")
def test_what_is_sent_arrives_as_it_is_meant(behaviour):
    met = behaviour.meet(behaviour.send(dict(ARGUMENTS)))
    assert {"notify": False, **met} == {"notify": False, **ARGUMENTS}
    assert behaviour.lesson
    assert behaviour.family(tool()) in PRIOR


@pytest.mark.parametrize(
    ("behaviour", "received"),
    [
        (WrongDefault("notify", False, True), {**ARGUMENTS, "notify": True}),
        (Inverted("notify", False, True), {**ARGUMENTS, "notify": True}),
        (Swapped("source", "target"), {**ARGUMENTS, "source": "Elm Bar", "target": "Oak Inn"}),
        (OffByOne("max_price", 1), {**ARGUMENTS, "max_price": 19}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_silent_behaviours_do_something_else(behaviour, received):
    assert lay(tool(), behaviour).execute(None, dict(ARGUMENTS)) == received
    assert behaviour.family(tool()) == "silent"
    assert behaviour.family(tool(Effect.WRITE)) == "irreversible"


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (OtherFormat("day", "DD/MM/YYYY"), '"day" must have the form DD/MM/YYYY'),
        (OtherFormat("source", "underscores for spaces"), '"source" must have underscores'),
        (EnumCode("size", (("small", "S"), ("large", "L"))), '"size" takes "S" for small'),
        (HiddenParameter("region", ("eu", "us")), 'missing "region", one of "eu", "us"'),
        (Renamed("source", "origin"), 'unknown parameter "source"; it is called "origin"'),
        (Transient("busy; try again"), "busy; try again"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_loud_behaviours_say_what_they_want(behaviour, message):
    hidden = lay(tool(), behaviour)
    with pytest.raises(ToolRefusal, match=message):
        hidden.execute(None, dict(ARGUMENTS))
    sent = behaviour.send(dict(ARGUMENTS))
    assert hidden.violation(sent) is None
    assert hidden.execute(None, sent) == ARGUMENTS


def test_documentation_gives_nothing_away_that_is_silent():
    for behaviour in (WrongDefault("notify", False, True), Swapped("source", "target")):
        hidden = lay(tool(), behaviour)
        assert (hidden.parameters, hidden.description) == (SCHEMA, "A trip.")


def test_a_fault_is_new_for_every_rollout():
    for _ in range(2):
        hidden = lay(tool(), Transient("busy"))
        with pytest.raises(ToolRefusal):
            hidden.execute(None, {})
        assert hidden.execute(None, {}) == {}


def test_a_twin_is_out_of_date():
    got = lay(tool(), WrongTwin("other")).execute(None, {"max_price": 70, "source": "Oak Inn"})
    assert got == {"max_price": 60, "source": "Oak Inn (old)"}
    assert outdated(["a", "b", "c"]) == ["a", "b"]
    assert outdated(None) is None


def test_they_lie_over_a_users_function_too():
    def price(item: str, currency: Literal["EUR", "USD"] = "EUR") -> str:
        return f"{item} 5 {currency}"

    [wrong] = WrongDefault.fitting(from_function(price), random.Random(1))
    assert lay(from_function(price), wrong).execute(None, {"item": "cup"}) == "cup 5 USD"


def test_they_lie_over_async_tools():
    async def execute(_, arguments):
        return arguments

    hidden = lay(Tool("t", "", SCHEMA, execute), Swapped("source", "target"))
    got = asyncio.run(hidden.execute(None, {"source": "a", "target": "b"}))
    assert got == {"source": "b", "target": "a"}


def test_some_are_kept_for_evaluation():
    held_out = [one for one in all_behaviours() if is_held_out(one)]
    assert {one.name for one in held_out} == {"codes for words", "other format"}
    assert not any(map(is_held_out, fitting(tool(), "train", random.Random(2))))


@pytest.mark.parametrize(
    ("schema", "count"),
    [
        ({"type": "integer", "default": None}, 0),
        ({"type": "integer", "default": "5"}, 0),
        ({"type": "integer", "default": True}, 0),
        ({"type": ["integer", "null"], "default": None}, 0),
        ({"type": "boolean", "default": "no"}, 0),
        ({"enum": ["a", "b"], "default": "c"}, 0),
        ({"enum": ["a", None, ["b"]], "default": "a"}, 0),
        ({"type": "array", "default": []}, 0),
        (True, 0),
        ({"type": "integer", "default": 5}, 1),
        ({"enum": ["a", "b"], "default": "a"}, 2),
    ],
    ids=str,
)
def test_a_default_that_does_not_fit_its_schema_hides_nothing(schema, count):
    strange = replace(tool(), parameters={"properties": {"a": schema}, "required": ["a", "b"]})
    found = fitting(strange, "test", random.Random(1))
    assert sum(isinstance(one, WrongDefault | Inverted) for one in found) == count


def test_a_tool_with_every_hidden_parameter_has_no_other():
    names = ("region", "api_version", "channel", "tenant", "locale", "workspace")
    full = replace(tool(), parameters={"properties": {name: {} for name in names}})
    assert not list(HiddenParameter.fitting(full, random.Random(1)))


@dataclass(frozen=True, slots=True)
class Marked(Behaviour):
    """A text begins with a number sign."""

    name = "marked"
    own_family = "loud"

    @classmethod
    def fitting(cls, tool, rng):
        yield cls()

    def meet(self, arguments):
        return {**arguments, "source": arguments["source"].removeprefix("#")}

    def send(self, arguments):
        return {**arguments, "source": f"#{arguments['source']}"}

    @property
    def lesson(self):
        return "source begins with #"


def fails(*_):
    raise KeyError("boom")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fitting": fails}, "KeyError: 'boom'"),
        ({"fitting": lambda *_: None}, "not iterable"),
        ({"fitting": lambda *_: ["x"]}, "'x', which is no behaviour"),
        ({"meet": fails}, "KeyError: 'boom'"),
        ({"send": fails}, "KeyError: 'boom'"),
        ({"send": lambda _, arguments: {**arguments, "source": "x"}}, "is sent as .*'x'"),
        ({"send": lambda _, arguments: {**arguments, "more": 5}}, "met as .*more"),
        ({"own_family": "noisy"}, "its family is 'noisy'; allowed: loud, silent"),
        ({"lesson": "a\nb"}, "expected one line"),
        ({"__hash__": None}, "unhashable"),
    ],
)
def test_ones_own_behaviour_that_breaks_the_contract_is_named(changed, message):
    kind = type("Bad", (Marked,), changed)
    with pytest.raises(ConfigError, match=f"'marked' on the tool 'trip': .*{message}"):
        fitting(tool(), "test", random.Random(1), (kind,), [ARGUMENTS])
    assert fitting(tool(), "test", random.Random(1), (Marked,), [ARGUMENTS]) == [Marked()]
