"""Options of commands, made from the settings classes: `--sft.lora-rank 8` is `sft.lora_rank=8`.

A setting is written once: the name, type, default and docstring of a field make the key in a
recipe, the option and its help.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypedDict, TypeVar, get_args

from cyclopts import Group, Parameter
from pydantic.fields import FieldInfo

from toolmaster.config import Settings, load_config
from toolmaster.errors import ConfigError, did_you_mean
from toolmaster.types import TrialMode

S = TypeVar("S", bound=Settings)
C = TypeVar("C", bound=Callable[..., Any])
Given = Mapping[str, Any]
"""What the options of a command say, nested by section."""
NOTHING: Given = MappingProxyType({})
Words = Annotated[str, Parameter(show=False)]
"""A word after a command; the usage line says which there are."""
Flag = Annotated[bool, Parameter(show_default=False)]
Json = Annotated[
    bool, Parameter(name="--json", show_default=False, help="Print JSON on standard output.")
]
_SETTING = re.compile(r"[A-Za-z_][\w.]*=")


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return places (a recipe, a model, a task set) and settings `key=value`, each in order.

    >>> split_words(["runs/sft/model", "world split=test", "seed=1"])
    (['runs/sft/model', 'world split=test'], ['seed=1'])
    """
    settings = [word for word in words if _SETTING.match(word)]
    return [word for word in words if not _SETTING.match(word)], settings


def options(
    cls: type[Settings],
    own: str = "",
    hide: Collection[str] = (),
    without_recipe: Mapping[str, Any] = NOTHING,
) -> Callable[[C], C]:
    """Give a command an option for each setting of a class.

    The command receives what was given in its parameter `given`; `read` turns it into settings.

    Args:
        cls: The settings.
        own: Section whose name may be left out: `--count` for `--demonstrate.count`.
        hide: Settings that the help of the command does not list.
        without_recipe: Settings by key whose default is another one without a recipe; help says
            both.
    """
    form = _form(cls, cls(), own, hide, without_recipe)

    def decorate(command: C) -> C:
        command.__annotations__["given"] = Annotated[form, Parameter(name="*")]
        return command

    return decorate


def read(
    cls: type[S],
    words: Sequence[str],
    given: Given,
    *,
    own: str = "",
    recipe: Path | None = None,
    made: Mapping[str, Any] = NOTHING,
    places: Mapping[str, tuple[str, Any]] = NOTHING,
    refused: Mapping[str, str] = NOTHING,
) -> S:
    """Return the settings that a recipe, options and words `key=value` say together.

    Args:
        cls: The settings.
        words: Settings `key=value`.
        given: What options said. Options and words win over the recipe.
        own: Section whose name may be left out.
        recipe: A TOML file; None for the defaults.
        made: Settings by key in place of the defaults.
        places: Settings by key that the command's places and flags say: what the user wrote, and
            the value.
        refused: Keys and sections that the command does not take, each with the reason.

    Raises:
        ConfigError: A file, key or value cannot be accepted, or a setting is given twice.
    """
    options_ = dict(_flat(given))
    full = [_full(cls, own, word) for word in words]
    written = {key: shown for key, (shown, _) in places.items()}
    for key, shown in (
        *((key, f"--{key.replace('_', '-')} {value}") for key, value in options_.items()),
        *zip((word.partition("=")[0] for word in full), words, strict=True),
    ):
        if key in written:
            raise ConfigError(
                f"{key} is given twice, as {written[key]} and as {shown}; leave one out"
            )
        written[key] = shown
        why = refused.get(key) or refused.get(key.partition(".")[0])
        if why:
            raise ConfigError(f"{shown}: {why}")
    texts = [f"{key}={value}" for key, value in options_.items() if isinstance(value, str)]
    values = {key: value for key, value in options_.items() if not isinstance(value, str)}
    said = {key: value for key, (_, value) in places.items()}
    return load_config(cls, recipe, [*texts, *full], {**made, **said, **values})


def section(kind: Any) -> type[Settings] | None:
    """Return the settings class of a field, also of an optional one; None for a plain value."""
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, Settings):
            return part
    return None


def _form(
    cls: type[Settings],
    default: Settings,
    own: str = "",
    hide: Collection[str] = (),
    others: Mapping[str, Any] = NOTHING,
    *,
    path: str = "",
    taken: Collection[str] = (),
) -> Any:
    """Return the options of some settings, as a dictionary type; see `options`.

    Args:
        cls: The settings.
        default: What holds where nothing is said.
        own: Section whose name may be left out.
        hide: Settings that help does not list.
        others: Defaults by full key that hold without a recipe.
        path: Beginning of the keys, such as "evaluate.sampling."; "" at the top, where each section
            has a panel of its own.
        taken: Names that mean other settings where they stand without the section's.
    """
    fields: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        inner, value = section(field.annotation), getattr(default, name)
        shown: dict[str, Any] = {"show": False} if name in hide else {}  # else as its section is
        if inner is None:
            if name in taken:
                shown["name"] = f"--{path}{name}".replace("_", "-")
            fields[name] = _option(field, value, others.get(path + name, value), **shown)
            continue
        clash = cls.model_fields if name == own else ()
        inner_path, default_ = f"{path}{name}.", inner() if value is None else value
        form = _form(inner, default_, others=others, path=inner_path, taken=clash)
        if name == own:
            shown["name"] = ("*", name)
        if not path:
            shown["group"] = Group(name, help=(inner.__doc__ or "").partition("\n\n")[0])
        fields[name] = Annotated[form, Parameter(**shown)]
    return TypedDict(cls.__name__, fields, total=False)  # type: ignore[operator]


def _option(field: FieldInfo, default: Any, other: Any, **shown: Any) -> Any:
    """The type of one option, with its help; `other` is the default without a recipe."""
    about = " ".join((field.description or "").split())
    if other != default:
        about = f"{about} [default: {_text(default)}; without a recipe: {_text(other)}]"
    elif default is not False and default not in (None, "", (), {}):
        about = f"{about} [default: {_text(default)}]".lstrip()
    if TrialMode in (field.annotation, *get_args(field.annotation)):
        shown["name_transform"] = _underscored
    negative = None if default is True else ()
    return Annotated[field.annotation, Parameter(help=about, negative=negative, **shown)]


def _underscored(choice: str) -> str:
    """A choice as settings files have it: `read_only`, also for READ_ONLY and `read-only`."""
    return choice.lower().replace("-", "_")


def _text(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _flat(given: Given, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        name = prefix + key.replace("-", "_")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _full(cls: type[Settings], own: str, word: str) -> str:
    """A setting with the name of its section, where that was left out."""
    first = re.split(r"[.=]", word, maxsplit=1)[0]
    inner = section(cls.model_fields[own].annotation) if own else None
    if inner is None or first in cls.model_fields:
        return word
    if first in inner.model_fields:
        return f"{own}.{word}"
    meant = did_you_mean(first, inner.model_fields) and not did_you_mean(first, cls.model_fields)
    return f"{own}.{word}" if meant else word
