"""The oracle teacher: knows what each tool hides, yet acts like a careful newcomer.

It is a policy. It calls through the same session and reads real observations. It tries only what
can tell something: a tool that reads if its documentation has an example to compare with, and a
tool that writes, on the copy. What it knows decides which of the possible causes it thinks of
first, never what it claims to have seen.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

from toolmaster.policies.base import Completion
from toolmaster.protocols import Protocol
from toolmaster.tasksets.answers import as_answer
from toolmaster.teacher.acting import Acting, Turns
from toolmaster.teacher.settings import Behaviours
from toolmaster.types import Effect
from toolmaster.world.behaviours import (
    Behaviour,
    HiddenParameter,
    Inverted,
    OffByOne,
    Renamed,
    Swapped,
    WrongDefault,
    WrongTwin,
)
from toolmaster.world.goals import Planned, Turn
from toolmaster.world.tasks import WorldTask, answer_text
from toolmaster.world.values import data, words
from toolmaster.world.views import View, as_json

Exchange = Generator[Completion, str, str]
"""Yields turns, receives observations, and returns a thought for the next turn."""
WRONG_GUESS_SHARE = 0.3
"""Share of deviations with several possible causes where another cause is tried first."""
MISTAKE_SHARE = 0.12
"""Share of calls before which a mistake is shown that the error mends; it is not trained on."""
AS_DOCUMENTED = "as documented"
"""The lesson about a tool that hides nothing."""
_PHRASES: Mapping[str, list[str]] = data("wording")["teacher"]


class Points(NamedTuple):
    """What a result is compared by: what was seen, what should be, and the value of that alone."""

    got: str
    want: str
    value: str


class OraclePolicy:
    """Shows one task.

    Args:
        drawn: the task with its secrets.
        protocol: the form of the demonstration.
        behaviours: what to show.
        known: experience that is given with the task; "" for none. With it nothing is tried.
    """

    name = "oracle"

    def __init__(
        self, drawn: WorldTask, protocol: Protocol, behaviours: Behaviours, known: str = ""
    ) -> None:
        self.drawn, self.protocol, self.behaviours, self.known = drawn, protocol, behaviours, known
        self.rng = random.Random(f"{drawn.task.id}/{protocol}")
        self.voice = self.rng.randrange(2)
        lines = [line.partition(": ") for line in known.splitlines() if ": " in line]
        self.lessons: dict[str, str] = {name: lesson for name, _, lesson in lines}

    def conversation(self, *_: object) -> Acting:
        """Begin the demonstration; prompt and tools are ignored, because the task is known."""
        return Acting(self._turns())

    def _say(self, key: str, **parts: object) -> str:
        ways = _PHRASES[key]
        return ways[self.voice % len(ways)].format(**parts)

    def _turns(self) -> Turns:
        if self.protocol is Protocol.TRIAL:
            note = ""
            if self.behaviours.trial and not self.known:
                note = yield from self._trial()
            note = note or self._untried()
            lessons = self.known or "\n".join(f"{k}: {v}" for k, v in self.lessons.items())
            yield Completion(f"<think>{note}</think><experience>{lessons or 'none'}</experience>")
        for turn in self.drawn.goal.turns:
            if turn.calls:
                yield from self._execute(turn.calls, turn.answer)
                continue
            if turn.missing is not None:
                thought = self._say("ask", label=turn.missing.label)
            else:
                thought = self._none(turn)
            yield Completion(f"<think>{thought}</think><answer>{turn.reply}</answer>")

    def _untried(self) -> str:
        """The thought that nothing is tried, with what will be used, or that no tool fits."""
        goal = self.drawn.goal
        if self.known:
            return self._say("known")
        if goal.turns[0].wanted is not None:
            return self._none(goal.turns[0])
        if not goal.tried or goal.kind == "ask":
            return self._say("nothing")
        call = goal.tried[0]
        tool = self.drawn.chosen[call.operation.key][0].name
        return self._say("untried", aim=_aim(call), tool=tool)

    def _none(self, turn: Turn) -> str:
        assert turn.wanted is not None  # noqa: S101 - neither called nor asked for
        return self._say("none", aim=_aim(turn.wanted))

    # --- trial ----------------------------------------------------------------------------------

    def _trial(self) -> Exchange:
        """Try each tool that can tell something; returns the last thought."""
        note = ""
        goal = self.drawn.goal
        writes = any(call.operation.effect is not Effect.READ for call in goal.tried)
        tried: set[tuple[str, ...]] = set()
        for call in goal.tried:
            views = self.drawn.chosen[call.operation.key]
            lesson = self.lessons.get(views[0].name)
            # A write with other parameters than before may show what the first one did not.
            form = (call.operation.key, *sorted(call.arguments))
            reads = call.operation.effect is Effect.READ
            if lesson is not None and (reads or lesson != AS_DOCUMENTED or form in tried):
                continue
            tried.add(form)
            if not reads:
                note = yield from self._try_write(call, note)
            elif views[0].example is not None:
                note = yield from self._try_read(call, views, note)
            if goal.kind == "chain" and reads and writes:  # what is written to has to be known
                view = self._best(views)
                note = _join(note, self._say("act", aim=_aim(call), tool=view.name))
                yield _turn(note, view.name, view.send(call.arguments))
                note = ""
        return note

    def _try_read(self, call: Planned, views: Sequence[View], note: str) -> Exchange:
        view = views[0]
        assert view.example is not None  # noqa: S101 - asked by the caller
        arguments, expected = view.example
        focus = self._focus(expected, view.operation.answer)
        want = _points(expected, expected, focus).want
        thought = self._say("example", aim=_aim(call, start=True), tool=view.name, want=want)
        got = yield from self._tried(_join(note, thought), view, arguments)
        points = _points(_value(got), expected, focus)
        if got == as_answer(expected):
            return self._fine(view, points)
        if isinstance(view.behaviour, WrongTwin):
            other, lesson = views[1], view.behaviour.lesson
            self.lessons[view.name] = lesson
            thought = self._say("guess", **points._asdict(), lesson=lesson)
            yield _turn(thought, other.name, other.shown(arguments))
            return self._fine(other, points._replace(got=points.want))
        return (yield from self._find_cause(view, arguments, points, expected=expected))

    def _try_write(self, call: Planned, note: str) -> Exchange:
        view = self.drawn.chosen[call.operation.key][0]
        arguments = dict(call.arguments)
        details = self._asked(view, call.arguments)
        missing = self.drawn.goal.turns[0].missing
        if missing is not None:
            arguments[missing.name] = missing.kind.others(arguments[missing.name], self.rng)
            details = _join(details, self._say("any"))
        parts = {"aim": _aim(call), "tool": view.name}
        expected = {k: v for k, v in {**call.result, **arguments}.items() if k != "id"}
        options = {
            p.name: p.default
            for p in view.operation.params
            if p.default is not None and p.name not in arguments and p.name in expected
        }
        compared = sorted(options or arguments.keys() & expected.keys())
        if view.receipt is not None or not compared:
            thought = _join(note, self._say("receipt", **parts), details)
            yield from self._tried(thought, view, arguments)
            self.lessons.setdefault(view.name, AS_DOCUMENTED)
            return self._say("received")
        again = call.operation.verb != "delete"
        if options and not again:
            arguments |= options
            named = (f"{k} {as_json(v)}" for k, v in view.shown(options).items())
            told = f"give {', '.join(named)}"
            details = _join(details, self._say("once", options=told))
        focus = self.rng.choice(compared)
        [(name, value)] = view.shown({focus: expected[focus]}).items()
        thought = self._say("try", want=f'"{name}" is {as_json(value)}', **parts)
        thought = _join(note, thought, details)
        got = yield from self._tried(thought, view, arguments)
        points = _points(_value(got), expected, focus)
        if points.got != points.want:
            return (yield from self._find_cause(view, arguments, points, again=again))
        if options and not again:
            self.lessons.setdefault(view.name, told)
        return self._fine(view, points)

    def _focus(self, expected: Any, answer: str) -> str:
        """Choose the field of a result that is looked at."""
        if not isinstance(expected, dict) or not expected:
            return ""
        numbers = [key for key, value in expected.items() if isinstance(value, int | float)]
        return answer if answer in expected else self.rng.choice(sorted(numbers or expected))

    def _fine(self, view: View, points: Points) -> str:
        self.lessons.setdefault(view.name, AS_DOCUMENTED)
        return self._say("fine", **points._asdict())

    def _find_cause(
        self,
        view: View,
        arguments: dict[str, Any],
        points: Points,
        *,
        expected: Any = None,
        again: bool = True,
    ) -> Exchange:
        """Think of a cause for what deviates and check it, now and then after another one."""
        hidden, shown = view.behaviour, view.shown(arguments)
        assert hidden is not None  # noqa: S101 - an honest tool does not deviate
        wrong = self._other_cause(view, shown, reads=expected is not None) if again else None
        if wrong is not None:
            thought = self._say("guess", **points._asdict(), lesson=wrong.lesson)
            thought = _join(thought, _changes(wrong, shown, wrong.send(shown)))
            slip = not isinstance(hidden, Inverted)
            seen = yield _turn(thought, view.name, wrong.send(shown), slip=slip)
            if expected is not None:
                points = points._replace(got=_points(_value(seen), expected, "").got)
        lesson = self.lessons[view.name] = hidden.lesson
        thought = self._say("guess", **points._asdict(), lesson=lesson)
        if not again:
            return thought
        sent = hidden.send(shown)
        yield _turn(_join(thought, _changes(hidden, shown, sent)), view.name, sent)
        return self._say("confirmed", **points._asdict(), lesson=lesson)

    def _other_cause(self, view: View, shown: dict[str, Any], *, reads: bool) -> Behaviour | None:
        """Draw another cause that would explain what deviates; None to think of the right one."""
        hidden, others = view.behaviour, list[Behaviour]()
        if isinstance(hidden, Inverted):  # nothing tells it from a wrong default but a call
            others = [WrongDefault(hidden.param, hidden.documented, hidden.other)]
        elif reads and self.rng.random() <= WRONG_GUESS_SHARE:
            kinds, rng = (WrongDefault, Swapped, OffByOne), random.Random(0)
            others = [one for kind in kinds for one in kind.fitting(view.honest(), rng)]
        others = [one for one in others if one != hidden and one.send(shown) != shown]
        return self.rng.choice(others) if others and self.behaviours.self_correction else None

    def _tried(self, thought: str, view: View, arguments: dict[str, Any]) -> Exchange:
        """Call as documented, and keep what an error says. Returns the last observation."""
        return (yield from self._called(thought, view, arguments, view.shown(arguments), keep=True))

    # --- execution ------------------------------------------------------------------------------

    def _execute(self, calls: Sequence[Planned], answer: Any) -> Turns:
        """Make the calls of one message, and answer it."""
        answers: list[Any] = []
        got = ""
        for call in calls:
            views = self.drawn.chosen[call.operation.key]
            view, lesson = views[0], self.lessons.get(views[0].name, "")
            if view.is_twin and lesson:
                view, lesson = self._best(views), ""
            arguments = {**_given(view, lesson), **call.arguments}
            shown = sent = view.shown(arguments)
            key, changes = "act", ""
            if lesson not in ("", AS_DOCUMENTED):
                key, believed = "act_known", self._believed(view, lesson)
                if believed is not None:
                    sent = believed.send(shown)
                    changes = _changes(believed, shown, sent)
            thought = self._say(key, aim=_aim(call), tool=view.name, lesson=lesson)
            thought = _join(thought, self._asked(view, call.arguments), changes)
            got = yield from self._called(thought, view, arguments, sent)
            if call.answer is not None:
                answers.append(_found(call, got))
        if answer is None:
            yield Completion(f"<think>{self._say('done')}</think><answer>Done.</answer>")
            return
        text = answer_text(answers if isinstance(answer, list) and len(answers) > 1 else answers[0])
        field = _field(calls[-1]) if len(calls) == 1 else ""
        listed = _numbered(got) if isinstance(answer, int) else ""
        key = "counted" if listed else "field" if field else "answer"
        thought = self._say(key, answer=text, listed=listed, field=field)
        yield Completion(f"<think>{thought}</think><answer>{text}</answer>")

    def _asked(self, view: View, arguments: Mapping[str, Any]) -> str:
        """Say which of several values a request gives, and its options with their values.

        A value is easily left out, and an option is easily taken for its default.
        """
        told = [(name, p) for name, p in view.params.items() if p.name in arguments]
        if len(told) < 2 and all(param.default is None for _, param in told):
            return ""
        given = [
            name if param.default is None else f"{name} {as_json(arguments[param.name])}"
            for name, param in told
        ]
        return self._say("asked", given=", ".join(given))

    def _believed(self, view: View, lesson: str) -> Behaviour | None:
        """What is taken to be hidden: what a given lesson says, even if that is out of date."""
        if not self.known or (view.behaviour is not None and view.behaviour.lesson == lesson):
            return view.behaviour
        kinds = [kinds for family in self.drawn.possible.values() for kinds in family.values()]
        return next((one for found in kinds for one in found if one.lesson == lesson), None)

    def _best(self, views: Sequence[View]) -> View:
        """The view that does what is documented, or can be made to."""
        return next(view for view in views if not view.is_twin)

    def _called(
        self,
        thought: str,
        view: View,
        arguments: dict[str, Any],
        sent: dict[str, Any],
        *,
        keep: bool = False,
    ) -> Exchange:
        """Call a tool, now and then after a mistake, and again as its error says.

        With `keep` what the error says is a lesson. Returns the last observation.
        """
        mistake = None
        if self.behaviours.self_correction and self.rng.random() < MISTAKE_SHARE:
            mistake = _mistake(view, sent, self.rng)
        if mistake is not None:
            name, wrong, remedy = mistake
            yield _turn(thought, name, wrong, slip=True)
            thought = remedy
        got = yield _turn(thought, view.name, sent)
        hidden, shown = view.behaviour, view.shown(arguments)
        while got.startswith("error: ") and hidden is not None:
            if keep:
                self.lessons[view.name] = hidden.lesson
            sent = hidden.send(shown)
            thought = self._say("hint", lesson=hidden.lesson)
            got = yield _turn(_join(thought, _changes(hidden, shown, sent)), view.name, sent)
        return got


def _mistake(
    view: View, sent: dict[str, Any], rng: random.Random
) -> tuple[str, dict[str, Any], str] | None:
    """Draw a call that is refused before it reaches the tool: its name, its arguments, the remedy.

    None where the drawn mistake cannot be made with this call.
    """
    tool, kind = view.tool(), rng.choice(("tool", "name", "missing", "value"))
    if kind == "tool":
        wrong = "_".join(rng.sample((*words()["thing"], *view.name.split("_")), 2))
        return wrong, sent, f'There is no "{wrong}"; it is "{view.name}".'
    if not sent:
        return None
    key = rng.choice(sorted(sent))
    arguments = dict(sent)
    value = arguments.pop(key)
    schema = tool.parameters["properties"].get(key, {})
    remedy = f"{key} is missing: {as_json(value)}."
    if kind == "name":
        wrong = rng.choice(words()["thing"])
        arguments[wrong] = value
        remedy = f"There is no {wrong}; {key} is {as_json(value)}."
    elif kind == "value":
        number = schema.get("type") in ("integer", "number")
        arguments[key] = f"{value} in all" if number else rng.choice(words()["word"])
        remedy = f"{key} is {as_json(value)}."
    return (view.name, arguments, remedy) if tool.violation(arguments) else None


def _given(view: View, lesson: str) -> dict[str, Any]:
    """Return the options that a lesson says to give, under canonical names."""
    options = ((shown, p) for shown, p in view.params.items() if p.default is not None)
    told = lesson.startswith("give ")
    return {p.name: p.default for k, p in options if told and f"{k} {as_json(p.default)}" in lesson}


def _changes(behaviour: Behaviour, shown: Mapping[str, Any], sent: Mapping[str, Any]) -> str:
    """Say which values are sent in place of others, where the lesson does not name them."""
    if isinstance(behaviour, WrongDefault | HiddenParameter | Renamed):
        return ""
    changed = [f"{k} is {as_json(v)}" for k, v in sent.items() if shown.get(k) != v]
    return f"So {', '.join(changed)}." if changed else ""


def _numbered(got: str) -> str:
    """Return what a list holds with a number before each, to count them; "" for anything else."""
    listed = _value(got)
    if not isinstance(listed, list):
        return ""
    return ", ".join(f"{number} {one}" for number, one in enumerate(listed, 1)) or "nothing"


def _found(call: Planned, got: str) -> Any:
    """Return the answer as the observation shows it, which may be wrong."""
    result = _value(got)
    if isinstance(result, list):
        return len(result) if isinstance(call.answer, int) else result
    field = _field(call)
    return result.get(field, got) if field and isinstance(result, dict) else got


def _points(got: Any, expected: Any, focus: str) -> Points:
    """Return what is compared: the field that differs, else the one looked at."""
    name = ""
    if isinstance(expected, list) and isinstance(got, list):
        name = "the list is "
    elif isinstance(expected, dict) and isinstance(got, dict):
        other = next((k for k, v in expected.items() if k in got and got[k] != v), "")
        key = other or (focus if focus in got else next(iter(expected), ""))
        name, got, expected = f'"{key}" is ', got.get(key), expected.get(key)
    value = as_json(expected)
    return Points(name + as_json(got), name + value, value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _aim(call: Planned, *, start: bool = False) -> str:
    """Say what is asked for and what the tool for it does; `start`: with a capital letter."""
    field, does = _field(call), call.operation.doc
    need = ""
    if field:
        need = f"The {field.replace('_', ' ')} is asked for. "
    elif isinstance(call.result, list) and call.answer is not None:
        need = f"It is asked {'how many' if isinstance(call.answer, int) else 'which'}. "
    return need + (does[0].upper() + does[1:] if start else does)


def _field(call: Planned) -> str:
    """The field of a record that is the answer; "" where there is no such thing."""
    if call.answer is None or not isinstance(call.result, dict):
        return ""
    fields = [key for key, value in call.result.items() if value == call.answer]
    return fields[-1] if fields else ""


def _turn(
    thought: str, name: str, arguments: Mapping[str, Any], *, slip: bool = False
) -> Completion:
    call = as_json({"name": name, "arguments": arguments})
    return Completion(f"<think>{thought}</think><tool_call>{call}</tool_call>", slip=slip)


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
