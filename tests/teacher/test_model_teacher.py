"""A teacher model, the whole path: an endpoint over HTTP, sessions, the filter, a dataset."""

import json
import os
import signal
import subprocess
import sys

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster.errors import ConfigError, PolicyError
from toolmaster.policies.base import Sampling
from toolmaster.protocols import Protocol
from toolmaster.runs import read_lines, read_trajectories
from toolmaster.teacher.demonstrations import demonstrate
from toolmaster.teacher.oracle import OraclePolicy
from toolmaster.teacher.settings import Behaviours

SERIAL = Sampling(turn_tokens=1024, context_tokens=16384, slots=1)


@pytest.fixture
def run(tmp_path, explored):
    """A function: demonstrate some training tasks in this test's folder, from an address."""

    def work(url, tasks, **settings):
        chosen = explored[:tasks]
        given = {"teacher": "openai:m", "base_url": url, "output_dir": tmp_path / "run"}
        return demonstrate(chosen, **{**given, **settings})

    return work


@pytest.fixture
def lines(tmp_path):
    """A function: the records of a file of the run."""
    return lambda name: read_lines(tmp_path / "run" / name)


@pytest.mark.parametrize("protocol", list(Protocol))
def test_the_embedded_world_with_the_oracle_behind_an_endpoint(
    run, lines, tmp_path, oracle_model, by_oracle, protocol
):
    model = oracle_model(protocol)
    with model.serve() as url:
        kept = run(url, 12, protocol=protocol)
    assert len(kept) + len(lines("left_out.jsonl")) == 12
    assert len(kept) == 12 if protocol is Protocol.TRIAL else len(kept) > 6
    assert read_trajectories(tmp_path / "run" / "trajectories.jsonl") == kept
    for got in kept:
        own = by_oracle(got.task_id, protocol)
        assert got.messages() == own.messages()  # the student's form, word by word
        assert (got.policy, got.success, got.tools) == ("m", True, own.tools)


def test_the_instruction_goes_to_the_endpoint_and_nowhere_else(run, tmp_path, oracle_model):
    model = oracle_model()
    with model.serve() as url:
        [*kept] = run(url, 3)
    for messages in model.asked:
        told = messages[0]["content"]
        assert told.startswith("You do what a user asks")
        assert told.endswith("</tools>")
        assert kept[0].prompt[0].content not in told  # the short form is said at length instead
    for name in ("trajectories.jsonl", "candidates.jsonl"):
        assert "You do what a user asks" not in (tmp_path / "run" / name).read_text()


def test_what_is_finished_is_neither_run_nor_paid_again(run, lines, oracle_model):
    model = oracle_model()
    with model.serve() as url:
        first = run(url, 4)
        asked = len(model.asked)
        assert asked == len(lines("responses.jsonl"))
        assert run(url, 4) == first
    assert len(model.asked) == asked


