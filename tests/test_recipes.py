"""Every recipe in the repository is one."""

import subprocess
import sys
from pathlib import Path

import pytest

from toolmaster.config import load_config
from toolmaster.recipe import Recipe

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.toml"))


def test_there_are_recipes():
    assert "quickstart.toml" in [path.name for path in RECIPES]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_parses(path):
    recipe = load_config(Recipe, path)
    assert recipe.run.parts[0] == "runs"
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    assert all(0 < len(tasks) <= 2000 for tasks in recipe.evaluation_tasks())


def test_recipes_write_to_different_folders():
    runs = [load_config(Recipe, path).run for path in RECIPES]
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize(
    ("path", "weights"),
    [
        (None, {"format": 1.0, "correctness": 1.0, "call_cost": 0.5}),
        (RECIPES[0].parent / "paper.toml", {"format": 1.0, "correctness": 1.0, "call_cost": 0.5}),
    ],
)
def test_one_weight_of_a_reward_leaves_the_others(path, weights):
    recipe = load_config(Recipe, path, ["grpo.rewards.call_cost=0.5"])
    assert recipe.grpo.rewards == weights
    assert load_config(Recipe, None).grpo.rewards["call_cost"] != 0.5


def test_a_recipe_loads_nothing_heavy():
    heavy = "{'numpy', 'rich', 'torch', 'transformers', 'datasets'}"
    code = f"import sys, toolmaster.recipe; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
