import asyncio
import statistics

import pytest

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.teacher.settings import DemonstrationSettings
from toolmaster.teacher.world import show
from toolmaster.types import Effect, Phase

COUNT = 50
SETTINGS = DemonstrationSettings(known_share=0.0)


def shown(world, split, protocol=Protocol.TRIAL, settings=SETTINGS, count=COUNT):
    ids = [world.id_of(split, number) for number in range(count)]

    async def all_of_them():
        return [await show(world, one, protocol, Limits(), settings) for one in ids]

    return list(zip(ids, asyncio.run(all_of_them()), strict=True))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", ["short", "full", "facts", "pets"])
def test_the_oracle_solves_what_it_draws(worlds, name, split):
    made = shown(worlds[name], split)
    failed = [task_id for task_id, trajectory in made if trajectory is None]
    assert len(failed) <= COUNT / 100, failed


def test_demonstrations_are_short(worlds):
    made = [t for _, t in shown(worlds["short"], "train") if t and t.calls(Phase.TRIAL)]
    chars = [sum(len(step.text) for step in t.steps) for t in made]
    assert statistics.median(chars) < 350 * 4  # about 4 characters a token


def test_tools_that_read_are_tried_where_an_example_can_be_compared(worlds):
    world = worlds["short"]
    for task_id, trajectory in shown(world, "train"):
        tools = {view.name: view for view in world.draw(task_id).views}
        for step in trajectory.calls(Phase.TRIAL):
            view = tools[step.call.name]
            assert view.example is not None or view.operation.effect is not Effect.READ


def test_a_third_tries_nothing(worlds):
    made = shown(worlds["short"], "train", settings=DemonstrationSettings(known_share=0.2))
    untried = [t for _, t in made if not t.calls(Phase.TRIAL)]
    assert 0.2 < len(untried) / len(made) < 0.5
    assert any(t.retrieved_experience for t in untried)


def test_direct_demonstrations_fall_for_what_is_hidden(worlds):
    world = worlds["short"]
    made = shown(world, "train", Protocol.DIRECT)
    by_family = {}
    for task_id, trajectory in made:
        family = world.draw(task_id).task.labels["family"]
        by_family.setdefault(family, []).append(trajectory is not None)
    assert all(by_family["plain"] + by_family["loud"])
    assert statistics.mean(by_family["irreversible"]) < 0.2


def test_demonstrations_without_mistakes_have_no_wrong_guess(worlds):
    made = shown(worlds["short"], "train")
    slips = sum(step.slip for _, t in made for step in t.steps)
    assert 0 <= slips < len(made)
