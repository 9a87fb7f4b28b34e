"""Results of every shape: observations stay bounded, and nothing a tool does ends the session."""

import asyncio
import dataclasses
import datetime
import decimal
import enum
import itertools
import tracemalloc

import numpy
import pytest
from pydantic import BaseModel, SecretStr
from turns import call, play

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolRefusal, ToolSet
from toolmaster.types import Effect, ErrorKind

LIMIT = 100
MIB = 2**20


def observe(execute, timeout_s=None):
    tools = ToolSet((Tool("tool", "", {"type": "object"}, execute, Effect.READ, timeout_s),))
    a_session = Session(Task("t", "q", lambda: tools), Protocol.DIRECT, Limits(result_chars=LIMIT))
    [step] = asyncio.run(play(a_session, call("tool")))
    step.model_dump_json()  # can be saved
    return step


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


class Opaque:
    def __str__(self):
        return "opaque " * MIB


class Size(enum.Enum):
    LARGE = "large"


@dataclasses.dataclass
class Parcel:
    size: Size
    sent: datetime.date | None = None
    label: bytes = b""


class Account(BaseModel):
    holder: str
    pin: SecretStr


class Unspeakable(Exception):  # noqa: N818
    def __str__(self):
        raise RuntimeError("no words")


def raises(error):
    def execute(_state, _arguments):
        raise error

    return execute


@pytest.mark.parametrize(
    ("result", "begins"),
    [
        ("x" * 10 * MIB, "x" * LIMIT + f" [cut: {LIMIT} of {10 * MIB} characters shown]"),
        ({"text": "x" * 10 * MIB}, '{"text": "xxx'),
        ([0] * MIB, "[0, 0, "),
        (b"\x89PNG\r\n" + bytes(10 * MIB), f"[binary, {10 * MIB + 6} bytes, not shown]"),
        (b"\xff\xfe not UTF-8", "[binary, 12 bytes, not shown]"),
        ({"file": b"\xff", "name": bytearray("é".encode())}, '{"file": "[binary, 1 bytes, not'),
        ("grüß dich".encode(), "grüß dich"),
        (float("nan"), "NaN"),
        ({"a": [float("inf"), float("-inf")]}, '{"a": [Infinity, -Infinity]}'),
        (nested(50), "[" * 51),
        (Opaque(), '"opaque opaque'),
        ("\ud800" * 10 * MIB, "?" * LIMIT),
        ({1: 2, None: 3}, '{"1": 2, "null": 3}'),
    ],
    ids=[
        *("text", "text in JSON", "list", "image", "not UTF-8", "bytes in JSON", "UTF-8"),
        *("NaN", "infinity", "nested", "object", "surrogates", "keys"),
    ],
)
def test_results_are_shown_within_bounds(result, begins):
    step = observe(lambda _state, _arguments: result)
    assert step.error is None
    assert step.observation.startswith(begins)
    assert len(step.observation) < LIMIT + 60


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        (
            Parcel(Size.LARGE, datetime.date(2026, 1, 2)),
            '{"size": "large", "sent": "2026-01-02", "label": ""}',
        ),
        (
            [Account(holder="Ada", pin=SecretStr("1234"))],
            '[{"holder": "Ada", "pin": "**********"}]',
        ),
        ({"sizes": {Size.LARGE}}, '{"sizes": ["large"]}'),
        (decimal.Decimal("1.50"), '"1.50"'),
        (
            Parcel(Size.LARGE, label=b"\xff"),
            r'''"Parcel(size=<Size.LARGE: 'large'>, sent=None, label=b'\\xff')"''',
        ),
        (itertools.count(), '"count(0)"'),
        ({(1, "x"): 3, Size.LARGE: 1, True: {2}}, '{"1, x": 3, "large": 1, "true": [2]}'),
        ({"total": numpy.int64(5), "mean": numpy.float32(1.5)}, '{"total": 5, "mean": 1.5}'),
        (numpy.arange(3), "[0, 1, 2]"),
        ([datetime.date(2024, 5, 3), datetime.timedelta(hours=1)], '["2024-05-03", "PT1H"]'),
    ],
    ids=[
        "dataclass",
        "model",
        "set",
        "decimal",
        "bytes in dataclass",
        "endless",
        "keys",
        "numbers",
        "array",
        "dates",
    ],
)
def test_objects_are_shown_by_what_they_hold(result, shown):
    step = observe(lambda _state, _arguments: result)
    assert step.error is None
    assert step.observation == shown


def test_a_result_that_cannot_be_shown_says_that_the_call_was_run():
    step = observe(lambda _state, _arguments: nested(100_000))
    assert step.error is ErrorKind.TOOL_ERROR
    assert step.observation.startswith("error: the call was run; its result cannot be shown: ")
    assert len(step.observation) < LIMIT + 70


class PanicException(BaseException):
    """What a panic in an extension module raises."""


@pytest.mark.parametrize("timeout_s", [None, 20])
@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (ValueError("x" * 10 * MIB), "error: ValueError: xxx"),
        (ToolRefusal("x" * 10 * MIB), "error: xxx"),
        (Unspeakable(), "error: Unspeakable"),
        (asyncio.CancelledError(), "error: "),
        (MemoryError(), "error: MemoryError: "),
        (RecursionError("too deep"), "error: RecursionError: too deep"),
        (PanicException("unwrap"), "error: RuntimeError: PanicException: unwrap"),
        (GeneratorExit("out"), "error: RuntimeError: GeneratorExit: out"),
        (SystemExit(3), "error: RuntimeError: SystemExit: 3"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_every_kind_are_answered(error, begins, timeout_s):
    step = observe(raises(error), timeout_s)
    assert step.error is ErrorKind.TOOL_ERROR
    assert step.observation.startswith(begins)
    assert len(step.observation) < LIMIT + 70


@pytest.mark.parametrize("error", [PanicException("unwrap"), GeneratorExit("out"), SystemExit(3)])
def test_what_would_end_the_program_is_answered_from_a_coroutine_too(error):
    async def panics(_state, _arguments):
        await asyncio.sleep(0)
        raise error

    step = observe(panics)
    assert step.observation.startswith(f"error: RuntimeError: {type(error).__name__}: ")


def test_an_interrupt_in_a_thread_is_the_tools_own():
    assert observe(raises(KeyboardInterrupt("no")), 20).error is ErrorKind.TOOL_ERROR


def test_a_coroutine_that_gives_itself_up_does_not_end_the_rollout():
    async def gives_up(_state, _arguments):
        raise asyncio.CancelledError

    step = observe(gives_up)
    assert (step.error, step.observation) == (
        ErrorKind.TOOL_ERROR,
        "error: RuntimeError: the tool was cancelled from within",
    )


def test_arguments_that_do_not_fit_are_quoted_within_bounds():
    parameters = {"type": "object", "properties": {"n": {"type": "integer"}}}
    tools = ToolSet((Tool("tool", "", parameters, print),))
    a_session = Session(Task("t", "q", lambda: tools), Protocol.DIRECT, Limits(result_chars=LIMIT))
    [step] = asyncio.run(play(a_session, call("tool", n="x" * MIB)))
    assert step.error is ErrorKind.INVALID_ARGUMENTS
    assert len(step.observation) < LIMIT + 70


def test_a_large_text_is_not_copied():
    text = "x" * 10 * MIB
    tracemalloc.start()
    try:
        observe(lambda _state, _arguments: text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB
