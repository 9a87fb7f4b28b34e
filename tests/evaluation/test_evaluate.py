"""One model on one task set: resuming, rollouts, what is left out, and comparing two."""

import asyncio
import json

import pytest
from endpoint import serving

from toolmaster import aevaluate, compare, evaluate, read_trajectories
from toolmaster.errors import ConfigError, InputError, PolicyError
from toolmaster.evaluation.behaviour import ErrorClass, error_class
from toolmaster.evaluation.evaluate import collect
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.evaluation.kept import read_evaluation
from toolmaster.limits import Limits
from toolmaster.policies.base import Sampling
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Task, Taskset
from toolmaster.types import ToolCall

DIRECT = Protocol.DIRECT


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def sums(count, **fields):
    """Tasks "what is i + 1"; their known-good calls are right."""
    return Taskset(
        "sums",
        [
            Task(
                f"sum/{i}",
                f"What is {i} + 1?",
                tools=[add],
                answer=i + 1,
                calls=[[ToolCall(name="add", arguments={"a": i, "b": 1})]],
                labels={"family": "even" if i % 2 == 0 else "odd"},
            )
            for i in range(count)
        ],
        **fields,
    )


def says(answer):
    return ScriptedPolicy([f"<think>I guess.</think><answer>{answer}</answer>"], f"says {answer}")


def test_success_families_and_text():
    result = evaluate(says(1), sums(4), protocol=DIRECT)
    assert str(result.success) == "0.25 [0.05, 0.70]"
    assert {name: part.success.mean for name, part in result.by("family").items()} == {
        "even": 0.5,
        "odd": 0.0,
    }
    assert "sums (1)" in str(result)
    assert "success 4 25.0% [5, 70]" in " ".join(str(result).split())
    assert repr(result.by("family")["odd"]) == "<says 1: success 0.00 [0.00, 0.66]>"
    record = result.record()
    assert (record["tasks"], record["families"]["even"]["success"]["mean"]) == (4, 0.5)
    assert sum(share.mean for share in result.error_classes().values()) == 0.75


def test_it_goes_on_where_it_was_stopped(tmp_path):
    file = tmp_path / "out.jsonl"
    evaluate(says(1), sums(2), protocol=DIRECT, out=file)
    seen = []
    result = evaluate(says(1), sums(3), protocol=DIRECT, out=str(file), on_finish=seen.append)
    assert [t.task_id for t in seen] == ["sum/2"]
    assert len(result.trajectories) == len(read_trajectories(file)) == 3


def test_several_rollouts_a_task_give_mean_and_pass_at_k():
    turns = iter([1, 0, 2, 2])  # task 0: right, wrong; task 1: right, right

    def script(_prompt):
        return [f"<think>t</think><answer>{next(turns)}</answer>"]

    policy = ScriptedPolicy(script)
    result = evaluate(policy, sums(2), rollouts=2, protocol=DIRECT)
    assert [t.rollout for t in result.trajectories] == [0, 1, 0, 1]
    assert result.success.mean == 0.75
    assert (result.pass_at(1).mean, result.pass_at(2).mean) == (0.75, 1.0)
    with pytest.raises(InputError, match="pass@3 needs"):
        result.pass_at(3)


@pytest.mark.parametrize("protocol", [Protocol.DIRECT, Protocol.TRIAL])
def test_known_good_calls_in_place_of_a_model(protocol):
    result = evaluate("replay", sums(3), protocol=protocol)
    assert result.success.mean == 1.0
    assert [len(t.calls()) for t in result.trajectories] == [1, 1, 1]


def test_a_replay_file_that_matches_nothing_is_refused(tmp_path):
    file = tmp_path / "replay.json"
    calls = [{"name": "add", "arguments": {"a": 0, "b": 1}}]
    file.write_text(json.dumps({"sum/0": {"calls": calls, "answer": "1"}, "sum/9": {"calls": []}}))
    with pytest.raises(InputError, match=r"1 of 2 ids are not in sums \(1\); .* 'sum/9'"):
        evaluate(f"replay:{file}", sums(3))
    file.write_text(json.dumps({"sum/0": {"calls": calls, "answer": "1"}}))
    result = evaluate(f"replay:{file}", sums(3), protocol=DIRECT)
    assert result.success.mean == 1.0
    assert result.facts["left out, without known-good calls"] == "2 of 3 tasks"


