"""Every recipe in the repository is one."""

from pathlib import Path

import pytest

from toolmaster.config import load_config
from toolmaster.errors import ConfigError
from toolmaster.pipeline.recipe import Recipe, find_recipe, recipe_names

RECIPES = [find_recipe(name) for name in recipe_names()]


def test_there_are_recipes():
    assert "quickstart" in recipe_names()
    assert find_recipe("my/own.toml") == Path("my/own.toml")


def test_a_recipe_that_is_none():
    with pytest.raises(ConfigError, match=r"no recipe is called 'quikstart' \(did you mean"):
        find_recipe("quikstart")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_parses(path, pets, tmp_path, monkeypatch):
    # `transfer` expects its documents here.
    for provider in range(40):  # of one in eight the test split has all
        folder = tmp_path / "package" / "api" / f"provider{provider}"
        folder.mkdir(parents=True)
        (folder / pets.name).symlink_to(pets)
    monkeypatch.chdir(tmp_path)
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


def test_a_judges_limit_needs_prices():
    with pytest.raises(ConfigError, match=r"grpo\.judge: max_cost needs prices"):
        load_config(Recipe, None, ["grpo.judge.max_cost=7"])


def test_epochs_take_the_place_of_steps():
    given = load_config(Recipe, None, ["grpo.trainer.num_train_epochs=1"]).grpo.trainer
    assert given["num_train_epochs"] == 1
    assert "max_steps" not in given
    assert given["learning_rate"] == 1e-5  # what is not named stays