def test_a_kill_in_the_middle_pays_for_no_answer_twice(tmp_path, oracle_model):
    model, folder = oracle_model(), tmp_path / "demonstrate"
    answer, child, answered = model.reply, [], []

    def reply(messages):
        if child and len(answered) == 9:  # in the middle of a rollout
            os.kill(child.pop().pid, signal.SIGKILL)
            return 500, {}
        answered.append(json.dumps(messages))
        return answer(messages)

    model.reply = reply
    with model.serve() as url:
        command = [sys.executable, "-m", "toolmaster", "demonstrate", "world:short tasks=6"]
        command += ["--teacher", "openai:m", "--base-url", url]
        command += [f"run={tmp_path}", "demonstrate.sampling.slots=1", "demonstrate.filter=false"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        child.append(process)
        process.communicate(timeout=200)
        assert process.returncode == -signal.SIGKILL
        finished = read_lines(folder / "candidates.jsonl")
        assert 0 < len(finished) < 6
        assert len(read_lines(folder / "responses.jsonl")) == 9
        again = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert again.returncode == 0, again.stderr
    assert "6 demonstrations" in again.stdout
    assert len(answered) == len(set(answered)) == len(read_lines(folder / "responses.jsonl"))


def test_a_stopped_run_asks_only_for_the_turns_that_are_missing(run, lines, oracle_model):
    model = oracle_model()
    answer = model.reply
    model.reply = lambda messages: answer(messages) if len(model.asked) <= 4 else (400, {})
    with model.serve() as url:
        assert len(run(url, 2, sampling=SERIAL)) < 2
        model.reply = answer
        kept = run(url, 2, sampling=SERIAL)
    assert len(kept) == 2
    paid = lines("responses.jsonl")
    assert len(paid) == len({line["key"] for line in paid}) == sum(len(t.steps) for t in kept)


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, r"401 no luck; check OPENAI_API_KEY"), (400, r"last 8 rollouts .* answered: .*no luck")],
)
def test_an_endpoint_that_refuses_ends_it_early_with_one_line(run, lines, status, message):
    model = FakeModel(in_turn((status, {"error": {"message": "no luck"}})))
    with model.serve() as url, pytest.raises(PolicyError, match=message) as refusal:
        run(url, 40, sampling=SERIAL.model_copy(update={"slots": 4}))
    assert "\n" not in str(refusal.value)
    assert len(model.asked) < 20


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ("<think>So.</think><answer>1</answer>", "no answer: invalid_turns"),
        (None, "wrong answer or end state"),
    ],
)
def test_what_is_left_out_is_kept_with_the_reason(run, lines, turn, reason):
    wrong = "<think>No need.</think><experience>none</experience>"

    def reply(messages):
        begun = any(message["role"] == "assistant" for message in messages)
        return turn or ("<think>So.</think><answer>1e9</answer>" if begun else wrong)

    with FakeModel(reply).serve() as url:
        assert run(url, 1) == []
    [left_out] = lines("left_out.jsonl")
    assert left_out["reason"] == reason
    assert len(lines("candidates.jsonl")) == 1
    assert not lines("trajectories.jsonl")


def test_ablations(run, lines, tmp_path, oracle_model):
    no_trial = Behaviours(trial=False)
    model = oracle_model(behaviours=no_trial)
    with model.serve() as url:
        kept = run(url, 8, behaviours=no_trial)
        assert kept
        assert all(not t.calls("trial") for t in kept)
        told = model.asked[0][0]["content"]
        assert "Do not try tools out" in told
        assert "Explore before" not in told
        assert run(url, 8, output_dir=tmp_path / "filtered") == []


def test_a_bound_on_tokens_ends_it_and_keeps_what_is_made(run, lines, capsys, oracle_model):
    model = oracle_model()
    with model.serve() as url:
        first = run(url, 1, sampling=SERIAL)
        assert "max_tokens" not in capsys.readouterr().out
        used = sum(line["prompt_tokens"] + line["tokens"] for line in lines("responses.jsonl"))
        asked = len(model.asked)
        for _ in range(2):
            assert run(url, 3, sampling=SERIAL, max_tokens=used + 1) == first
            assert f"budget of {used + 1} tokens is used up; a larger" in capsys.readouterr().out
            assert len(model.asked) == asked + 1  # one turn, in the middle of a rollout
        assert len(run(url, 3, sampling=SERIAL)) == 3
    paid = lines("responses.jsonl")
    assert len(paid) == len({line["key"] for line in paid}) == len(model.asked)


def test_the_real_cost_is_what_the_endpoint_says(run, lines, capsys, oracle_model):
    model = oracle_model()
    with model.serve() as url:
        run(url, 2, prices=(1000, 2000))
    paid = lines("responses.jsonl")
    read = sum(line["prompt_tokens"] for line in paid)
    written = sum(line["tokens"] for line in paid)
    assert written == sum(len(line["text"].split()) for line in paid)
    assert f"cost: {(read * 1000 + written * 2000) / 1e6:,.4f}" in capsys.readouterr().out


def opinion(**missed):
    seen = ("solved", "grounded", "planning", "exploration", "validation")
    return json.dumps({"reason": "Seen.", **dict.fromkeys(seen, True), **missed})


def test_a_judge_has_the_last_word(run, lines, tmp_path, oracle_model):
    judge = FakeModel(in_turn(opinion(), opinion(exploration=False, grounded=False)))
    with oracle_model().serve() as url, judge.serve() as judge_url:
        settings = {"judge": "openai:j", "judge_url": judge_url}
        assert len(run(url, 2, **settings)) == 1
        assert len(run(url, 2, **settings)) == 1
    assert len(judge.asked) == 2  # verdicts are kept
    [left_out] = lines("left_out.jsonl")
    assert left_out["reason"] == "the judge misses grounded, exploration: Seen."
    verdicts = [line for line in lines("responses.jsonl") if line["role"] == "judge"]
    assert {line["about"] for line in verdicts} == {
        f"{t['task_id']}/0" for t in lines("candidates.jsonl")
    }
    assert len(verdicts) == 2


