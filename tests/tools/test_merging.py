"""Tool sets merged into one: names, states, and how each tool is tried."""

import asyncio
import copy

import pytest

from toolmaster.errors import InputError
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.merging import merge, unique_names
from toolmaster.types import Effect, TrialMode


def count(state, _arguments):
    state.append(1)
    return len(state)


async def count_later(state, arguments):
    return count(state, arguments)


def tool(name, execute=count, effect=Effect.WRITE, **more):
    return Tool(name, "Count.", {"type": "object"}, execute, effect, **more)


@pytest.mark.parametrize(
    ("tools", "names"),
    [
        ([("a", "read"), ("a", "write"), ("b", "list")], ["read", "write", "list"]),
        ([("a", "read"), ("b", "read"), ("b", "list")], ["a_read", "b_read", "list"]),
        ([("my files", "files.read/x")], ["files_read_x"]),
        ([("my files", "read"), ("b", "read")], ["my_files_read", "b_read"]),
        ([("a", "x.y"), ("a", "x/y")], ["a_x_y", "a_x_y_2"]),
        # a name in front makes another tool's name
        (
            [("a", "b_c"), ("a_b", "c"), ("x", "b_c"), ("x", "c")],
            ["a_b_c", "a_b_c_2", "x_b_c", "x_c"],
        ),
        # a name that begins with the label of others is theirs
        ([("a", "c"), ("b", "c"), ("b", "a_c")], ["a_c", "b_c", "b_a_c"]),
        ([("a", "c"), ("b", "a_x"), ("b", "b_x"), ("b", "ab")], ["c", "b_a_x", "b_x", "ab"]),
        ([("a", "é")], ["_"]),
        ([("a", "x" * 100), ("b", "x" * 100)], ["a_" + "x" * 62, "b_" + "x" * 62]),
    ],
)
def test_names(tools, names):
    assert unique_names(tools) == names
    assert all(len(name) <= 64 for name in names)


def test_long_names_stay_apart():
    names = unique_names([("s", "x" * 64 + end) for end in ("a", "b", "c")])
    assert len(set(names)) == 3
    assert all(len(name) <= 64 for name in names)


def test_each_tool_keeps_its_own_state():
    first, second = [0], [0, 0]
    tools = merge(
        [("a", ToolSet((tool("one"),), first)), ("b", ToolSet((tool("two", count_later),), second))]
    )
    assert tools["one"].execute(tools.state, {}) == 2
    assert asyncio.iscoroutinefunction(tools["two"].execute)
    assert asyncio.run(tools["two"].execute(tools.state, {})) == 3
    assert (first, second) == ([0, 1], [0, 0, 1])


def test_a_fork_copies_what_can_be_copied():
    kept, live = [0], [0]
    tools = merge(
        [
            ("kept", ToolSet((tool("one"),), kept, copy.deepcopy)),
            ("live", ToolSet((tool("two"),), live)),
        ]
    )
    fork = tools.fork()
    fork["one"].execute(fork.state, {})
    assert (kept, fork.state) == ([0], ([0, 1], [0]))
    assert [tools.trial_mode(name) for name in tools.names()] == ["fork", "read_only"]


def test_nothing_to_copy_nothing_to_fork():
    tools = merge([("a", ToolSet((tool("one"),))), ("b", ToolSet((tool("two"),)))])
    with pytest.raises(InputError, match="no state that can be copied"):
        tools.fork()


def test_modes_effects_and_sources_are_kept():
    part = ToolSet(
        (tool("one", trials=TrialMode.LIVE, source="here"), tool("two", effect=Effect.READ)),
        [],
        copy.deepcopy,
    )
    live = ToolSet((tool("three", effect=Effect.READ), tool("four")))
    tools = merge([("kept", part), ("live", live)])
    assert [(t.name, t.source, t.effect, tools.trial_mode(t.name)) for t in tools.tools] == [
        ("one", "here", "write", "live"),
        ("two", "kept", "read", "fork"),
        ("three", "live", "read", "read_only"),
        ("four", "live", "write", "read_only"),
    ]


def test_a_shared_name_takes_the_label_in_front_and_says_so():
    tools = merge([("a", ToolSet((tool("get"),), [])), ("b", ToolSet((tool("get"),), [5]))])
    assert list(tools.names()) == ["a_get", "b_get"]
    assert tools["b_get"].description == "['get' of 'b'] Count."
    assert tools["b_get"].execute(tools.state, {}) == 2


def test_a_tool_to_be_forked_needs_a_copy():
    with pytest.raises(InputError, match="tool 'one' is to be tried on a fork, but its state"):
        ToolSet((tool("one", trials=TrialMode.FORK),))


def test_the_object_that_a_check_looks_at():
    def first(state):
        return state[0]

    plain = ToolSet((tool("one"),), "state")
    till = ToolSet((tool("two"),), ("till",), object_of=first)
    desk = ToolSet((tool("three"),), ("desk",), object_of=first)
    assert merge([("a", plain), ("b", till)]).subject() == "till"
    assert merge([("a", desk), ("b", plain), ("c", till)]).subject() == ("desk", "till")
    merged = merge([("a", plain)])
    assert merged.subject() is merged


def test_a_live_part_makes_the_whole_live():
    still, live = ToolSet((tool("one"),), []), ToolSet((tool("two"),), [], live=True)
    assert merge([("a", still), ("b", live)]).live
    assert not merge([("a", still)]).live
