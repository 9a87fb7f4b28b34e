"""`demonstrate` with an oracle: what is kept, in which order, and how a stopped call goes on."""

import asyncio

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.runs import read_lines, read_trajectories, write_records
from toolmaster.tasksets import Task, Taskset, taskset
from toolmaster.teacher import collecting
from toolmaster.teacher.demonstrations import ademonstrate, demonstrate


class Sums:
    """A task set whose oracle shows every third task, and can be stopped."""

    def __init__(self, stop_at=None):
        self.asked, self.stop_at = [], stop_at
        made = [Task(f"t{i}", f"{i} + 0?", tools=[], answer=str(i)) for i in range(120)]
        self.tasks = Taskset("sums", made, oracle=self.show)

    async def show(self, task_id, protocol, limits, settings):
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(task_id)
        number = int(task_id[1:])
        if number % 3:
            return None
        policy = ScriptedPolicy([f"<think>So.</think><answer>{number}</answer>"], "oracle")
        return await run_rollout(RolloutRequest(self.tasks[task_id]), policy, protocol, limits)


def shown(sums, folder, count=30, **settings):
    return demonstrate(sums.tasks, count=count, protocol="direct", output_dir=folder, **settings)


@pytest.mark.parametrize("stop_at", [1, 40, 61, 85])
def test_a_stopped_call_goes_on_where_it_was(tmp_path, monkeypatch, stop_at):
    monkeypatch.setattr(
        collecting, "MAX_CONSECUTIVE_FAILURES", 10
    )  # fewer than are rejected before the stop
    whole = Sums()
    expected = shown(whole, tmp_path / "whole")
    stopped, resumed = Sums(stop_at), Sums()
    with pytest.raises(KeyboardInterrupt):
        shown(stopped, tmp_path / "run")
    kept = shown(resumed, tmp_path / "run")
    assert [t.task_id for t in kept] == [t.task_id for t in expected]
    assert [t.task_id for t in kept] == [f"t{i}" for i in range(0, 90, 3)]
    again = set(stopped.asked) & set(resumed.asked)
    assert not again & {t.task_id for t in kept}  # what was made is not made twice
    assert set(stopped.asked) | set(resumed.asked) == set(whole.asked)


def test_what_is_finished_is_not_made_again(tmp_path):
    first = shown(Sums(), tmp_path)
    again = Sums()
    assert shown(again, tmp_path) == first == read_trajectories(tmp_path / "trajectories.jsonl")
    assert not set(again.asked) & {t.task_id for t in first}
    assert len(shown(again, tmp_path, count=32)) == 32


def test_an_oracle_that_gives_nothing_comes_to_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(collecting, "MAX_CONSECUTIVE_FAILURES", 10)
    tasks = taskset("world").for_training()
    with pytest.raises(InputError, match=r"none of 10 tasks gave a demonstration: the o"):
        demonstrate(tasks, count=2, limits=Limits(max_turns=1), output_dir=tmp_path)
    assert len(read_lines(tmp_path / "left_out.jsonl")) == 10


def test_every_task_once_where_no_count_is_given(tmp_path):
    made = demonstrate(Sums().tasks[:9], protocol="direct")
    assert [t.task_id for t in made] == ["t0", "t3", "t6"]


def test_fewer_tasks_than_wanted_give_what_there_is(tmp_path):
    assert len(shown(Sums(), tmp_path, count=1000)) == 40


def test_an_endless_set_needs_a_count():
    with pytest.raises(InputError, match=r"has 100,000,000 tasks; say how many .*count=1000"):
        demonstrate("world:short")


def test_nothing_is_kept_on_disk_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(demonstrate("world:short tasks=2")) == 2
    assert not list(tmp_path.iterdir())


def test_inside_an_event_loop():
    async def work():
        return await ademonstrate("world:short tasks=2"), demonstrate("world:short tasks=2")

    one, two = asyncio.run(work())
    assert [t.messages() for t in one] == [t.messages() for t in two]


def test_a_folder_is_not_continued_with_other_settings(tmp_path):
    shown(Sums(), tmp_path)
    for changed in ({"filter": False}, {"teacher": "openai:m"}):
        with pytest.raises(ConfigError, match="was begun with other settings"):
            shown(Sums(), tmp_path, **changed)
    with pytest.raises(ConfigError, match="protocol: 'direct' -> 'trial'"):
        demonstrate(Sums().tasks, output_dir=tmp_path)


def test_demonstrations_made_before_are_taken_without_tokens(tmp_path):
    [made, failed] = demonstrate("world:short tasks=2")
    file = tmp_path / "made.jsonl"
    step = made.steps[0].model_copy(update={"token_ids": [1], "log_probs": [0.5]})
    tokens = made.model_copy(update={"prompt_ids": [7], "steps": [step, *made.steps[1:]]})
    write_records(file, [tokens])
    assert demonstrate("world", file=file, output_dir=tmp_path / "run") == [made]
    assert read_trajectories(tmp_path / "run" / "trajectories.jsonl") == [made]
    with pytest.raises(InputError, match=r"holds the protocol 'trial'; 'direct' is wanted"):
        demonstrate("world", file=file, protocol="direct")
    failed.score.success = False
    write_records(file, [made, failed])
    with pytest.raises(InputError, match=f"{failed.task_id} did not solve its task"):
        demonstrate("world", file=file)
    write_records(file, [])
    with pytest.raises(InputError, match="holds no demonstrations"):
        demonstrate("world", file=file)
