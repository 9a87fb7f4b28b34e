"""Two models on the same tasks, paired by task."""

import pytest
from made_trajectories import rollout, rollouts

from toolmaster.errors import InputError
from toolmaster.evaluation.comparison import compare, compare_all, verdict
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.runs import write_records


def test_only_common_tasks_count():
    a = [rollout("1", False), rollout("2", False), rollout("3", True), rollout("only a", True)]
    b = [rollout("3", True), rollout("2", True), rollout("1", True), rollout("only b", False)]
    found = compare(a, b)
    assert found.difference.mean == pytest.approx(2 / 3)
    assert (found.difference.count, found.won, found.lost) == (3, ("1", "2"), ())
    assert compare(b, a).lost == ("1", "2")


def test_pairing_removes_the_spread_between_tasks():
    # b solves exactly what a solves, however the tasks vary; 3.84 / (20 + 3.84) may still differ.
    a = rollouts(*[True, False] * 10)
    found = compare(a, list(reversed(a))).difference
    assert found.mean == 0
    assert (found.low, found.high) == pytest.approx((-0.1611, 0.1611), abs=1e-4)


def test_rollouts_of_a_task_are_averaged_and_broken_ones_left_out():
    a = [rollout("1", i == 0, rollout=i) for i in range(4)]
    b = [rollout("1", True), rollout("1", False, rollout=1, error="gone")]
    found = compare(a, b)
    assert (found.difference.mean, found.won) == (0.75, ("1",))
    assert "+75.0 points [one task], paired by task" in str(found)


def test_it_prints_the_difference_and_which_tasks_flipped():
    a = rollouts(*[False] * 40)
    b = rollouts(*[index < 12 for index in range(40)])
    found = compare(Evaluation(a, "before"), Evaluation(b, "after"))
    # (1 + d) / 2: mean 0.65, variance 0.0525 where zeros and ones have 0.2275. So the 40 tasks
    # count 4.3333 * (1 - 4.8415 / 78) = 4.0644 times: Wilson of 162.57 tasks is [0.574, 0.719].
    assert "+30.0 points [+14.8, +43.8], paired by task" in str(found)
    assert "won 12: t0, t1, t10, t11, t2, t3, t4, t5, t6, t7 and 2 more" in str(found)
    assert "lost 0: none" in str(found)
    assert found.record()["won"] == list(found.won)
    assert len(found.won) == 12


def test_the_table_has_a_row_for_each_family():
    a = [rollout(f"p{i}", i < 1, family="plain") for i in range(4)]
    a += [rollout("q", True, family="loud"), rollout("s", True, family="silent")]
    b = [rollout(f"p{i}", True, family="plain") for i in range(4)]
    b += [rollout("q", True, family="loud"), rollout("x", False, family="silent")]
    grid = compare(Evaluation(a, "base"), Evaluation(b, "SFT")).grid()
    values = [[cell.value for cell in row] for row in grid.rows]
    assert values == [
        ["all tasks", "5", "40.0%", "100.0%", "+60.0"],
        ["plain", "4", "25.0%", "100.0%", "+75.0"],
        ["loud", "1", "100.0%", "100.0%", "+0.0"],
    ]
    assert grid.rows[2][-1].note == "[one task]"


def test_only_a_clear_difference_stands_out():
    a = rollouts(*[False] * 8)
    clear = compare(a, rollouts(*[True] * 8)).grid()
    unclear = compare(a, rollouts(True, *[False] * 7)).grid()
    assert clear.rows[0][-1].strong
    assert not unclear.rows[0][-1].strong


def test_long_names_stay_whole():
    paths = [f"runs/{'deep/' * 30}{model}.jsonl" for model in ("sft", "grpo")]
    one, two = (Evaluation([rollout("1")], path) for path in paths)
    shown = "".join(str(compare(one, two)).split())
    assert all(f"{name}:{path}" in shown for name, path in zip("AB", paths, strict=True))


def test_files_can_be_compared(tmp_path):
    for name, outcome in (("a", False), ("b", True)):
        write_records(tmp_path / f"{name}.jsonl", rollouts(outcome, True))
    found = compare(tmp_path / "a.jsonl", str(tmp_path / "b.jsonl"))
    assert (found.won, found.a.model) == (("t0",), str(tmp_path / "a.jsonl"))
    with pytest.raises(InputError, match="no such file"):
        compare(tmp_path / "c.jsonl", tmp_path / "a.jsonl")


def test_what_cannot_be_paired_is_refused():
    one = [rollout("1")]
    with pytest.raises(InputError, match="no task in common: A has 1 scored tasks and B has 1"):
        compare(one, [rollout("2")])
    with pytest.raises(InputError, match=r"A measured set/test \(1\), B measured set/test \(2\)"):
        compare(one, [rollout("1", taskset="set/test (2)")])
    with pytest.raises(InputError, match="B has 0"):
        compare(one, [rollout("1", error="gone")])


UNSEEN = {"labels": {"split": "unseen"}}


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ({}, "Nothing was measured."),
        ({"m": [rollout(error="gone")]}, "Nothing was measured."),
        ({"m": rollouts(True)}, "set/test: 100.0% [one task] of 1 task."),
        ({"m": rollouts(True, False)}, "set/test: 50.0% [9, 91] of 2 tasks."),
        (
            {"m": [rollout(rollout=i) for i in range(2)]},
            "set/test: 100.0% [one task] of 1 task (2 rollouts of each).",
        ),
        (
            {"SFT": rollouts(*[False] * 9, **UNSEEN), "GRPO": rollouts(*[True] * 9, **UNSEEN)},
            "Unseen tools: 100.0% [70, 100] of 9 tasks, +100.0 points over SFT [+40.2, +100.0]:"
            " a measurable gain.",
        ),
        (
            {"SFT": rollouts(True, True), "GRPO": rollouts(True, False)},
            "set/test: 50.0% [9, 91] of 2 tasks, -50.0 points over SFT [-94.7, +60.4]:"
            " no measurable difference.",
        ),
        (
            {"SFT": [rollout("other")], "GRPO": rollouts(True)},
            "set/test: 100.0% [one task] of 1 task.",
        ),
    ],
)
def test_the_verdict_is_one_sentence(results, said):
    assert verdict([Evaluation(group, model) for model, group in results.items()]) == said


def test_each_model_is_compared_with_the_one_before():
    results = {"base": rollouts(False), "SFT": rollouts(True, True), "GRPO": rollouts(True, False)}
    models = [Evaluation(group, model) for model, group in results.items()]
    found = [(c.a.model, c.b.model, c.difference.count) for c in compare_all(models)]
    assert found == [("base", "SFT", 1), ("SFT", "GRPO", 2)]
    assert compare_all([Evaluation([rollout("other")]), models[0]]) == []
