"""What the tables say."""

from made_trajectories import call, rollout, trial
from rich.console import Console

from toolmaster.evaluation.grids import Cell, Grid, interval_cell, points, render
from toolmaster.evaluation.intervals import Interval, mean_interval
from toolmaster.evaluation.tables import (
    behaviour_grid,
    family_grid,
    figures_grid,
    main_grid,
    run_grids,
)
from toolmaster.types import Score


def texts(grid):
    """Each row as text, value and note."""
    return [[" ".join(filter(None, cell[:2])) for cell in row] for row in grid.rows]


def shown(grid, width=100):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(render(grid))
    return capture.get()


def test_main_grid_has_a_column_for_each_task_set():
    group = [rollout("2", True, [trial()]), rollout("3", False, [trial(), trial()])]
    group += [rollout("1", True, taskset="other (v1)", completion_tokens=30)]
    grid = main_grid({"after SFT": group})
    assert grid.header == ("model", "set/test, %", "other, %", "calls", "trial calls", "tokens")
    [row] = texts(grid)
    assert row == ["after SFT", "50.0 [9.5, 90.5]", "100.0 [one task]", "1.0", "1.0", "10"]
    assert "(2 of set/test (1), 1 of other (v1))" in grid.caption


def test_a_row_of_fewer_tasks_than_the_others_says_so():
    many = [rollout(str(number), family="ab"[number % 2]) for number in range(6)]
    for make in (main_grid, family_grid, figures_grid):
        grid = make({"base": many[:4], "SFT": many})
        [base, sft] = texts(grid)[0][-2:] if make is not main_grid else [r[1] for r in texts(grid)]
        assert base.endswith(("] n=4", "] n=2"))
        assert "n=" not in sft


def test_main_grid_marks_a_missing_task_set_and_a_model_without_results():
    rows = {
        "a": [rollout("1")],
        "b": [rollout("2", taskset="other")],
        "c": [rollout("1", error="gone")],
    }
    grid = main_grid(rows)
    assert [row[1:3] for row in texts(grid)] == [
        ["100.0 [one task]", "-"],
        ["-", "100.0 [one task]"],
        ["-", "-"],
    ]
    assert "1 rollout broke and did not count" in grid.caption


def test_text_is_not_markup():
    grid = Grid("[b]t[/b]", ("", "[i]x[/i]"), ((Cell("[red]q[/red]"), Cell("1", "[2, 3]")),), "[x]")
    assert all(text in shown(grid) for text in ("[b]t[/b]", "[i]x[/i]", "[red]q[/red]", "[x]"))
    assert "1 [2, 3]" in shown(grid)


def test_figures_have_units_and_the_parts_of_the_score():
    group = [
        rollout(str(i), i > 0, [call()], score=Score.of(i > 0, value=0.5, solve_f1=0.25, orders=i))
        for i in range(4)
    ]
    grid = figures_grid({"m": group})
    assert grid.header == ("", "tasks", "mean", "95% interval")
    assert [row[:3] for row in texts(grid)] == [
        ["success %", "4", "75.0"],
        ["value %", "4", "50.0"],
        ["solve f1 %", "4", "25.0"],
        ["orders", "4", "1.5"],
        ["calls without error %", "4", "100.0"],
    ]
    assert texts(grid)[0][3] == "[30.1, 95.4]"


def test_family_grid_has_a_row_for_each_family_in_order():
    group = [rollout("1", True, family="silent"), rollout("2", False, family="loud")]
    grid = family_grid({"base": group, "SFT": group[:1]}, "t")
    assert (grid.header, grid.title) == (("family", "tasks", "base", "SFT"), "t")
    assert texts(grid) == [
        ["silent", "1", "100.0 [one task]", "100.0 [one task]"],
        ["loud", "1", "0.0 [one task]", "-"],
    ]
    assert family_grid({"base": group[:1]}) is None


def test_twenty_families_and_three_models_fit_a_terminal():
    models = {
        name: [rollout(f"f{i}", i % 2 == 0, family=f"category_{i // 4}") for i in range(80)]
        for name in ("base model", "after SFT", "after GRPO")
    }
    drawn = shown(family_grid(models)).splitlines()
    assert sum("category_" in line and line.count("[") == 3 for line in drawn) == 20


def test_a_run_prints_its_sets_one_after_the_other():
    group = [rollout(str(i), family="ab"[i % 2]) for i in range(4)]
    group += [rollout("x", taskset="other (v1)")]
    assert [grid.title for grid in run_grids({"m": group})] == [
        "Success",
        "Figures on set/test",
        "Success by family on set/test",
        "Figures on other",
    ]


def test_behaviour_grid_shows_a_dash_without_errors():
    grid = behaviour_grid({"base": [rollout("1", steps=[trial(), trial()])], "none": []})
    [row] = texts(grid)
    cells = dict(zip(grid.header, row, strict=True))
    assert (cells["useful trials"], cells["other trials"]) == ("1.0", "1.0")
    assert cells["recovered %"] == "-"


def test_cells():
    assert interval_cell(None) == Cell("-")
    assert interval_cell(mean_interval([0.0] * 16)) == Cell("0.0", "[0.0, 19.4]")
    number = Interval(mean=3.25, low=1, high=5.5, count=9, share=False)
    assert interval_cell(number, 10) == Cell("3.2", "[1.0, 5.5] n=9")
    assert (points(0.12), points(-0.0001)) == ("+12.0", "+0.0")
