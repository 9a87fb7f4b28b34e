"""Facts and formulas: tools with many parameters of which one or two matter, and answers to chain.

A relation leads from a value to another one ("the author of a book"), so that questions of several
hops can be made: "the birthplace of the author of The Long Kettle". A formula takes attributes of
a thing. What they answer depends on their arguments alone.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from toolmaster.types import Effect
from toolmaster.world.service import Operation, Param, Service, State, computed, in_words
from toolmaster.world.spec import param_of
from toolmaster.world.values import Kind, data, kind_of, number_of

NAMES = 40
"""How many sets of facts each split has; each draws its own relations."""
_data = partial(data, "facts")


class Facts:
    """Services of facts and formulas, each drawn from a name."""

    def names(self, split: str) -> list[str]:
        """Return the names of a split."""
        return [f"facts-{split}-{number}" for number in range(NAMES)]

    def draw(self, name: str, rng: random.Random) -> Service:
        """Draw the facts of a name: six to twelve tools."""
        split = name.split("-")[1]
        made = [_relation(split, rng) for _ in range(rng.randrange(4, 9))]
        made += [_formula(split, rng) for _ in range(rng.randrange(2, 5))]
        return Service(name, "facts and formulas", split, {one.key: one for one in made})


def _relation(split: str, rng: random.Random) -> Operation:
    one = rng.choice(_data()["relation"])
    name = rng.choice(one[split].split())
    words = in_words(name)
    of = kind_of(one["of"])
    subject = Param(one["of"], of, f"Name of the {one['of']}", phrase="{}")
    said = _data()["wording"]
    doc = rng.choice(said["relation"]).format(r=words, of=one["of"])
    ask = rng.choice(said["asked"]).format(r=words)
    params = (subject, *_extra(rng, one["of"]))
    return _computing(name, words, doc, params, ask, kind_of(one["is"]))


def _formula(split: str, rng: random.Random) -> Operation:
    said, made_of = _data()["wording"], _data()["formulas"]
    measure, thing = rng.choice(made_of[split].split()), rng.choice(made_of["thing"].split())
    listed = [part.split(maxsplit=1) for part in made_of["attribute"].split(";")]
    chosen = rng.sample(listed, rng.choice((1, 2, 2, 3)))
    params: list[Param] = []
    for name, unit in chosen:
        whole = rng.random() < 0.6
        kind = number_of(1, rng.choice((20, 100, 2000)), whole=whole, unit=unit)
        parts = {"name": name, "Name": name.capitalize(), "thing": thing, "unit": unit}
        phrase = rng.choice(said["attribute_asked"]).format(**parts)
        doc = rng.choice(said["attribute"]).format(**parts)
        params.append(Param(name, kind, doc, phrase=phrase))
    if rng.random() < 0.4:
        params.append(param_of("unit", _data()["unit"]))
    if rng.random() < 0.3:
        params += _extra(rng, "unit")[:1]
    name = f"{thing}_{measure}"
    names = " and ".join(param.label for param in params[: len(chosen)])
    parts = {"m": measure, "M": measure.capitalize(), "thing": thing, "names": names}
    doc = rng.choice(said["formula"]).format(**parts)
    ask = rng.choice(said["formula_asked"]).format(**parts)
    kind = number_of(1, 5000, whole=rng.random() < 0.5)
    return _computing(name, in_words(name), doc, tuple(params), ask, kind)


def _extra(rng: random.Random, taken: str) -> list[Param]:
    extra = {**_data()["extra"], **_data()["idle"]}
    names = rng.sample(sorted(extra), rng.choice((0, 0, 1, 2, 3, 5)))
    return [
        param_of(name if "=" in extra[name] else f"{name}?", extra[name])
        for name in names
        if name != taken
    ]


def _computing(
    name: str, noun: str, doc: str, params: tuple[Param, ...], ask: str, kind: Kind
) -> Operation:
    def run(_: State, arguments: dict[str, Any]) -> Any:
        matter = {k: v for k, v in arguments.items() if k not in _data()["idle"]}
        return {name: computed(kind, name, matter)}

    return Operation(name, "compute", noun, doc, params, Effect.READ, run, ask, name, kind)
