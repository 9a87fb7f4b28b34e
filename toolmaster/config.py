"""Recipes: TOML files and `key=value` overrides, merged first and validated once by pydantic.

This is the only module that knows how settings are written down. A file and the command line share
one spelling (`sft.learning_rate=1e-4`); the resolved settings are saved as JSON in the run folder.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic.fields import FieldInfo

from toolmaster.errors import ConfigError, did_you_mean, problem
from toolmaster.system.nesting import read_toml
from toolmaster.system.redaction import refuse_credentials


class Settings(BaseModel):
    """Base of every settings section: immutable, unknown keys refused, docstrings under fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_credentials(cls, value: Any) -> Any:
        """Refuse credentials in addresses: settings are saved, and shown in reports."""
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str):
                refuse_credentials(text)
        return value

    def with_defaults(self, defaults: Mapping[str, Any]) -> Self:
        """Return these settings with other defaults: only fields that nobody set are changed."""
        left = {key: value for key, value in defaults.items() if key not in self.model_fields_set}
        return self.model_copy(update=left)


S = TypeVar("S", bound=Settings)


def load_config(
    cls: type[S],
    recipe: Path | None,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] = MappingProxyType({}),
) -> S:
    """Read a recipe and apply values and overrides.

    Args:
        cls: the settings to build.
        recipe: a TOML file; None for the defaults alone.
        overrides: items `a.b=value`; a value that begins with a bracket, a brace or a quote is
            TOML. They win over `values`.
        values: settings by key (`a.b`) as Python values.

    Raises:
        ConfigError: a file that cannot be read, a malformed override, an unknown key, a bad value.
    """
    data: dict[str, Any] = {}
    if recipe is not None:
        try:
            data = read_toml(recipe.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise ConfigError(f"cannot read {str(recipe)!r}: {error.strerror}") from None
        except ValueError as error:
            raise ConfigError(f"{recipe}: not valid TOML: {error}") from None
    given = [*values, *(item.partition("=")[0].strip() for item in overrides)]
    for key, value in values.items():
        _set(data, key, value, key)
    for item in overrides:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"override {item!r}: write it as key=value, for example seed=1")
        _set(data, key.strip(), _parse(value.strip()), item)
    fields = cls.model_fields.items()
    _complete({key: f.get_default(call_default_factory=True) for key, f in fields}, data)
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        lines = []
        for one in error.errors():
            place = f"{'.'.join(map(str, one['loc']))}."
            typed = any(place.startswith(f"{k}.") or f"{k}.".startswith(place) for k in given)
            in_file = recipe is not None and not typed
            lines.append((f"{recipe}: " if in_file else "") + _explain(cls, one))
        raise ConfigError("\n".join(lines)) from None


def _set(data: dict[str, Any], key: str, value: object, item: str) -> None:
    """Set the value of `key` (`a.b`); `item` names the override in an error."""
    *parents, last = key.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise ConfigError(f"override {item!r}: {parent!r} is a value, not a section")
    data[last] = value


def _complete(defaults: Mapping[str, Any], data: dict[str, Any]) -> None:
    """Add to sections and tables that are set in part what else their own defaults say.

    `sampling: Sampling = Sampling(temperature=1.0)` stays at 1.0 where only its `slots` are set;
    `weights: dict[str, float] = {"a": 1.0}` keeps its `a` where only a `b` is set.
    """
    for key, value in data.items():
        default = defaults.get(key)
        if not isinstance(value, dict):
            continue
        if isinstance(default, Settings):
            own = dict(default)
            for name in default.model_fields_set - value.keys():
                value[name] = own[name]
            _complete(own, value)
        elif isinstance(default, dict):
            for name in default.keys() - value.keys():
                value[name] = copy.deepcopy(default[name])
            _complete(default, value)


def _parse(text: str) -> object:
    """Return what a setting's text means: a TOML array, table or quoted string, or the text itself.

    Numbers and truth values stay text: validation makes of it what the setting takes, so that
    `seed=3` is a number and `run=2026` a folder.
    """
    if not text.startswith(("[", "{", '"', "'")):
        return text
    try:
        return read_toml(f"value = {text}")["value"]
    except (ValueError, KeyError):
        return text


def _explain(cls: type[BaseModel], error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    if error["type"] == "missing" and isinstance(error["input"], dict):
        return f"{key} is missing: give {key}=VALUE"
    if error["type"] == "value_error":  # our own words, which say what was received
        return f"{key}: {error['ctx']['error']}"
    if error["type"] != "extra_forbidden":
        return f"{key}: {problem(error)}, got {error['input']!r}"
    section: Any = cls
    for part in path[:-1]:
        fields: dict[str, FieldInfo] = getattr(section, "model_fields", {})
        section = fields[part].annotation if part in fields else None
    allowed = sorted(getattr(section, "model_fields", {}))
    hint = did_you_mean(path[-1], allowed)
    return f"unknown key {key!r}{hint}; allowed here: {', '.join(allowed)}"
