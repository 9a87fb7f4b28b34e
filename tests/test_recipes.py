"""Every recipe in the repository is one."""

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


def test_recipes_write_to_different_folders():
    runs = [load_config(Recipe, path).run for path in RECIPES]
    assert len(set(runs)) == len(runs)
