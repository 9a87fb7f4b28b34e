"""What the tables print."""

import pytest
from rich.console import Console

from toolmaster.errors import InputError
from toolmaster.evaluation.metrics import by_label, by_taskset
from toolmaster.evaluation.tables import (
    behaviour_grid,
    compare_table,
    evaluation_table,
    family_table,
    main_table,
)
from toolmaster.types import ActionKind, Phase, Score, Step, ToolCall, Trajectory


def lines(table):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines() if line.strip()]


def row(table, name):
    return next(line for line in lines(table) if line.startswith(name))


def rollout(task_id, success, taskset="w/test (v1)", family="plain", trials=0, **fields):
    trial = Step(
        text="...",
        phase=Phase.TRIAL,
        action=ActionKind.CALL,
        call=ToolCall(name="a", arguments={}),
        observation="ok",
    )
    return Trajectory(
        task_id=task_id,
        taskset=taskset,
        protocol="trial",
        policy="p",
        prompt=[],
        tools=[],
        steps=[trial] * trials,
        score=Score.of(success, answer=success, state=success),
        labels={"family": family},
        completion_tokens=120,
        **fields,
    )


def test_main_table_shows_each_task_set_and_effort_on_the_first():
    group = [rollout("2", True, trials=1), rollout("3", False, trials=2)]
    group += [rollout("1", True, "other (v1)", trials=5)]
    table = main_table({"after SFT": by_taskset(group)})
    assert lines(table)[1] == "model w/test, % other, % calls trial calls tokens"
    assert row(table, "after SFT") == "after SFT 50.0 [9.5, 90.5] 100.0 [one task] 1.5 1.5 120"
    assert any("(2 of w/test (v1), 1 of other (v1))" in line for line in lines(table))


def test_a_row_of_fewer_tasks_than_the_others_says_so():
    many = [rollout(str(number), True) for number in range(3)]
    groups = {"base": many[:1], "SFT": many}
    for make, by in ((main_table, by_taskset), (family_table, lambda g: by_label(g, "family"))):
        table = make({name: by(group) for name, group in groups.items()})
        assert "[one task], 1 task" in row(table, "base")
        assert "task" not in row(table, "SFT")
        assert "(3 " in str(table.caption)


def test_main_table_marks_a_missing_task_set():
    rows = {"a": by_taskset([rollout("1", True)]), "b": by_taskset([rollout("2", True, "other")])}
    table = main_table(rows)
    assert row(table, "b") == "b - 100.0 [one task] - - -"


def test_model_names_are_not_markup():
    table = main_table({"[red]qwen[/red]": by_taskset([rollout("1", True)])})
    assert row(table, "[red]qwen[/red]")


def test_family_table_shows_families_as_they_come():
    group = [rollout("1", True, family="silent"), rollout("2", False, family="loud")]
    table = family_table({"base": by_label(group, "family")}, "w/test")
    header = next(line for line in lines(table) if line.startswith("model"))
    assert header == "model loud, % silent, %"
    assert row(table, "base") == "base 0.0 [one task] 100.0 [one task]"
    assert str(table.title) == "Success by family on w/test"


def test_family_table_fits_a_hundred_columns_for_four_families():
    group = [
        rollout(f"{family}{i}", i > 0, family=family)
        for family in ("plain", "loud", "silent", "irreversible")
        for i in range(5)
    ]
    table = family_table({"after SFT and GRPO": by_label(group, "family")})
    assert len(row(table, "after SFT and GRPO").split()) == 4 + 4 * 3


def test_an_evaluation_shows_parts_families_and_broken_rollouts():
    group = [rollout(f"{f}{i}", i > 0, family=f) for f in ("a", "b") for i in range(4)]
    table = evaluation_table("m", [*group, rollout("x", False, error="gone")])
    assert lines(table)[1] == "tasks success % answer state calls tokens"
    assert row(table, "w/test (v1)") == "w/test (v1) 8 75.0 [40.9, 92.9] 75.0 75.0 0.0 120"
    assert row(table, "a") == "a 4 75.0 [30.1, 95.4] 75.0 75.0 0.0 120"
    assert "1 rollouts broke and are not counted" in str(table.caption)


def test_compare_table_pairs_tasks_overall_and_per_family():
    a = [rollout(f"p{i}", i < 1) for i in range(4)] + [rollout("s", True, family="silent")]
    b = [rollout(f"p{i}", True) for i in range(4)] + [rollout("x", False, family="silent")]
    table = compare_table("base", a, "SFT", b)
    # The plain tasks are all they share: 1 of 4 against 4 of 4.
    assert row(table, "all tasks").split()[2:6] == ["4", "25.0", "100.0", "+75.0"]
    assert row(table, "plain").split()[1:5] == ["4", "25.0", "100.0", "+75.0"]
    assert not any(line.startswith("silent") for line in lines(table))


def test_compare_table_highlights_only_a_clear_difference():
    a = [rollout(f"p{i}", False) for i in range(4)]
    clear = compare_table("a", a, "b", [rollout(f"p{i}", True) for i in range(4)])
    unclear = compare_table("a", a, "b", [rollout(f"p{i}", i == 0) for i in range(4)])

    def bold(table):
        console = Console(width=100, force_terminal=True, color_system="standard")
        with console.capture() as capture:
            console.print(table)
        return "\x1b[1m+" in capture.get()

    assert bold(clear)
    assert not bold(unclear)


def test_compare_table_tells_long_names_apart():
    paths = [f"runs/{'deep/' * 30}{model}.jsonl" for model in ("sft", "grpo")]
    table = compare_table(paths[0], [rollout("1", True)], paths[1], [rollout("1", True)])
    shown = "".join(lines(table)).replace(" ", "")
    assert all(f"{name}:{path}" in shown for name, path in zip("AB", paths, strict=True))


def test_compare_table_refuses_disjoint_tasks():
    with pytest.raises(InputError, match="no task in common"):
        compare_table("a", [rollout("1", True)], "b", [rollout("2", True)])


def test_behaviour_grid_shows_a_dash_without_errors():
    summary = by_label([rollout("1", True, trials=2)], "family")["plain"]
    grid = behaviour_grid({"base": summary})
    cells = dict(zip(grid.header, (cell.value for cell in grid.rows[0]), strict=True))
    assert cells["useful trials"] == "1.0"
    assert cells["unproductive trials"] == "1.0"
    assert cells["recovered %"] == "-"