def test_a_judge_may_come_later_or_change(run, lines, oracle_model):
    judge = FakeModel(in_turn(opinion(solved=False)))
    with oracle_model().serve() as url, judge.serve() as judge_url:
        assert len(run(url, 2)) == 2
        settings = {"judge": "openai:j", "judge_url": judge_url}
        assert run(url, 2, **settings) == []
        assert run(url, 2, **settings) == lines("dataset.jsonl") == []
        assert len(judge.asked) == 2
        run(url, 2, judge="openai:other", judge_url=judge_url)
    assert len(judge.asked) == 4


def test_what_the_rules_leave_out_is_not_judged(run, oracle_model):
    judge = FakeModel(in_turn(opinion()))
    no_answer = FakeModel(lambda _: "<think>So.</think><answer>1</answer>")
    with no_answer.serve() as url, judge.serve() as judge_url:
        assert run(url, 1, judge="openai:j", judge_url=judge_url) == []
    assert judge.asked == []


def test_a_judge_without_a_key_is_told_before_anything_is_asked(run, oracle_model):
    model = oracle_model()
    with model.serve() as url, pytest.raises(PolicyError, match="no key for the judge 'j'"):
        run(url, 2, judge="openai:j")
    assert model.asked == []


def test_a_judge_that_fails_loses_nothing(run, lines, capsys, oracle_model):
    judge = FakeModel(in_turn((401, {"error": {"message": "out of credit"}})))
    with oracle_model().serve() as url, judge.serve() as judge_url:
        settings = {"judge": "openai:j", "judge_url": judge_url}
        assert run(url, 3, **settings) == []
        assert "3 left out: not judged: the judge 'j' at " in capsys.readouterr().out
        assert all("not judged: " in line["reason"] for line in lines("left_out.jsonl"))
        judge.reply = in_turn(opinion())
        assert len(run(url, 3, **settings)) == 3
    assert not lines("left_out.jsonl")


def test_the_judge_asks_for_nothing_that_was_not_to_be_shown(run, oracle_model):
    judge = FakeModel(in_turn(opinion(exploration=False)))
    with oracle_model(Protocol.DIRECT).serve() as url, judge.serve() as judge_url:
        judged = {"judge": "openai:j", "judge_url": judge_url}
        assert len(run(url, 12, protocol="direct", **judged)) > 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filter": False, "judge": "openai:j"}, r"the judge is part of the filter"),
        ({"teacher": None, "rollouts": 2}, r"rollouts=2 needs a teacher model"),
        ({"cuont": 3}, r"unknown key 'cuont' \(did you mean 'count'\?\)"),
    ],
)
def test_settings_that_make_no_sense(run, settings, message):
    with pytest.raises(ConfigError, match=message):
        run("http://127.0.0.1:9/v1", 3, **settings)


def test_a_policy_as_the_teacher(world, explored, tmp_path):
    drawn = world.draw(explored.ids[0])
    teacher = OraclePolicy(drawn, Protocol.TRIAL, Behaviours())
    [made] = demonstrate([drawn.task], teacher=teacher, output_dir=tmp_path)
    assert (made.policy, made.success) == ("oracle", True)
    assert len(read_lines(tmp_path / "responses.jsonl")) == len(made.steps)


def test_as_many_as_are_wanted(run, lines, oracle_model):
    model, judge = oracle_model(), FakeModel(in_turn(opinion(solved=False), opinion()))
    with model.serve() as url, judge.serve() as judge_url:
        settings = {"judge": "openai:j", "judge_url": judge_url, "sampling": SERIAL}
        kept = run(url, 9, count=3, **settings)
        assert len(lines("candidates.jsonl")) == 4  # one of the first three was left out
        assert len(run(url, 9, count=4, **settings)) == 4
    assert len(kept) == 3
    assert len(lines("candidates.jsonl")) == 5
    assert len(lines("left_out.jsonl")) == 1
    assert len(lines("trajectories.jsonl")) == 4


def test_a_round_without_a_demonstration_ends_it(run, lines):
    with FakeModel(lambda _: "<think>So.</think><answer>1</answer>").serve() as url:
        assert run(url, 9, count=2) == []
    assert len(lines("candidates.jsonl")) == 2
