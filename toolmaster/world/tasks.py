"""From a task id to a task: draws domain state, goal, quirks and surface, all from the id alone.

An id is `LEVEL/SPLIT/DOMAIN/FAMILY/NUMBER`, for example `v5/seen/bakery/silent/42`. The same id
gives the same task in any process, for ever; a change in how tasks are drawn is a new version.
There are two levels: `v5` has tasks of any length and documentation that may be missing; `v5s`
(short) has tasks of one call whose tools are all documented.

A sixth part makes a series of it: `v5/seen/bakery/silent/42/3` is the third task with the very same
tools and start state, asking for other entities (the first is the task itself), and `.../42/3c` the
same where the tool has silently changed its behaviour.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolmaster.errors import DomainError, InputError
from toolmaster.tasksets import Task
from toolmaster.tasksets.answers import as_answer, same_answer
from toolmaster.tools import ToolSet
from toolmaster.types import Effect, Score, Trajectory
from toolmaster.world.domain import Domain, Name, Plan, State, ToolDef, whole
from toolmaster.world.lexicon import new_names, renamed
from toolmaster.world.quirks import FAMILIES, KINDS, Quirk
from toolmaster.world.rewording import reword
from toolmaster.world.series import PLACE, change, plan_again
from toolmaster.world.surface import Example, Surface, describe, draw_name, draw_params

LEVELS = {"full": "v5", "short": "v5s"}
"""Level to what its task ids begin with."""
BUILTIN = Path(__file__).parent.parent / "domains"


def quoted(value: Any) -> str:
    """A value as documentation shows it: text in quotation marks, as in a call."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class WorldTask:
    """A drawn task with everything that is hidden from the policy.

    Args:
        task: what a session runs.
        plan: the canonical calls, the query, the answer and the expected end state.
        surfaces: the tools shown, in order.
        chosen: canonical tool key to the surfaces that serve it, the one a newcomer would take
            first at the front; a quirk with a twin has two.
    """

    task: Task
    plan: Plan
    surfaces: tuple[Surface, ...]
    chosen: dict[str, tuple[Surface, ...]]