def test_tasks_that_a_model_was_trained_on_are_left_out(tmp_path, tiny_folder):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_folder.iterdir():
        (folder / file.name).symlink_to(file)
    record = {"base": "tiny", "task_ids": ["sum/0", "sum/2", "elsewhere"]}
    (folder / "training.json").write_text(json.dumps(record))
    result = evaluate(folder, sums(3), protocol=DIRECT)
    assert [t.task_id for t in result.trajectories] == ["sum/1"]
    assert result.facts["left out, trained on"] == "2 of 3 tasks"
    assert "left out, trained on: 2 of 3 tasks" in str(result)
    assert {t.policy for t in result.trajectories} == {str(folder)}
    with pytest.raises(InputError, match=r"nothing to measure .*trained on: 1 of 1 tasks"):
        evaluate(f"hf:{folder}", sums(1))


def test_nothing_answered_is_an_error_and_some_broken_are_counted():
    with pytest.raises(PolicyError, match="all 2 rollouts broke; the first: the script"):
        evaluate(ScriptedPolicy([]), sums(2), protocol=DIRECT)
    turns = {"What is 0 + 1?": ["<think>t</think><answer>1</answer>"]}
    half = ScriptedPolicy(lambda prompt: turns.get(prompt[1].content, []))
    result = evaluate(half, sums(2), protocol=DIRECT)
    assert (result.success.mean, result.broken) == (1.0, 1)


def test_tasks_that_cannot_be_scored_are_left_out():
    asked = Task("asked", "Hello?", tools=[add])
    tasks = Taskset("sums", [*sums(2), asked])
    result = evaluate(says(1), tasks, protocol=DIRECT)
    assert (result.success.mean, result.success.count) == (0.5, 2)
    assert result.facts["left out, without an answer or a check"] == "1 of 3 tasks"
    with pytest.raises(InputError, match="nothing to measure in asks"):
        evaluate(says(1), Taskset("asks", [asked]))


def test_a_set_drawn_on_demand_is_not_measured_whole():
    with pytest.raises(InputError, match=r"has [\d,]+ tasks; say how many to measure: tasks=200"):
        evaluate(says(1), "world:short")
    with pytest.raises(InputError, match="has no tasks"):
        evaluate(says(1), Taskset("none", []))


def test_needed_tools_are_told_by_the_task():
    task = Task("t", "What is 1 + 1?", tools=[add], answer=3, needed=("add",))
    [trajectory] = evaluate(says(2), [task], protocol=DIRECT).trajectories
    assert trajectory.needed == ["add"]
    assert error_class(trajectory) is ErrorClass.INCOMPLETE_CHAIN


@pytest.mark.parametrize(
    ("other", "says_what"),
    [
        ({"model": says(2)}, "model: 'says 1' -> 'says 2'"),
        ({"protocol": Protocol.TRIAL}, "protocol: 'direct' -> 'trial'"),
        ({"limits": Limits(max_turns=3)}, "limits.max_turns: 12 -> 3"),
        ({"tasks": sums(3, version="2")}, r"taskset: .*sums \(1\).* -> .*sums \(2\)"),
    ],
)
def test_a_file_takes_no_rollouts_of_other_settings(tmp_path, other, says_what):
    file = tmp_path / "folder" / "out.jsonl"
    settings = {"model": says(1), "tasks": sums(3), "protocol": DIRECT, "out": file}
    first = evaluate(**settings)
    with pytest.raises(ConfigError, match=f"holds rollouts made with other settings .*{says_what}"):
        evaluate(**settings | other)
    again = evaluate(**settings, rollouts=2)  # more of the same is welcome
    assert len(again.trajectories) == 6
    kept = read_evaluation(file)
    assert (kept.model, kept.facts) == ("says 1", first.facts)
    assert compare(file, again).difference.mean == 0


