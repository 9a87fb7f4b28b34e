"""Recipes and overrides: what is accepted, and every way of saying no."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from toolmaster.config import Settings, load_config
from toolmaster.errors import ConfigError


class Sft(Settings):
    learning_rate: float = Field(1e-4, gt=0)
    epochs: int = 1


class Recipe(Settings):
    seed: int = 0
    name: str = "run"
    sizes: tuple[int, ...] = ()
    sft: Sft = Sft()


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(path=None, *overrides):
    with pytest.raises(ConfigError) as caught:
        load_config(Recipe, path, overrides)
    return str(caught.value)


@pytest.mark.parametrize("text", ["name=http://me:hunter2@h", 'names=["a", "x u=//me:hunter2@h"]'])
def test_credentials_are_refused_and_not_repeated(text):
    class Named(Recipe):
        names: tuple[str, ...] = ()

    with pytest.raises(ConfigError, match="the address holds a secret") as caught:
        load_config(Named, None, [text])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("levels", [250, 5000])
def test_nesting_without_end_is_refused(recipe, levels):
    deep = "[" * levels + "]" * levels
    assert "nested deeper than 200 levels" in refused(recipe(f"sizes = {deep}"))
    assert refused(None, f"sizes={deep}").startswith("sizes: ")
    assert "nested deeper" in refused(recipe(".".join(["sft"] * levels) + " = 1"))


def test_defaults_alone():
    assert load_config(Recipe, None) == Recipe()


def test_file_then_overrides(recipe):
    path = recipe("seed = 1\n[sft]\nepochs = 2\n")
    got = load_config(Recipe, path, ["seed=5", "sft.learning_rate=3e-4"])
    assert got == Recipe(seed=5, sft=Sft(learning_rate=3e-4, epochs=2))


def test_a_file_of_an_editor_that_marks_its_encoding(recipe):
    assert load_config(Recipe, recipe("\ufeffseed = 1\n")).seed == 1


def test_an_override_is_toml_or_else_text():
    got = load_config(Recipe, None, ["name = plain words", "sizes=[1, 2]"])
    assert (got.name, got.sizes) == ("plain words", (1, 2))
    assert load_config(Recipe, None, ['name="7=x"']).name == "7=x"


def test_nested_override_without_a_file_makes_the_section():
    assert load_config(Recipe, None, ["sft.epochs=3"]).sft == Sft(epochs=3)


class Outer(Settings):
    """A section whose default says other things than its class."""

    inner: Sft = Sft(learning_rate=0.5)


class Outermost(Settings):
    outer: Outer = Outer(inner=Sft(learning_rate=0.7))


def test_a_section_set_in_part_keeps_its_own_defaults(recipe):
    kept = Sft(learning_rate=0.5, epochs=3)
    assert load_config(Outer, None, ["inner.epochs=3"]).inner == kept
    assert load_config(Outer, recipe("[inner]\nepochs = 3\n")).inner == kept
    assert load_config(Outer, None, ["inner.learning_rate=0.1"]).inner.learning_rate == 0.1
    deep = load_config(Outermost, None, ["outer.inner.epochs=3"]).outer.inner
    assert deep == Sft(learning_rate=0.7, epochs=3)


def test_settings_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 2


def test_missing_file(tmp_path):
    path = tmp_path / "none.toml"
    assert refused(path) == f"cannot read {str(path)!r}: No such file or directory"


def test_directory_instead_of_a_file(tmp_path):
    assert refused(tmp_path) == f"cannot read {str(tmp_path)!r}: Is a directory"


@pytest.mark.parametrize("content", [b"seed = = 1", b'name = "caf\xe9"'])
def test_bad_toml(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    assert refused(path).startswith(f"{path}: not valid TOML: ")


@pytest.mark.parametrize("item", ["seed", "=3", "  = 3", ""])
def test_malformed_override(item):
    message = refused(None, item)
    assert message == f"override {item!r}: write it as key=value, for example seed=1"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("seed.a=1", "override 'seed.a=1': 'seed' is a value, not a section"),
        (
            "sed=1",
            "unknown key 'sed' (did you mean 'seed'?); allowed here: name, seed, sft, sizes",
        ),
        (
            "sft.epoch=1",
            "unknown key 'sft.epoch' (did you mean 'epochs'?); allowed here: epochs, learning_rate",
        ),
        ("zzz=1", "unknown key 'zzz'; allowed here: name, seed, sft, sizes"),
    ],
)
def test_an_override_that_is_none(recipe, item, message):
    assert refused(recipe("seed = 3"), item) == message


def test_a_setting_that_is_missing():
    class Named(Settings):
        name: str
        size: int = 1

    with pytest.raises(ConfigError) as caught:
        load_config(Named, None, ["size=2"])
    assert str(caught.value) == "name is missing: give name=VALUE"


def test_bad_values_are_all_named(recipe):
    path = recipe('seed = "many"\n[sft]\nlearning_rate = -1\n')
    first, second = refused(path).split("\n")
    assert first.startswith(f"{path}: seed: Input should be a valid integer")
    assert first.endswith("got 'many'")
    assert second == f"{path}: sft.learning_rate: Input should be greater than 0, got -1"


def test_exit_code_is_that_of_a_usage_error():
    assert ConfigError.exit_code == 2


class Kinds(Settings):
    """One setting of each kind that text can be taken for."""

    run: Path = Path("runs")
    model: str = ""
    count: int = 0
    maybe: str | None = None
    names: tuple[str, ...] = ()
    share: float = 0.0
    anything: Any = None


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("run=2026-11-30", "run", Path("2026-11-30")),
        ("run=1e3", "run", Path("1e3")),
        ("model=true", "model", "true"),
        ("maybe=12", "maybe", "12"),
        ("model=😀", "model", "😀"),
        ('names=["😀"]', "names", ("😀",)),
        ("count=7", "count", 7),
        ("share=1e-3", "share", 0.001),
        ("model=1\ncount=2", "model", "1\ncount=2"),
        ("anything=2026-11-30", "anything", "2026-11-30"),
        ("anything.day=12:30:00", "anything", {"day": "12:30:00"}),
    ],
)
def test_text_stays_text_where_the_setting_is_text(override, key, value):
    assert getattr(load_config(Kinds, None, [override]), key) == value


def test_values_are_taken_as_they_are_and_overrides_win():
    given = {"model": "a=b 😀\n'\"", "names": ["1e3"], "count": 2}
    settings = load_config(Kinds, None, ["count=3"], given)
    assert (settings.model, settings.names, settings.count) == (given["model"], ("1e3",), 3)


class Weighted(Settings):
    weights: dict[str, float] = Field({"a": 1.0, "b": 2.0})
    deep: dict[str, dict[str, int]] = Field(default_factory=lambda: {"x": {"one": 1, "two": 2}})


class Holder(Settings):
    section: Weighted = Weighted(weights={"c": 3.0})


@pytest.mark.parametrize("source", ["file", "override", "table override", "values"])
def test_a_table_set_in_part_keeps_its_defaults_however_it_is_set(recipe, source):
    def load(cls, place, keys, value):
        key = ".".join([place, *keys])
        table = value
        for part in reversed(keys):
            table = {part: table}
        if source == "file":
            return load_config(cls, recipe(f"{key} = {value}\n"))
        if source == "override":
            return load_config(cls, None, [f"{key}={value}"])
        if source == "values":
            return load_config(cls, None, values={place: table})
        text = "{" + ".".join(keys) + f" = {value}" + "}"
        return load_config(cls, None, [f"{place}={text}"])

    assert load(Weighted, "weights", ["b"], 0.5).weights == {"a": 1.0, "b": 0.5}
    assert load(Weighted, "weights", ["new"], 4).weights == {"a": 1.0, "b": 2.0, "new": 4.0}
    assert load(Weighted, "deep", ["x", "two"], 5).deep == {"x": {"one": 1, "two": 5}}
    assert load(Holder, "section", ["weights", "d"], 1).section.weights == {"c": 3.0, "d": 1.0}
    assert Weighted().deep == {"x": {"one": 1, "two": 2}}
    assert Weighted().weights == {"a": 1.0, "b": 2.0}
