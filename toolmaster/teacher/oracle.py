"""The oracle teacher: knows what each tool hides, yet acts like a careful newcomer.

It is a policy. It calls through the same session and reads real observations. It tries only what
can tell something: a tool that reads if its documentation has an example to compare with, and a
tool that writes, on the copy. What it knows decides which of the possible causes it thinks of
first, never what it claims to have seen.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from toolmaster.policies.base import Completion
from toolmaster.protocols import Protocol
from toolmaster.tasksets.answers import as_answer
from toolmaster.teacher.acting import Acting, Turns
from toolmaster.teacher.settings import Behaviours
from toolmaster.types import Effect, Message
from toolmaster.world.behaviours import (
    Behaviour,
    HiddenParameter,
    Inverted,
    OffByOne,
    Renamed,
    Swapped,
    WrongDefault,
)
from toolmaster.world.goals import Planned
from toolmaster.world.tasks import WorldTask, answer_text
from toolmaster.world.values import words
from toolmaster.world.views import View, as_json

Exchange = Generator[Completion, str, str]
"""Yields turns, receives observations, and returns a thought for the next turn."""
WRONG_GUESS_SHARE = 0.3
"""Share of deviations with several possible causes where another cause is tried first."""
MISTAKE_SHARE = 0.12
"""Share of calls before which a mistake is shown that the error mends; it is not trained on."""
AS_DOCUMENTED = "as documented"
"""The lesson about a tool that hides nothing."""
PHRASES: Mapping[str, tuple[str, ...]] = {
    "example": ('{need}{what}: "{tool}". In its example {want}.',),
    "try": ('{need}{what}: "{tool}". On the copy {want}, if it is as documented.',),
    "receipt": ('{need}{what}: "{tool}". Try it on the copy.',),
    "any": ("A value is missing; any will do on the copy.", "Any value will do for a trial."),
    "fine": ("{got}, expected {value}: yes, as documented.",),
    "received": ("It is taken.", "That works."),
    "guess": ("{got}, expected {value}: no. Perhaps {lesson}.",),
    "hint": ("So {lesson}.", "Then {lesson}."),
    "confirmed": ("{want}, expected {value}: yes. So {lesson}.",),
    "once": ("It can be tried only once, so {options}.",),
    "act": ('{need}{what}: "{tool}".',),
    "act_known": ('{need}{what}: "{tool}", {lesson}.',),
    "asked": ("With {given}.",),
    "untried": ('{need}{what}: "{tool}". It has no example to check.',),
    "nothing": ("Nothing has to be tried.", "No trial is needed."),
    "known": ("I know these tools.", "This was tried before."),
    "done": ("Done.", "That is done."),
    "answer": ("It is {answer}.", "The answer is {answer}."),
    "field": ('"{field}" is {answer}.',),
    "counted": ("{listed}: {answer} in the list.", "{listed}: the list has {answer}."),
    "ask": ("The {label} is missing.", "I do not know the {label}."),
    "none": ("{need}{what}: no tool does this.", "{need}{what}: none of these tools."),
}


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
        self.tries = behaviours.trial and protocol is Protocol.TRIAL and not known

    def conversation(
        self,
        prompt: Sequence[Message],  # noqa: ARG002 - the oracle knows the task
        tools: Sequence[dict[str, Any]],  # noqa: ARG002
    ) -> Acting:
        """Begin the demonstration."""
        return Acting(self._turns())

    def _say(self, key: str, **parts: object) -> str:
        ways = PHRASES[key]
        return ways[self.voice % len(ways)].format(**parts)

    def _turns(self) -> Turns:
        if self.protocol is Protocol.TRIAL:
            note = ""
            if self.tries:
                note = yield from self._trial()
            if not note:
                note = self._untried()
            lessons = self.known or "\n".join(f"{k}: {v}" for k, v in self.lessons.items())
            yield Completion(f"<think>{note}</think><experience>{lessons or 'none'}</experience>")
        for turn in self.drawn.goal.turns:
            if not turn.calls:
                thought = self._say("ask", label=_label(turn.reply))
                if turn.wanted is not None:
                    thought = self._none(turn.wanted)
                yield Completion(f"<think>{thought}</think><answer>{turn.reply}</answer>")
                continue
            yield from self._execute(turn.calls, turn.answer)

    def _untried(self) -> str:
        """The thought that nothing is tried, with what will be used, or that no tool fits."""
        if self.known:
            return self._say("known")
        goal = self.drawn.goal
        if goal.turns[0].wanted is not None:
            return self._none(goal.turns[0].wanted)
        if not goal.tried or goal.kind == "ask":
            return self._say("nothing")
        call = goal.tried[0]
        tool = self.drawn.chosen[call.operation.key][0].name
        return self._say("untried", need=_need(call), what=_purpose(call), tool=tool)

    def _none(self, wanted: Planned) -> str:
        return self._say("none", need=_need(wanted), what=_purpose(wanted))

    # --- trial ----------------------------------------------------------------------------------

    def _trial(self) -> Exchange:
        """Try each tool that can tell something; returns the last thought."""
        note = ""
        goal = self.drawn.goal
        first = goal.tried
        looked_up: set[str] = set()
        tried: set[tuple[str, ...]] = set()
        for call in first:
            key = call.operation.key
            views = self.drawn.chosen[key]
            writes = call.operation.effect is not Effect.READ
            lesson = self.lessons.get(views[0].name)
            # A write with other parameters than before may show what the first one did not.
            form = (key, *sorted(call.arguments))
            again = writes and lesson == AS_DOCUMENTED and form not in tried
            if key in looked_up or (lesson is not None and not again):
                continue
            tried.add(form)
            if writes:
                note = yield from self._try_write(call, note, _need(call))
            elif views[0].example is not None:
                note = yield from self._try_read(views, note, _need(call))
            if (
                goal.kind == "chain"
                and call is first[0]
                and first[-1].operation.effect is not (Effect.READ)
            ):  # what is to be written to has to be known
                looked_up.add(key)
                view = self._best(key)
                note = _join(
                    note, self._say("act", need=_need(call), what=_purpose(call), tool=view.name)
                )
                yield self._turn(note, view, view.send(call.arguments))
                note = ""
        return note

    def _try_read(self, views: tuple[View, ...], note: str, need: str) -> Exchange:
        view = views[0]
        assert view.example is not None  # noqa: S101 - asked by the caller
        arguments, expected = view.example
        focus = self._focus(expected, view.operation.answer)
        want = _points(expected, expected, focus).want
        thought = self._say("example", need=need, what=_about(view), tool=view.name, want=want)
        got = yield from self._tried(_join(note, thought), view, arguments)
        points = _points(_value(got), expected, focus)
        if got == as_answer(expected):
            return self._fine(view, points)
        if view.is_twin:
            other = views[1]
            lesson = self.lessons[view.name] = str(view.behaviour and view.behaviour.lesson)
            thought = self._say("guess", **points._asdict(), lesson=lesson)
            yield self._turn(thought, other, other.shown(arguments))
            return self._fine(other, points._replace(got=points.want))
        return (yield from self._find_cause(view, arguments, points, expected=expected))

    def _try_write(self, call: Planned, note: str, need: str) -> Exchange:
        view = self.drawn.chosen[call.operation.key][0]
        arguments = dict(call.arguments)
        any_value = ""
        if self.drawn.goal.kind == "ask":
            label = _label(self.drawn.goal.turns[0].reply)
            missing = next(p for p in view.operation.params if p.label == label)
            arguments[missing.name] = missing.kind.others(arguments[missing.name], self.rng)
            any_value = self._say("any")
        parts = {"need": need, "what": _purpose(call), "tool": view.name}
        any_value = _join(self._asked(view, call.arguments), any_value)
        expected = {k: v for k, v in {**call.result, **arguments}.items() if k != "id"}
        options = {
            p.name: p.default
            for p in view.operation.params
            if p.default is not None and p.name not in arguments and p.name in expected
        }
        compared = sorted(options or arguments.keys() & expected.keys())
        if view.receipt is not None or not compared:
            thought = _join(note, self._say("receipt", **parts), any_value)
            yield from self._tried(thought, view, arguments)
            self.lessons.setdefault(view.name, AS_DOCUMENTED)
            return self._say("received")
        said, again = "", call.operation.verb != "delete"
        if options and not again:
            arguments |= options
            said = ", ".join(f"{k} {as_json(v)}" for k, v in view.shown(options).items())
            any_value = _join(any_value, self._say("once", options=f"give {said}"))
        focus = self.rng.choice(compared)
        [(name, value)] = view.shown({focus: expected[focus]}).items()
        want = f'"{name}" is {as_json(value)}'
        thought = _join(note, self._say("try", want=want, **parts), any_value)
        got = yield from self._tried(thought, view, arguments)
        points = _points(_value(got), expected, focus)
        if points.got == points.want:
            if options and not again:
                self.lessons.setdefault(view.name, f"give {said}")
            return self._fine(view, points)
        return (yield from self._find_cause(view, arguments, points, again=again))

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
        behaviour = view.behaviour
        assert behaviour is not None  # noqa: S101 - an honest tool does not deviate
        others = [o for o in _causes(view, arguments) if o != behaviour]
        if isinstance(behaviour, Inverted):  # nothing tells it from a wrong default but a call
            default = WrongDefault(behaviour.param, behaviour.documented, behaviour.other)
            shown = view.shown(arguments)
            others = [default] if default.send(shown) != shown else []
        elif expected is None or self.rng.random() > WRONG_GUESS_SHARE:
            others = []
        if not self.behaviours.self_correction:
            others = []
        if others and again:
            wrong = self.rng.choice(others)
            sent = wrong.send(view.shown(arguments))
            thought = self._say("guess", **points._asdict(), lesson=wrong.lesson)
            thought = _join(thought, _changes(wrong, view.shown(arguments), sent))
            slip = not isinstance(behaviour, Inverted)
            seen = yield Completion(_call_text(thought, view.name, sent), slip=slip)
            if expected is not None:
                points = points._replace(got=_points(_value(seen), expected, "").got)
        lesson = self.lessons[view.name] = behaviour.lesson
        thought = self._say("guess", **points._asdict(), lesson=lesson)
        if not again:
            return thought
        sent = view.send(arguments)
        thought = _join(thought, _changes(behaviour, view.shown(arguments), sent))
        yield self._turn(thought, view, sent)
        return self._say("confirmed", **points._asdict(), lesson=lesson)

    def _tried(self, thought: str, view: View, arguments: dict[str, Any]) -> Exchange:
        """Call as documented; after a refusal call as it says. Returns the observation."""
        got = yield from self._called(thought, view, view.shown(arguments))
        if not got.startswith("error: ") or view.behaviour is None:
            return got
        lesson = self.lessons[view.name] = view.behaviour.lesson
        sent = view.send(arguments)
        changes = _changes(view.behaviour, view.shown(arguments), sent)
        return (yield self._turn(_join(self._say("hint", lesson=lesson), changes), view, sent))

    # --- execution ------------------------------------------------------------------------------

    def _execute(self, calls: Sequence[Planned], answer: Any) -> Turns:
        """Make the calls of one message, and answer it."""
        answers: list[Any] = []
        got = ""
        for call in calls:
            informed = self.tries or bool(self.known)
            view = self.drawn.chosen[call.operation.key][0]
            lesson = self.lessons.get(view.name, "")
            if informed and view.is_twin and lesson:
                view = self._best(call.operation.key)
                lesson = ""
            arguments = {**(_given(view, lesson) if informed else {}), **call.arguments}
            shown = sent = view.shown(arguments)
            parts = {"need": _need(call), "what": _purpose(call), "tool": view.name}
            thought = self._say("act", **parts)
            wanted = self._asked(view, call.arguments)
            thought = _join(thought, wanted)
            if informed and lesson not in ("", AS_DOCUMENTED):
                thought = _join(self._say("act_known", **parts, lesson=lesson), wanted)
                believed = self._believed(view, lesson)
                if believed is not None:
                    sent = believed.send(shown)
                    thought = _join(thought, _changes(believed, shown, sent))
            got = yield from self._called(thought, view, sent)
            while got.startswith("error: ") and view.behaviour is not None:
                sent = view.send(arguments)
                thought = self._say("hint", lesson=view.behaviour.lesson)
                thought = _join(thought, _changes(view.behaviour, shown, sent))
                got = yield self._turn(thought, view, sent)
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
        given = [
            shown if param.default is None else f"{shown} {as_json(arguments[param.name])}"
            for shown, param in view.params.items()
            if param.name in arguments
        ]
        options = any(view.params[shown].default is not None for shown in view.shown(arguments))
        several = len(given) > 1 or options
        return self._say("asked", given=", ".join(given)) if several else ""

    def _believed(self, view: View, lesson: str) -> Behaviour | None:
        """What is taken to be hidden: what a given lesson says, even if that is out of date."""
        if lesson == AS_DOCUMENTED:
            return None
        if not self.known or (view.behaviour is not None and view.behaviour.lesson == lesson):
            return view.behaviour
        kinds = [kinds for family in self.drawn.possible.values() for kinds in family.values()]
        return next((one for found in kinds for one in found if one.lesson == lesson), None)

    def _best(self, key: str) -> View:
        """The view that does what is documented, or can be made to."""
        return next(view for view in self.drawn.chosen[key] if not view.is_twin)

    def _called(self, thought: str, view: View, sent: dict[str, Any]) -> Exchange:
        """Call a tool, now and then after a mistake; returns the observation."""
        mistake = None
        if self.behaviours.self_correction and self.rng.random() < MISTAKE_SHARE:
            mistake = _mistake(view, sent, self.rng)
        if mistake is not None:
            name, arguments, remedy = mistake
            yield Completion(_call_text(thought, name, arguments), slip=True)
            thought = remedy
        return (yield self._turn(thought, view, sent))

    def _turn(self, thought: str, view: View, sent: dict[str, Any]) -> Completion:
        return Completion(_call_text(thought, view.name, sent))


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


def _causes(view: View, arguments: dict[str, Any]) -> Iterator[Behaviour]:
    """Yield causes that would explain that a call does something else."""
    rng = random.Random(0)
    shown = view.shown(arguments)
    for kind in (WrongDefault, Swapped, OffByOne):
        for one in kind.fitting(view.honest(), rng):
            sent = one.send(shown)
            if sent != shown:
                yield one


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
    if isinstance(expected, list) and isinstance(got, list):
        want = as_json(expected)
        return Points(f"the list is {as_json(got)}", f"the list is {want}", want)
    if isinstance(expected, dict) and isinstance(got, dict):
        other = next((k for k, v in expected.items() if k in got and got[k] != v), "")
        key = other or (focus if focus in got else next(iter(expected), ""))
        want = as_json(expected.get(key))
        return Points(f'"{key}" is {as_json(got.get(key))}', f'"{key}" is {want}', want)
    return Points(as_json(got), as_json(expected), as_json(expected))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _about(view: View) -> str:
    text = view.doc
    return text[0].upper() + text[1:]


def _purpose(call: Planned) -> str:
    return call.operation.doc


def _label(question: str) -> str:
    """The name of what a question back asks for."""
    text = question.rstrip("?")
    for start in ("Which ", "What is the ", "How many "):
        if text.startswith(start):
            return text.removeprefix(start).removesuffix(" should I take")
    return text


def _need(call: Planned) -> str:
    """What is asked for, said before the tool that has it is named."""
    field = _field(call)
    if field:
        return f"The {field.replace('_', ' ')} is asked for. "
    if isinstance(call.result, list) and call.answer is not None:
        return "It is asked how many. " if isinstance(call.answer, int) else "It is asked which. "
    return ""


def _field(call: Planned) -> str:
    """The field of a record that is the answer; "" where there is no such thing."""
    if call.answer is None or not isinstance(call.result, dict):
        return ""
    fields = [key for key, value in call.result.items() if value == call.answer]
    return fields[-1] if fields else ""


def _call_text(thought: str, name: str, arguments: Mapping[str, Any]) -> str:
    call = as_json({"name": name, "arguments": arguments})
    return f"<think>{thought}</think><tool_call>{call}</tool_call>"


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