def test_a_file_of_another_model_is_refused_without_its_settings(tmp_path):
    file = tmp_path / "out.jsonl"
    evaluate(says(1), sums(1), protocol=DIRECT, out=file)
    (tmp_path / "out.settings.json").unlink()
    with pytest.raises(InputError, match=r"holds rollouts of 'says 1' .* not of 'says 2'"):
        evaluate(says(2), sums(1), protocol=DIRECT, out=file)
    (tmp_path / "out.settings.json").write_text("{}")
    with pytest.raises(InputError, match=r"out\.settings\.json: .* remove it to go on"):
        evaluate(says(1), sums(1), protocol=DIRECT, out=file)


def test_two_sets_in_one_file_keep_their_own_rollouts(tmp_path):
    def collected(name):
        tasks = Taskset(name, sums(2))
        work = collect(tasks, says(1), DIRECT, Limits(), tmp_path / "f.jsonl", concurrency=1)
        return asyncio.run(work)

    assert [t.taskset for t in collected("a")] == ["a (1)"] * 2
    assert [t.taskset for t in collected("b")] == ["b (1)"] * 2
    assert len(read_trajectories(tmp_path / "f.jsonl")) == 4


def test_compare_tells_which_tasks_flipped():
    a, b = (evaluate(says(n), sums(4), protocol=DIRECT) for n in (1, 2))
    comparison = compare(a, b)
    assert (comparison.won, comparison.lost) == (("sum/1",), ("sum/0",))
    assert comparison.difference.mean == 0
    assert "won 1: sum/1\nlost 1: sum/0" in str(comparison)
    assert compare(a.trajectories, b.trajectories).won == ("sum/1",)
    with pytest.raises(InputError, match="no task in common"):
        compare(a, Evaluation([]))


def test_an_endpoint_goes_on_at_another_address(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    scripts = {f"What is {i} + 1?": ["<think>I add.</think><answer>2</answer>"] for i in range(2)}
    options = {"protocol": DIRECT, "out": tmp_path / "out.jsonl", "tool_calls": "text"}
    with serving(scripts) as endpoint:
        first = evaluate("openai:scripted", sums(2), base_url=endpoint.url, **options)
    with serving(scripts) as endpoint:
        again = evaluate("openai:scripted", sums(2), rollouts=2, base_url=endpoint.url, **options)
        assert len(endpoint.requests) == 2  # two of four rollouts were held
        options["sampling"] = Sampling(temperature=0.5)
        with pytest.raises(ConfigError, match=r"sampling.temperature: 0\.0 -> 0\.5"):
            evaluate("openai:scripted", sums(2), base_url=endpoint.url, **options)
    assert (first.success.mean, again.success.mean, len(again.trajectories)) == (0.5, 0.5, 4)


def test_a_task_set_is_named_in_one_line():
    with pytest.raises(ConfigError, match="there is none of this name"):
        evaluate(says(1), "nowhere")
    result = evaluate(says(1), "world:short tasks=2", protocol=DIRECT)
    assert {t.taskset for t in result.trajectories} == {"world:short/test (v6s)"}


async def _inside_a_loop():
    plain = evaluate(says(1), sums(1), protocol=DIRECT)
    awaited = await aevaluate(says(1), sums(1), protocol=DIRECT)
    return plain.success.mean, awaited.success.mean


def test_a_format_may_be_named_as_text():
    result = evaluate(says(1), sums(1), protocol="direct")
    assert {t.protocol for t in result.trajectories} == {"direct"}
    with pytest.raises(ConfigError, match="protocol is one of trial, direct, paper; received 'x'"):
        evaluate(says(1), sums(1), protocol="x")


def test_both_forms_work_inside_an_event_loop():
    assert asyncio.run(_inside_a_loop()) == (1.0, 1.0)
