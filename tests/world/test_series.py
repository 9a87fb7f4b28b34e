"""Series: the same tools asked again, and tools that silently change."""

import asyncio
import re
from pathlib import Path

import pytest

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.teacher.oracle import OraclePolicy
from toolmaster.teacher.settings import Behaviours
from toolmaster.world import tasks

PLACES = [
    (name, split, i) for name in ("short", "full") for split in ("train", "test") for i in range(12)
]


def solved(drawn):
    oracle = OraclePolicy(drawn, Protocol.TRIAL, Behaviours())
    request = RolloutRequest(drawn.task)
    return asyncio.run(run_rollout(request, oracle, Protocol.TRIAL, Limits())).success


def asked(drawn):
    return [(call.operation.key, call.arguments) for call in drawn.goal.calls]


@pytest.mark.parametrize(("name", "split", "number"), PLACES)
def test_the_tasks_of_a_series_share_everything_but_what_is_asked(worlds, name, split, number):
    world = worlds[name]
    base = world.id_of(split, number)
    first = world.draw(base)
    for place in (2, 3, 11):
        drawn = world.draw(f"{base}/{place}")
        assert drawn.task.id == f"{base}/{place}"
        assert drawn.task.query == world.draw(f"{base}/{place}").task.query != first.task.query
        assert drawn.views == first.views
        tools, before = drawn.task.make_tools(), first.task.make_tools()
        assert (tools.schemas(), tools.state) == (before.schemas(), before.state)
        assert asked(drawn) != asked(first) or not asked(first)
        assert not first.target or first.target in {call.operation.key for call in drawn.goal.tried}
        for label in ("split", "service", "family", "behaviour"):
            assert drawn.task.labels[label] == first.task.labels[label]
        assert solved(drawn)


def test_the_first_of_a_series_is_the_task_itself(world):
    base = world.id_of("train", 7)
    first, alias = world.draw(base), world.draw(f"{base}/1")
    assert (alias.task.query, asked(alias)) == (first.task.query, asked(first))
    assert alias.task.id == f"{base}/1"


def test_a_task_of_a_series_has_a_bound_where_it_is_measured(world):
    for place in ("1", "3", "11"):
        for split in ("train", "test"):
            assert (world.draw(f"{world.id_of(split, 4)}/{place}").bound is None) == (
                split == "train"
            )


def test_the_ids_in_the_documents_can_be_drawn(worlds):
    root = Path(__file__).parents[2]
    texts = [(root / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md")]
    texts.append(tasks.__doc__)
    ids = {found for text in texts for found in re.findall(r"\bv6s?/[a-z_]+/[\d/]+c?\b", text)}
    assert len(ids) > 3
    for one in ids:
        assert worlds["full"].draw(one).id == one


def test_no_documented_example_is_asked_for(worlds):
    world = worlds["short"]
    for number in range(40):
        drawn = world.draw(f"{world.id_of('test', number)}/4")
        examples = [view.example[0] for view in drawn.views if view.example]
        assert not any(call.arguments in examples for call in drawn.goal.calls)


@pytest.mark.parametrize("name", ["short", "full"])
def test_a_silent_change_shows_nowhere_but_in_behaviour(worlds, name):
    world, changing = worlds[name], 0
    for number in range(40):
        base = world.id_of("test", number)
        try:
            after = world.draw(f"{base}/3c")
        except InputError as error:
            told = f"task id '{base}/3c': none of its tools can change silently"
            assert str(error) == told  # noqa: PT017
            continue
        changing += 1
        [hiding] = [view for view in after.views if view.behaviour]
        if hiding.behaviour.family(hiding.honest()) == "loud":
            unseen = [after.possible.get(one, {}) for one in ("silent", "irreversible")]
            assert sum(len(found) for kinds in unseen for found in kinds.values()) <= 1
        before = world.draw(f"{base}/3")
        tools, old_tools = after.task.make_tools(), before.task.make_tools()
        assert (tools.schemas(), tools.state) == (old_tools.schemas(), old_tools.state)
        assert (after.task.query, asked(after)) == (before.task.query, asked(before))
        pairs = zip(before.views, after.views, strict=True)
        [(old, new)] = [(a.behaviour, b.behaviour) for a, b in pairs if a != b]
        assert old != new
        assert after.task.labels["behaviour"] == new.name
        assert after.task.labels["family"] == new.family(after.chosen[after.target][0].honest())
        assert world.draw(f"{base}/7c").chosen[after.target][0].behaviour == new
        assert solved(after)
    assert changing > 15


def test_what_cannot_change(world):
    ids = (world.id_of("train", i) for i in range(100))
    base = next(i for i in ids if world.draw(i).goal.kind == "none")
    with pytest.raises(InputError, match="none of its tools can change silently"):
        world.draw(f"{base}/2c")
    assert world.draw(f"{base}/2").goal.kind == "none"


@pytest.mark.parametrize("place", ["0", "x", "2cc", "-1", "2/3"])
def test_a_place_that_is_none(world, place):
    with pytest.raises(InputError, match="expected v6s/SPLIT/NUMBER"):
        world.draw(f"v6s/train/1/{place}")