class World:
    """A set of domains and the tasks that can be drawn from them.

    Args:
        paths: extra domain folders, each with a `domain.py` that defines `domain`.
        builtin: whether the built-in domains are included.
        level: of the ids that `ids` makes, a key of `LEVELS`; `draw` takes ids of any level.

    Raises:
        DomainError: a folder that is not a domain, a rule broken, or two domains of one name.
    """

    def __init__(
        self, paths: Sequence[Path] = (), *, builtin: bool = True, level: str = "full"
    ) -> None:
        self.level = level
        folders = sorted(BUILTIN.glob("*/domain.py")) if builtin else []
        folders += [Path(path) / "domain.py" for path in paths]
        self.domains: dict[str, Domain] = {}
        for file in folders:
            domain = load_domain(file)
            if domain.name in self.domains:
                raise DomainError(f"{file}: a domain called {domain.name!r} is already loaded")
            self.domains[domain.name] = domain

    def ids(self, split: str, count: int, families: Sequence[str], start: int = 0) -> list[str]:
        """The first `count` task ids of a split from number `start`, families and domains in turn.

        Raises:
            InputError: no or an unknown family, an unknown split, or a split without domains.
        """
        self.check_families(families)
        turns = len(families)
        return [self.id_of(split, families[i % turns], start + i // turns) for i in range(count)]

    def check_families(self, families: Sequence[str]) -> None:
        """Refuse families that do not exist.

        Raises:
            InputError: no or an unknown family.
        """
        unknown = [family for family in families if family not in FAMILIES]
        if not families or unknown:
            said = f"unknown family {unknown[0]!r}" if unknown else "no family is named"
            raise InputError(f"{said}; allowed: {', '.join(FAMILIES)}")

    def id_of(self, split: str, family: str, number: int) -> str:
        """The task id of a number; its domain is drawn from the number.

        Raises:
            InputError: an unknown split, or one without domains.
        """
        domains = sorted(name for name, d in self.domains.items() if d.split == split)
        if not domains:
            raise InputError(f"no domain of split {split!r} is loaded")
        domain = random.Random(f"{number}/{family}").choice(domains)
        return f"{LEVELS[self.level]}/{split}/{domain}/{family}/{number}"

    def draw(self, task_id: str) -> WorldTask:
        """Draw the task of an id.

        Raises:
            InputError: the id is malformed, of another version, or names an unknown domain; or
                its tool cannot change silently.
        """
        parts = task_id.split("/")
        place = PLACE.fullmatch(parts[5]) if len(parts) == 6 else None
        if (
            len(parts) != 5 + (place is not None)
            or parts[0] not in LEVELS.values()
            or not parts[4].isdigit()
        ):
            raise InputError(
                f"task id {task_id!r}: expected v5/SPLIT/DOMAIN/FAMILY/NUMBER, then /PLACE or"
                " /PLACEc for one of a series"
            )
        if place is not None:
            base = self.draw("/".join(parts[:5]))
            return _in_series(task_id, base, int(place[1]), changed=bool(place[2]))
        _, split, name, family, _ = parts
        domain = self.domains.get(name)
        if domain is None or domain.split != split or family not in FAMILIES:
            raise InputError(f"task id {task_id!r}: no such domain, split or family is loaded")
        rng = random.Random(task_id)
        for _ in range(300):
            drawn = _draw(task_id, domain, family, rng)
            if drawn is not None:
                return drawn
        raise DomainError(
            f"domain {name!r}: no goal of it has a place for a quirk of the {family} family"
        )


def load_domain(file: Path) -> Domain:
    """Import one `domain.py` and check it.

    Raises:
        DomainError: no such file, it fails, no `domain` in it, or a rule broken.
    """
    if not file.is_file():
        raise DomainError(f"{str(file.parent)!r} is no domain: it has no domain.py")
    module_name = f"toolmaster_domain_{file.parent.name}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise DomainError(f"{file}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise DomainError(f"{file}: {type(error).__name__}: {error}") from error
    domain = getattr(module, "domain", None)
    if not isinstance(domain, Domain):
        raise DomainError(f"{file}: it must define `domain = Domain(...)`")
    domain.check()
    return domain


def _copy(state: State) -> State:
    copied: State = marshal.loads(marshal.dumps(state))  # noqa: S302 - our own bytes, JSON-like
    return copied


def _draw(task_id: str, domain: Domain, family: str, rng: random.Random) -> WorldTask | None:
    """One attempt; None when the goal is too long, idle, or has no tool that the quirk fits."""
    assert domain.make_state is not None  # noqa: S101 - held by Domain.check
    start = domain.make_state(rng)
    if domain.split == "seen" and rng.random() < 0.5:
        entities = next((list(t) for t in start.values() if isinstance(t, dict)), [])
        start = whole(renamed(start, new_names(entities, rng)), rng)
    goal = rng.choice(sorted(domain.goals))
    plan = Plan(domain, _copy(start), rng)
    domain.goals[goal](plan)
    short = task_id.startswith(LEVELS["short"] + "/")
    if (short and len(plan.calls) > 1) or plan.is_idle(start):
        return None
    if domain.split == "seen" and rng.random() < 0.5:
        reword(plan, rng)
    used = list(dict.fromkeys(call.tool for call in plan.calls))
    kinds = [
        kind for kind in KINDS if kind.family == family and kind.split in ("both", domain.split)
    ]
    kind = rng.choice(kinds)
    fitting = [key for key in used if kind.target(plan.domain.tools[key]) is not None]
    if not fitting:
        return None
    quirky = rng.choice(fitting)
    surfaces, chosen = _dress(plan, start, kind, quirky, rng, documented=short)
    labels = {"split": domain.split, "domain": domain.name, "family": family, "quirk": kind.kind}
    return _assemble(task_id, plan, start, surfaces, chosen, {**labels, "goal": goal})


def _assemble(
    task_id: str,
    plan: Plan,
    start: State,
    surfaces: tuple[Surface, ...],
    chosen: dict[str, tuple[Surface, ...]],
    labels: dict[str, str],
) -> WorldTask:
    """The task of a plan with these tools, and its checker."""
    tools = tuple(surface.tool() for surface in surfaces)
    expected, answer = plan.state, plan.answer
    writes = any(plan.domain.tools[call.tool].effect is Effect.WRITE for call in plan.calls)

    def check(trajectory: Trajectory, final: ToolSet) -> Score:
        state = final.state == expected
        given = trajectory.answer
        right = given is not None if writes else same_answer(given, answer)
        told = "a changed state" if writes else f"the answer {as_answer(answer)!r}"
        return Score.of(right and state, told, answer=float(right), state=float(state))

    def make_tools() -> ToolSet:
        return ToolSet(tools, _copy(start), _copy)

    task = Task(task_id, plan.query, make_tools, answer, check, labels=labels)
    return WorldTask(task, plan, surfaces, chosen)


def _in_series(task_id: str, base: WorldTask, number: int, *, changed: bool) -> WorldTask:
    """The task at a place of the series that `base` opens."""
    plan, surfaces, chosen = base.plan, base.surfaces, base.chosen
    labels = dict(base.task.labels)

    def start() -> State:
        state: State = base.task.make_tools().state
        return state

    if number > 1:
        rng = random.Random(f"{base.task.id}/{number}")
        plan = plan_again(plan, start, labels["goal"], surfaces, rng)
    if changed:
        try:
            rng = random.Random(f"{base.task.id}/changed")
            old, new = change(surfaces, plan.domain.split, rng)
        except InputError as error:
            raise InputError(f"task id {task_id!r}: {error}") from None
        surfaces = tuple(new if s is old else s for s in surfaces)
        chosen = {k: tuple(new if s is old else s for s in pair) for k, pair in chosen.items()}
        labels["quirk"] = new.quirk.kind
    return _assemble(task_id, plan, start(), surfaces, chosen, labels)


def _dress(
    plan: Plan,
    start: State,
    kind: type[Quirk],
    quirky: str,
    rng: random.Random,
    *,
    documented: bool,
) -> tuple[tuple[Surface, ...], dict[str, tuple[Surface, ...]]]:
    """Put quirk, names and documentation on the tools the plan uses and on those that check it."""
    domain = plan.domain
    used = list(dict.fromkeys(call.tool for call in plan.calls))
    asked = [value for call in plan.calls for value in call.arguments.values()]
    taken: set[str] = set()
    chosen: dict[str, tuple[Surface, ...]] = {}
    readers = [domain.tools[key].shown_by for key in used if domain.tools[key].shown_by]
    for key in dict.fromkeys([*used, *(r for r in readers if r)]):
        definition = domain.tools[key]
        quirk = Quirk(definition)
        if key == quirky:
            word = rng.choice(kind.choices) if kind.choices else _some_name(definition, start, rng)
            reader = domain.tools[definition.shown_by] if definition.shown_by else None
            quirk = kind(definition, kind.target(definition) or "", word, reader)
        params = draw_params(rng, definition, domain.split)
        example = _example(definition, start, rng, asked)
        style = "complete" if rng.random() < 0.7 else "terse"
        if not documented and quirk.family != "silent" and rng.random() < 0.15:
            style, example = "missing", None
        doc = describe(style, definition, example, quoted)
        pair = [quirk, Quirk(definition)] if quirk.twin else [quirk]
        surfaces = [
            Surface(
                definition,
                draw_name(rng, definition, domain.split, taken),
                params,
                doc,
                q,
                example,
                terse=style == "terse",
            )
            for q in pair
        ]
        rng.shuffle(surfaces)
        chosen[key] = tuple(surfaces)
    shown = [surface for pair in chosen.values() for surface in pair]
    if rng.random() < 0.5:
        spare = [key for key in domain.tools if key not in chosen]
        if spare:
            extra = domain.tools[rng.choice(spare)]
            doc = describe("complete", extra, _example(extra, start, rng, asked), quoted)
            name = draw_name(rng, extra, domain.split, taken)
            shown.append(
                Surface(extra, name, draw_params(rng, extra, domain.split), doc, Quirk(extra))
            )
    # Twins keep their order among themselves: the first is the one a newcomer takes first.
    order = sorted(range(len(shown)), key=lambda _: rng.random())
    shuffled = [shown[i] for i in order]
    for key, twins in chosen.items():
        chosen[key] = tuple(sorted(twins, key=shuffled.index))
    return tuple(shuffled), chosen


def _some_name(tool: ToolDef, state: State, rng: random.Random) -> str:
    """A name that the tool would take; "" for a tool that takes none."""
    if not any(isinstance(kind, Name) for kind in tool.params.values()):
        return ""
    return str(_arguments(tool, state, rng).get(_name_param(tool), ""))


def _name_param(tool: ToolDef) -> str:
    return next(key for key, kind in tool.params.items() if isinstance(kind, Name))


def _arguments(
    tool: ToolDef, state: State, rng: random.Random, asked: Sequence[Any] = ()
) -> dict[str, Any]:
    """Arguments for a documented example, other than those that the task asks for where it can."""
    arguments: dict[str, Any] = {}
    for key, kind in tool.params.items():
        choices: list[Any] = [1, 2, 3, 4]
        if isinstance(kind, Name):
            choices = sorted(next(table for table in state.values() if isinstance(table, dict)))
        others = [value for value in choices if value not in asked]
        arguments[key] = rng.choice(others or choices)
    return arguments


def _example(
    tool: ToolDef, state: State, rng: random.Random, asked: Sequence[Any]
) -> Example | None:
    """A documented example with its true result; None for a write."""
    if tool.effect is not Effect.READ:
        return None
    arguments = _arguments(tool, state, rng, asked)
    return Example(arguments, tool.run(_copy(state), **arguments))


__all__ = [
    "BUILTIN",
    "LEVELS",
    "World",
    "WorldTask",
    "load_domain",
    "quoted",
]
