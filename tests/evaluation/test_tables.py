"""What the tables say."""

import pytest
from made_trajectories import call, rollout, rollouts, trial
from rich.console import Console

from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.evaluation.intervals import mean_interval
from toolmaster.evaluation.tables import (
    Cell,
    Grid,
    cell,
    errors_grid,
    family_grid,
    figures_grid,
    points,
    run_grids,
    sets_grid,
)
from toolmaster.types import Score


def texts(grid):
    """Each row as text, value and note."""
    return [[" ".join(filter(None, cell[:2])) for cell in row] for row in grid.rows]


def models(**groups):
    return [Evaluation(group, model) for model, group in groups.items()]


def shown(grid, width=100):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(grid)
    return capture.get()


def test_success_by_task_set_and_what_was_not_measured():
    grid = sets_grid(
        models(
            a=[rollout("1"), rollout("2", False)],
            b=[rollout("3", taskset="other (v1)")],
            c=[rollout("1", error="gone"), rollout("2", score=None)],
        )
    )
    assert grid.header == ("", "tasks", "a", "b", "c")
    assert texts(grid) == [
        ["set/test (1)", "2", "50.0% [9, 91]", "-", "-"],
        ["other (v1)", "1", "-", "100.0% [one task]", "-"],
    ]
    assert "1 rollout broke and did not count; 1 rollout without a score did not" in grid.caption


@pytest.mark.parametrize("make", [sets_grid, family_grid, figures_grid])
def test_a_model_measured_on_fewer_tasks_says_so(make):
    many = [rollout(str(number), family="ab"[number % 2]) for number in range(6)]
    [base, sft] = texts(make(models(base=many[:4], SFT=many)))[0][-2:]
    assert base.endswith(("] n=4", "] n=2"))
    assert "n=" not in sft


def test_text_is_not_markup():
    grid = Grid("[b]t[/b]", ("", "[i]x[/i]"), ((Cell("[red]q[/red]"), Cell("1", "[2, 3]")),), "[x]")
    assert all(text in shown(grid) for text in ("[b]t[/b]", "[i]x[/i]", "[red]q[/red]", "[x]"))
    assert "1 [2, 3]" in shown(grid)


def test_figures_are_shares_numbers_and_effort():
    group = [
        rollout(str(i), i > 0, [call()], score=Score.of(i > 0, value=0.5, solve_f1=0.25, orders=i))
        for i in range(4)
    ]
    grid = figures_grid(models(m=group))
    assert grid.header == ("", "tasks", "m")
    assert texts(grid) == [
        ["success", "4", "75.0% [30, 95]"],
        ["value", "4", "50.0% [26, 74]"],
        ["solve f1", "4", "25.0% [13, 62]"],
        ["calls without error", "4", "100.0% [51, 100]"],
        ["format kept", "4", "100.0% [51, 100]"],
        ["calls", "", "1.0"],
        ["orders", "", "1.5"],
    ]
    assert "trial calls" in {
        row[0] for row in texts(figures_grid(models(m=[rollout(steps=[trial()])])))
    }


def test_family_grid_has_a_row_for_each_family_in_order():
    group = [rollout("1", True, family="silent"), rollout("2", False, family="loud")]
    grid = family_grid(models(base=group, SFT=group[:1]), "t")
    assert (grid.header, grid.title) == (("", "tasks", "base", "SFT"), "t")
    assert texts(grid) == [
        ["silent", "1", "100.0% [one task]", "100.0% [one task]"],
        ["loud", "1", "0.0% [one task]", "-"],
    ]
    assert family_grid(models(base=group[:1])) is None


def test_twenty_families_and_three_models_fit_a_terminal():
    group = [rollout(f"f{i}", i % 2 == 0, family=f"category_{i // 4}") for i in range(80)]
    three = [Evaluation(group, name) for name in ("base model", "after SFT", "after GRPO")]
    drawn = shown(family_grid(three), 80).splitlines()
    assert sum("category_" in line and line.count("[") == 3 for line in drawn) == 20


def test_a_narrow_terminal_cuts_no_number():
    grid = sets_grid([Evaluation(rollouts(True, False), "a model with a long name")])
    drawn = shown(grid, 30)
    assert "\u2026" not in drawn
    assert all(part in drawn for part in ("50.0%", "[9,", "91]"))


def test_a_run_prints_its_sets_one_after_the_other():
    group = [rollout(str(i), family="ab"[i % 2]) for i in range(4)]
    figures = "Figures on set/test (1)"
    families = "Success by family on set/test (1)"
    assert [grid.title for grid in run_grids(models(m=group))] == [figures, families]
    both = run_grids(models(m=[*group, rollout("x", taskset="other (v1)")]))
    titles = ["Success by task set", figures, families, "Figures on other (v1)"]
    assert [grid.title for grid in both] == titles


def test_why_rollouts_failed():
    group = [rollout(str(i), i > 0, [call("a")] * i) for i in range(3)]
    assert texts(errors_grid(models(m=group, n=[rollout(error="gone")]))) == [
        ["incomplete tool chain", "3", "33.3% [6, 79]", "-"],
        ["execution failure", "3", "0.0% [0, 56]", "-"],
        ["reasoning error", "3", "0.0% [0, 56]", "-"],
    ]
    assert errors_grid(models(m=group[1:])) is None


def test_cells():
    assert cell(None) == Cell("-")
    assert cell(mean_interval([0.0] * 16))[:2] == ("0.0%", "[0, 19]")
    assert cell(mean_interval([0.0] * 16), 17).note == "[0, 19] n=16"
    assert cell(3.25) == Cell("3.2")
    assert (points(0.12), points(-0.0001)) == ("+12.0", "+0.0")
