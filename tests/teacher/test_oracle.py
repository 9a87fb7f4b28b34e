import asyncio
import statistics
from dataclasses import replace
from itertools import pairwise

import pytest

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.teacher.oracle import OraclePolicy
from toolmaster.teacher.settings import Behaviours, DemonstrationSettings
from toolmaster.teacher.world import show
from toolmaster.types import Effect, ErrorKind, Phase

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
        for step in (step for step in trajectory.calls(Phase.TRIAL) if not step.slip):
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


def test_mistakes_are_refused_and_corrected_at_once(worlds):
    made = shown(worlds["short"], "train", count=200)
    kinds = set()
    for _, trajectory in made:
        for step, after in pairwise(trajectory.steps):
            schema = {ErrorKind.UNKNOWN_TOOL, ErrorKind.INVALID_ARGUMENTS}
            if step.slip and step.error in schema:
                kinds.add(step.error)
                assert after.call is not None
                assert after.call != step.call
                assert after.error not in schema
    assert kinds == {ErrorKind.UNKNOWN_TOOL, ErrorKind.INVALID_ARGUMENTS}


def test_without_self_correction_every_call_is_right_at_once(worlds):
    settings = DemonstrationSettings(known_share=0.0, behaviours=Behaviours(self_correction=False))
    made = shown(worlds["short"], "train", settings=settings)
    assert not any(step.slip for _, t in made for step in t.steps)


def test_what_is_known_is_believed_even_if_it_is_out_of_date(worlds):
    world, failed = worlds["short"], 0
    for number in range(90):
        drawn = world.draw(world.id_of("train", number))
        if drawn.task.labels["family"] not in ("silent", "irreversible"):
            continue
        view = next(view for view in drawn.views if view.behaviour)
        known = f"{view.name}: as documented"
        oracle = OraclePolicy(drawn, Protocol.TRIAL, Behaviours(), known=known)
        request = RolloutRequest(replace(drawn.task, experience=known))
        made = asyncio.run(run_rollout(request, oracle, Protocol.TRIAL, Limits()))
        assert not made.calls(Phase.TRIAL)
        failed += not made.success
    assert failed > 15


def test_a_write_is_tried_with_every_form_of_call_that_follows(world):
    for number in range(200):
        drawn = world.draw(world.id_of("test", number))
        [first, *others] = drawn.goal.tried or [None]
        if not others or first.operation.effect is Effect.READ or drawn.goal.kind != "two":
            continue
        oracle = OraclePolicy(drawn, Protocol.TRIAL, Behaviours())
        made = asyncio.run(
            run_rollout(RolloutRequest(drawn.task), oracle, Protocol.TRIAL, Limits())
        )
        forms = {tuple(sorted(call.arguments)) for call in drawn.goal.tried}
        lesson = oracle.lessons[drawn.chosen[first.operation.key][0].name]
        assert made.success
        assert lesson != "as documented" or len(made.calls(Phase.TRIAL)) >= len(forms)
