"""The oracle teacher: knows each task's hidden behaviours, yet acts like a careful newcomer.

It is a policy. It calls through the same session and reads real observations: the plausible call
first, then what the observation teaches, a correction where one is needed, the experience, and a
clean execution. What it knows decides only which lesson it draws, never what it claims to have
seen.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Sequence
from typing import Any

from toolmaster.policies.base import Completion
from toolmaster.protocols import Protocol
from toolmaster.tasksets.answers import as_answer
from toolmaster.teacher.acting import Acting, Turns
from toolmaster.teacher.arithmetic import no_scale, off_by, reckoning
from toolmaster.teacher.phrases import VOICE_SHARES, say
from toolmaster.teacher.settings import Behaviours
from toolmaster.teacher.slips import draw_slip
from toolmaster.types import Effect, Message
from toolmaster.world.domain import Name, PlannedCall, number
from toolmaster.world.quirks.base import VERB, reckoned
from toolmaster.world.quirks.silent import TwoBased, ZeroBased
from toolmaster.world.surface import Example, Surface
from toolmaster.world.tasks import WorldTask, quoted

Exchange = Generator[Completion, str, str]
"""Like `Turns`, and returns what was learned in the end."""
_SLIP_SHARE = 0.08
"""Chance of a slip at each call, of which a demonstration has one at most."""
_WRONG_FACTOR_SHARE = 0.3
"""Chance that the first factor found for a value to write is another power of ten."""
_CONFUSED_SHARE = 0.12
"""Chance that a write is first read back with a tool that writes."""
_ASTRAY_SHARE = 0.5
"""Chance that a tool of another purpose is taken for the twin, where one takes the same."""
_POWERS = (10, 100, 1000, 10_000)
_FORGET_SHARE = 0.4
"""Chance that the execution forgets what a loud tool demands, which then says so again."""


class OraclePolicy:
    """Shows one task.

    Args:
        drawn: the task with its secrets.
        protocol: the form of the demonstration.
        behaviours: what to show.
        seed: varies words and probes; the same seed gives the same demonstration.
        known: experience that is handed with the task; "" for none. With it nothing is tried.
        overspends: whether the trial ends with one call more than the session allows.
    """

    name = "oracle"

    def __init__(
        self,
        drawn: WorldTask,
        protocol: Protocol,
        behaviours: Behaviours,
        seed: int = 0,
        known: str = "",
        *,
        overspends: bool = False,
    ) -> None:
        self.drawn = drawn
        self.protocol = protocol
        self.behaviours = behaviours
        self.rng = random.Random(f"{drawn.task.id}/{protocol}/{seed}")
        self.known = known
        self.overspends = overspends
        [self.voice] = self.rng.choices(range(len(VOICE_SHARES)), VOICE_SHARES)
        self.lessons: dict[str, str] = {}
        self.slips_left = int(behaviours.self_correction)
        self.called: list[tuple[Surface, dict[str, Any]]] = []
        """The calls so far that were no slips."""
        self.heard = [drawn.plan.query, *(surface.doc for surface in drawn.surfaces)]
        """What was read so far: request, documentation, observations."""

    def conversation(
        self,
        prompt: Sequence[Message],  # noqa: ARG002 - the oracle knows the task
        tools: Sequence[dict[str, Any]],  # noqa: ARG002
    ) -> Acting:
        """Begin the demonstration."""
        return Acting(self._turns())

    def _turns(self) -> Turns:
        tried = self.behaviours.trial and self.protocol is not Protocol.DIRECT
        note = ""
        if tried and not self.known:
            note = yield from self._trial()
            if self.overspends:
                note = yield from self._overspend(note)
        if self.protocol is Protocol.TRIAL:
            thought = note or self._say("known" if self.known else "nothing")
            lessons = self.known or "\n".join(self.lessons.values()) or "none"
            yield Completion(f"<think>{thought}</think><experience>{lessons}</experience>")
            note = ""
        yield from self._execute(note, informed=tried)

    def _say(self, key: str, **parts: object) -> str:
        return say(self.voice, key, **parts)

    # --- trial ----------------------------------------------------------------------------------

    def _trial(self) -> Exchange:
        """Try each tool the plan needs, reads before writes; returns the last thought."""
        note = ""
        keys = dict.fromkeys(call.tool for call in self.drawn.plan.calls)
        tools = self.drawn.plan.domain.tools
        for key in sorted(keys, key=lambda key: tools[key].effect is not Effect.READ):
            first = next(call for call in self.drawn.plan.calls if call.tool == key)
            if tools[key].effect is Effect.READ:
                note = yield from self._try_read(self.drawn.chosen[key], first, note)
            elif self.protocol is Protocol.TRIAL:  # elsewhere a trial write would be real
                note = yield from self._try_write(self.drawn.chosen[key], first, note)
        return note

    def _overspend(self, note: str) -> Exchange:
        """Call once more than is allowed, a slip; returns what follows from the refusal."""
        surface, arguments = self.called[-1]
        yield Completion(_text(note, surface, arguments), slip=True)
        return self._say("used_up")

    def _try_read(self, pair: tuple[Surface, ...], planned: PlannedCall, note: str) -> Exchange:
        surface = pair[0]
        quirk, example = surface.quirk, surface.example
        arguments = example.arguments if example else self._heard_of(surface, planned)
        if example:
            thought = self._say(
                "expect", tool=surface.name, what=surface.purpose, expected=quoted(example.result)
            )
        else:
            thought = self._say("probe", tool=surface.name, what=surface.purpose)
        got, hint = yield from self._call(surface, arguments, _join(note, thought))
        self.lessons[surface.name] = quirk.lesson(surface.name, "")
        if hint:
            if quirk.family == "loud":
                self.lessons[surface.name] = f"{surface.name}: {hint}"
            return self._say("works", got=got)
        expected = as_answer(example.result) if example else got
        if got == expected:
            self.lessons[surface.name] = f"{surface.name}: as documented"
            return self._say("fine", got=got)
        if quirk.twin:
            other = pair[1]
            self.lessons[surface.name] = quirk.lesson(surface.name, other.name)
            got = yield from self._go_astray(surface, arguments, got, expected)
            thought = self._twin("twin", got, expected, other)
            got, _ = yield from self._call(other, arguments, thought)
            return self._say("fine", got=got)
        if isinstance(quirk, ZeroBased):
            where = {"origin": 1 + quirk.shift, "direction": quirk.direction}
            thought = self._say("shifted", got=got, expected=expected, **where)
            got, _ = yield from self._call(surface, quirk.send(arguments), thought, naive=True)
            return self._say("fine", got=got)
        verb, off = VERB[quirk.sign], off_by(got, expected, quirk.factor)
        return self._say(
            "scaled", got=got, expected=expected, off=off, verb=verb, factor=quirk.factor
        )

    def _twin(self, key: str, got: str, expected: str, twin: Surface) -> str:
        """The thought that another tool may give what is expected, for no scale explains it."""
        unscaled = no_scale(got, expected)
        return self._say(key, got=got, expected=expected, unscaled=unscaled, twin=twin.name)

    def _go_astray(
        self, surface: Surface, arguments: dict[str, Any], got: str, expected: str
    ) -> Exchange:
        """Now and then take a tool of another purpose for the twin; returns what was seen last."""
        others = [
            other
            for other in self.drawn.surfaces
            if other.definition is not surface.definition
            and other.definition.effect is Effect.READ
            and set(other.definition.params) == set(arguments)
        ]
        if not others or not self._slips(_ASTRAY_SHARE):
            return got
        other = self.rng.choice(others)
        thought = self._twin("twin", got, expected, other)
        return (yield Completion(_text(thought, other, arguments), slip=True))

    def _try_write(self, pair: tuple[Surface, ...], planned: PlannedCall, note: str) -> Exchange:
        surface = pair[0]
        quirk, value_key = surface.quirk, str(surface.definition.value)
        arguments = self._heard_of(surface, planned)
        reader = self._best(str(surface.definition.shown_by))
        if as_answer(arguments[value_key]) not in self.drawn.plan.query:
            arguments[value_key] = self._other_value(arguments[value_key], reader.example)
        value = arguments[value_key]
        parts = {"what": surface.purpose, "value": as_answer(value), "shows": reader.purpose}
        self.lessons[surface.name] = quirk.lesson(surface.name, "")
        confused, hint = self._confused(surface, arguments), ""
        wrong = confused[0].name if confused else reader.name
        thought = _join(note, self._say("try_write", tool=surface.name, reader=wrong, **parts))
        if confused:
            yield Completion(_text(thought, surface, arguments), slip=True)
            thought = self._say("read_back", value=as_answer(value), reader=wrong)
            yield Completion(_text(thought, *confused), slip=True)
            found = self._say("misread_reader", wrong=wrong, reader=reader.name, **parts)
            got = yield from self._read_back(surface, arguments, as_answer(value), found)
        else:
            _, hint = yield from self._call(surface, arguments, thought)
            got = yield from self._read_back(surface, arguments, as_answer(value))
        if hint:
            self.lessons[surface.name] = f"{surface.name}: {hint}"
        if got == as_answer(value if isinstance(value, str) else number(value)):  # 27 for 27.0
            if quirk.family != "loud":
                self.lessons[surface.name] = f"{surface.name}: as documented"
            return self._say("fine", got=got)
        if quirk.twin:
            other = pair[1]
            self.lessons[surface.name] = quirk.lesson(surface.name, other.name)
            if got == "0":
                thought = self._say("stored_nothing", twin=other.name)
            else:
                thought = self._twin("stored_twin", got, as_answer(value), other)
            yield from self._call(other, arguments, thought)
            got = yield from self._read_back(other, arguments, as_answer(value))
            return self._say("fine", got=got)
        return (yield from self._verify_factor(surface, arguments, got))

    def _confused(
        self, surface: Surface, arguments: dict[str, Any]
    ) -> tuple[Surface, dict[str, Any]] | None:
        """Now and then a call that writes, to be taken for one that reads back; else None."""
        if surface.quirk.family == "loud" or not self._slips(_CONFUSED_SHARE):
            return None
        value = arguments[str(surface.definition.value)]
        calls = [(surface, arguments)]
        for other in self.drawn.surfaces:
            tool = other.definition
            if tool is surface.definition or tool.effect is Effect.READ:
                continue
            sent = {**arguments, str(tool.value): value}
            if all(name in sent for name in tool.params):
                calls.append((other, {name: sent[name] for name in tool.params}))
        return self.rng.choice(calls)

    def _verify_factor(self, surface: Surface, arguments: dict[str, Any], got: str) -> Exchange:
        """Write again with the factor that was found, and see; now and then with a wrong one."""
        quirk, key = surface.quirk, str(surface.definition.value)
        value, guess = arguments[key], quirk.factor
        expected = as_answer(value)
        wrong = self._slips(_WRONG_FACTOR_SHARE)
        if wrong:
            guess = self.rng.choice([power for power in _POWERS if power != quirk.factor])
        seen = {"got": got, "expected": expected, "off": off_by(got, expected, guess)}
        seen |= {"verb": VERB[quirk.sign], "sent": reckoning(expected, quirk.sign, guess)}
        sent = {**arguments, key: reckoned(value, quirk.sign, guess)}
        thought = self._say("misstored", factor=guess, **seen)
        if wrong:
            yield Completion(_text(thought, surface, sent), slip=True)
        else:
            yield from self._send(thought, surface, sent)
        got = yield from self._read_back(surface, sent, expected)
        if not wrong:
            return self._say("fine", got=got)
        over = guess > quirk.factor
        times = guess // quirk.factor if over else quirk.factor // guess
        off = off_by(got, expected, times)
        right = reckoning(str(guess), "/" if over else "*", times)
        return self._say("wrong_factor", got=got, expected=expected, off=off, right=right)

    def _heard_of(self, surface: Surface, planned: PlannedCall) -> dict[str, Any]:
        """Planned arguments to try with; a name that is not known yet gives way to one that is."""
        heard = "\n".join(self.heard)
        arguments = dict(planned.arguments)
        for key, kind in surface.definition.params.items():
            if isinstance(kind, Name) and as_answer(arguments[key]) not in heard:
                start = self.drawn.task.make_tools().state
                entities = next(table for table in start.values() if isinstance(table, dict))
                known = sorted(name for name in entities if name in heard)
                arguments[key] = self.rng.choice(known or [arguments[key]])
        return arguments

    def _other_value(self, value: Any, example: Example | None) -> Any:
        """A value to try with while the real one is not known; a word is that of an example."""
        if isinstance(value, str):
            return value if example is None else example.result
        return number(self.rng.randint(11, 89) + (0.5 if isinstance(value, float) else 0))

    def _read_back(
        self, surface: Surface, arguments: dict[str, Any], value: str, thought: str = ""
    ) -> Exchange:
        """Read what a write did; returns it as shown, converted to what is true."""
        key = str(surface.definition.shown_by)
        reader = self._best(key)
        needed = {name: arguments[name] for name in reader.definition.params}
        thought = thought or self._say("read_back", value=value, reader=reader.name)
        got = yield from self._send(thought, reader, reader.quirk.send(needed))
        return _true(reader, got)

    # --- execution ------------------------------------------------------------------------------

    def _execute(self, note: str, *, informed: bool) -> Turns:
        plan = self.drawn.plan
        observation, surface = "", None
        believed: dict[str, Any] = {}
        for call in plan.calls:
            known = informed and (
                self.protocol is Protocol.TRIAL
                or plan.domain.tools[call.tool].effect is Effect.READ
            )
            thought = _join(note, self._converted(surface, observation))
            surface = self._best(call.tool) if known else self.drawn.chosen[call.tool][0]
            thought = _join(
                thought, self._acting(surface) if known else self._say("act", tool=surface.name)
            )
            if known:
                observation = yield from self._act(thought, surface, call.arguments)
            else:
                arguments = {k: believed.get(as_answer(v), v) for k, v in call.arguments.items()}
                observation, _ = yield from self._call(surface, arguments, thought)
                believed[as_answer(call.result)] = _value(observation)
            note = ""
        thought = self._converted(surface, observation) if informed else ""
        thought = _join(thought, f"{plan.because}." if plan.because else self._say("answer"))
        answer = plan.answer if plan.because else believed.get(as_answer(plan.answer), plan.answer)
        yield Completion(f"<think>{thought}</think><answer>{as_answer(answer)}</answer>")

    def _acting(self, surface: Surface) -> str:
        """The thought before a call, with what its result has to go through afterwards."""
        name, quirk = surface.name, surface.quirk
        if quirk.factor == 1 or surface.definition.effect is not Effect.READ:
            return self._say("act", tool=name)
        return self._say(
            "act_scaled", tool=name, lesson=quirk.lesson(name, "").removeprefix(f"{name}: ")
        )

    def _converted(self, surface: Surface | None, observation: str) -> str:
        """The thought that turns a scaled result into the true one; "" when there is none."""
        if surface is None or _true(surface, observation) == observation:
            return ""
        return reckoning(observation, surface.quirk.sign, surface.quirk.factor) + "."

    def _prepared(self, surface: Surface, arguments: dict[str, Any], sent: dict[str, Any]) -> str:
        """The thought that turns what is asked for into what the tool takes.

        "" if it takes what is asked for, or if the very same call was tried: it is at hand.
        """
        if (surface, sent) in self.called:
            return ""
        quirk = surface.quirk
        given, taken = arguments.get(quirk.param), sent.get(quirk.param)
        if quirk.factor != 1 and surface.definition.effect is not Effect.READ:
            return f"Send {reckoning(as_answer(given), quirk.sign, quirk.factor)}."
        if quirk.family == "loud" and isinstance(given, str) and isinstance(taken, str):
            return self._say("formed", name=given, form=taken)
        return ""

    def _slips(self, share: float) -> bool:
        """Whether to make the demonstration's one mistake here, if it is still to be made."""
        now = bool(self.slips_left) and self.rng.random() < share
        self.slips_left -= now
        return now

    # --- calls ----------------------------------------------------------------------------------

    def _best(self, key: str) -> Surface:
        """The surface that does what it should."""
        return next(s for s in self.drawn.chosen[key] if not s.quirk.twin)

    def _call(
        self, surface: Surface, arguments: dict[str, Any], thought: str, *, naive: bool = False
    ) -> Generator[Completion, str, tuple[str, str]]:
        """Call as the documentation says; on an error do what it says.

        Args:
            surface: the tool.
            arguments: canonical arguments.
            thought: said before the call.
            naive: the arguments are already as wanted; send them as they are.

        Returns:
            The observation, and what an error on the way said to do ("" without one).
        """
        loud = surface.quirk.family == "loud" or isinstance(surface.quirk, TwoBased | ZeroBased)
        if not self.behaviours.self_correction and surface.quirk.family == "loud":
            observation = yield from self._send(thought, surface, surface.quirk.send(arguments))
            return observation, ""
        observation = yield from self._send(thought, surface, arguments)
        if naive or not loud or not observation.startswith("error: "):
            return observation, ""
        hint = observation.removeprefix("error: ").split("; ")[-1]
        if isinstance(surface.quirk, ZeroBased):
            hint = f"try one {surface.quirk.direction}"
        thought = self._say("hint", hint=hint)
        observation = yield from self._send(thought, surface, surface.quirk.send(arguments))
        return observation, hint

    def _act(self, thought: str, surface: Surface, arguments: dict[str, Any]) -> Exchange:
        """Call a tool that was tried before, as the experience says."""
        sent = surface.quirk.send(arguments)
        loud = surface.quirk.family == "loud" and not self.known  # what is handed is at hand
        if loud and self._slips(_FORGET_SHARE):
            observation = yield Completion(_text(thought, surface, arguments), slip=True)
            hint = observation.removeprefix("error: ").split("; ")[-1]
            thought = self._say("hint", hint=hint)
        else:
            thought = _join(thought, self._prepared(surface, arguments, sent))
        return (yield from self._send(thought, surface, sent))

    def _send(self, thought: str, surface: Surface, arguments: dict[str, Any]) -> Exchange:
        """Make a call, now and then after a slip; returns its observation."""
        if self._slips(_SLIP_SHARE):
            slip = draw_slip(self.rng, surface, arguments, self.drawn.surfaces)
            said = thought.replace(surface.name, slip.name)
            yield Completion(_call_text(said, slip.name, slip.arguments), slip=True)
            thought = self._say(slip.kind, right=slip.right)
        self.called.append((surface, arguments))
        observation = yield Completion(_text(thought, surface, arguments))
        self.heard.append(observation)
        return observation


def _text(thought: str, surface: Surface, arguments: dict[str, Any]) -> str:
    """A turn that calls a tool; canonical arguments."""
    return _call_text(thought, surface.name, surface.dress(arguments))


def _call_text(thought: str, name: str, arguments: dict[str, Any]) -> str:
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<think>{thought}</think><tool_call>{call}</tool_call>"


def _value(observation: str) -> Any:
    """What an observation shows: a number where it is one, else the text."""
    try:
        return json.loads(observation)
    except json.JSONDecodeError:
        return observation


def _true(surface: Surface, observation: str) -> str:
    """An observed number as it is in truth; anything else as it is."""
    try:
        return as_answer(surface.quirk.accept(json.loads(observation)))
    except (json.JSONDecodeError, TypeError):
        return observation


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
