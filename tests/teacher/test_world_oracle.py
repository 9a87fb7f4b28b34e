"""The embedded world's oracle: solved, filtered, and checked by playing the turns again."""

import asyncio
from itertools import islice

import pytest

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.tasksets import taskset
from toolmaster.teacher import oracle
from toolmaster.teacher import world as shown
from toolmaster.teacher.settings import Behaviours, DemonstrationSettings
from toolmaster.types import ActionKind, ErrorKind, Phase
from toolmaster.world.quirks import FAMILIES

TRIAL, DIRECT = Protocol.TRIAL, Protocol.DIRECT


def run(world, task_id, protocol=TRIAL, limits=None, **settings):
    return asyncio.run(
        shown.show(world, task_id, protocol, limits or Limits(), DemonstrationSettings(**settings))
    )


@pytest.fixture
def ids(world):
    return world.ids("seen", 12, FAMILIES)


def test_every_task_gives_a_demonstration(world, ids):
    for task_id in ids:
        got = run(world, task_id)
        assert got is not None, task_id
        assert (got.task_id, got.policy, got.success) == (task_id, "oracle", True)


def test_a_demonstration_is_played_again(world, ids, monkeypatch):
    played = []

    async def not_again(trajectory, *_):
        played.append(trajectory)
        return False

    monkeypatch.setattr(shown, "_OVERSPEND_SHARE", 0.0)
    kept = run(world, ids[0], known_share=0.0)
    monkeypatch.setattr(shown, "succeeds_again", not_again)
    assert run(world, ids[0], known_share=0.0) is None
    assert [t.messages() for t in played] == [kept.messages()]


def test_what_does_not_solve_its_task_is_dropped(world, ids):
    assert run(world, ids[0], limits=Limits(max_turns=1), filter=False) is None


def test_without_trial_only_an_open_filter_keeps_it(world):
    behaviours = Behaviours(trial=False)
    for task_id in world.ids("seen", 6, ["plain"]):
        assert run(world, task_id, behaviours=behaviours) is None
        got = run(world, task_id, behaviours=behaviours, filter=False)
        assert got.calls(Phase.TRIAL) == []
        assert got.success


def test_without_self_correction_nothing_goes_wrong(world):
    for task_id in world.ids("seen", 6, ["loud"]):
        plain = run(world, task_id, known_share=0.0)
        wrong = Behaviours(self_correction=False)
        got = run(world, task_id, known_share=0.0, behaviours=wrong)
        assert any(step.error for step in plain.steps)
        assert not any(step.error for step in got.steps)


def test_direct_demonstrations_pass_the_filter(world):
    got = [run(world, task_id, DIRECT) for task_id in world.ids("seen", 6, ["plain"])]
    assert all(t is not None and t.protocol == "direct" for t in got)


def test_candidates_of_different_seeds_share_none(world):
    one, two = (
        list(islice(iter(taskset("world").for_training().shuffled(seed).ids), 300))
        for seed in (0, 1)
    )
    assert len(set(one)) == len(set(two)) == 300
    assert not set(one) & set(two)
    assert one == world.ids("seen", 300, FAMILIES)
    assert two[0].endswith("/plain/100000")


def test_a_demonstration_with_known_experience_tries_nothing(world):
    for task_id in world.ids("seen", 24, FAMILIES):
        tried = run(world, f"{task_id}/2", known_share=0.0)  # another task with the same tools
        known = run(world, task_id, known_share=1.0)
        assert tried.calls(Phase.TRIAL)
        assert not known.calls(Phase.TRIAL)
        assert known.task_id == task_id
        assert known.retrieved_experience == known.experience == tried.experience
        assert f"<experience>{known.retrieved_experience}</experience>" in known.prompt[1].content
        assert known.success


def test_what_is_handed_is_not_forgotten(world, monkeypatch):
    monkeypatch.setattr(oracle, "_SLIP_SHARE", 0.0)
    for task_id in world.ids("seen", 24, ["loud"]):
        known = run(world, task_id, known_share=1.0)
        assert known.retrieved_experience
        assert not any(step.error for step in known.steps), task_id


def test_what_must_be_applied_is_handed_twice_as_often(world):
    known = {True: [], False: []}
    for task_id in world.ids("seen", 360, ["silent", "loud"]):
        quirks = [surface.quirk for surface in world.draw(task_id).surfaces]
        applied = any(quirk.factor != 1 or quirk.family == "loud" for quirk in quirks)
        known[applied].append(bool(run(world, task_id, known_share=0.25).retrieved_experience))
    assert 0.4 < sum(known[True]) / len(known[True]) < 0.6
    assert 0.15 < sum(known[False]) / len(known[False]) < 0.35


def test_some_try_once_more_than_allowed_and_mend_it(world, monkeypatch):
    for task_id in world.ids("seen", 24, FAMILIES):
        monkeypatch.setattr(shown, "_OVERSPEND_SHARE", 0.0)
        enough = run(world, task_id, known_share=0.0)
        monkeypatch.setattr(shown, "_OVERSPEND_SHARE", 1.0)
        over = run(world, task_id, known_share=0.0)
        [refused] = [s for s in over.steps if s.error is ErrorKind.BUDGET_EXHAUSTED]
        tried = len(over.calls(Phase.TRIAL)) - 1
        assert f"(at most {tried})" in over.prompt[0].content
        assert refused.slip
        following = over.steps[over.steps.index(refused) + 1]
        assert following.action is ActionKind.EXPERIENCE
        assert over.experience == enough.experience
        assert over.success


@pytest.mark.parametrize(
    ("protocol", "behaviours"), [(DIRECT, {}), (TRIAL, {"self_correction": False})]
)
def test_nobody_tries_too_often_where_no_mistakes_are_shown(
    world, monkeypatch, protocol, behaviours
):
    monkeypatch.setattr(shown, "_OVERSPEND_SHARE", 1.0)
    for task_id in world.ids("seen", 8, FAMILIES):
        settings = {"behaviours": Behaviours(**behaviours), "known_share": 0.0, "filter": False}
        got = run(world, task_id, protocol, **settings)
        steps = [] if got is None else got.steps
        assert not any(step.error is ErrorKind.BUDGET_EXHAUSTED for step in steps)
