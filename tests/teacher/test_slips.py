"""Slips: always wrong, always mendable, of every kind."""

import random

import pytest

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.teacher.slips import draw_slip, misread
from toolmaster.types import ErrorKind
from toolmaster.world.tasks import World

KINDS = {
    "misread_tool": ErrorKind.UNKNOWN_TOOL,
    "misread_parameter": ErrorKind.INVALID_ARGUMENTS,
    "misread_entity": ErrorKind.TOOL_ERROR,
    "mistaken_tool": ErrorKind.INVALID_ARGUMENTS,
}


@pytest.mark.parametrize("text", ["getPrice", "Rye Loaf", "a", "AB", "vine_meewiliath", "x-9"])
def test_a_misread_text_is_another(text):
    wrong = {misread(random.Random(seed), text) for seed in range(200)}
    assert text.lower() not in {w.lower() for w in wrong}
    assert len(wrong) > 20
    assert all(wrong)


def test_a_word_may_get_another_end():
    wrong = {misread(random.Random(seed), "readComplement") for seed in range(300)}
    assert any(
        found.startswith("readCompl") and found.endswith(("ling", "ship", "ness"))
        for found in wrong
    )


def test_a_misread_text_is_none_of_those_taken():
    taken = {misread(random.Random(1), "abc")}
    assert misread(random.Random(1), "abc", taken) not in taken


def test_a_slip_is_refused_and_holds_what_is_right():
    world = World(level="short")
    found = set()
    for task_id in world.ids("seen", 120, ["plain", "silent", "irreversible", "loud"]):
        drawn = world.draw(task_id)
        call = drawn.plan.calls[0]
        surface = drawn.chosen[call.tool][0]
        arguments = surface.quirk.send(call.arguments)
        sent = surface.dress(arguments)
        slip = draw_slip(random.Random(task_id), surface, arguments, drawn.surfaces)
        assert (slip.name, slip.arguments) != (surface.name, sent)
        assert slip.right in (surface.name, *sent, *sent.values())
        session = Session(drawn.task, Protocol.DIRECT, Limits())
        tools = session.tools
        if slip.kind == "misread_tool":
            assert slip.name not in {surface.name}
        elif slip.kind in {"misread_parameter", "mistaken_tool"}:
            assert (slip.name == surface.name) == (slip.kind == "misread_parameter")
            assert tools[slip.name].violation(slip.arguments)
        else:
            assert tools[slip.name].violation(slip.arguments) is None
            assert slip.right not in slip.arguments.values()
        found.add(slip.kind)
    assert found == set(KINDS)
