"""The filter, run instruction by instruction for both architectures."""

import os
import platform

import pytest

from toolmaster.tools.sandbox import seccomp

ALLOW, REFUSE, UNKNOWN, KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
NUMBERS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def answer(program, architecture, number, arguments=(0,) * 6):
    """What the kernel would do with a system call."""
    data = {0: number, 4: architecture}
    data |= {16 + 8 * index: value for index, value in enumerate(arguments)}
    a = at = 0
    while True:
        step = program.code[at]
        at += 1
        match step.code:
            case 0x20:
                a = data[step.value]
            case 0x54:
                a &= step.value
            case 0x15:
                at += step.jump_true if a == step.value else step.jump_false
            case 0x06:
                return step.value


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request, monkeypatch):
    """One after the other, this process believes to run on each architecture."""
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    seccomp.program.cache_clear()
    yield request.param
    seccomp.program.cache_clear()


def numbers(entries, machine):
    """The numbers of system calls on a machine, by name."""
    column = list(NUMBERS).index(machine)
    found = {}
    for entry in entries:
        name, written = entry.split()
        if written.split("/")[column] != "-":
            found[name] = int(written.split("/")[column])
    return found


@pytest.mark.parametrize("use", ["memory", "disk", "trial"])
def test_every_number(machine, use):
    program = seccomp.program(use)
    allowed = set(numbers(seccomp.allowed(use).split(","), machine).values())
    conditional = set(numbers(seccomp.conditional(use), machine).values())
    assert len(allowed) > 80
    for number in [*range(1100), 1 << 30, (1 << 30) + 1, (1 << 32) - 1]:
        expected = ALLOW if number in allowed else REFUSE
        if number == 435 and use == "trial":
            expected = UNKNOWN
        if number not in conditional:
            assert answer(program, NUMBERS[machine], number) == expected, number


def test_conditions(machine):
    def asked(use, name, *arguments):
        number = numbers(seccomp.conditional(use), machine)[name]
        padded = (*arguments, *(0,) * (6 - len(arguments)))
        return answer(seccomp.program(use), NUMBERS[machine], number, padded) == ALLOW

    assert [asked("memory", "fcntl", 3, command) for command in (0, 4, 6, 8, 10, 1030, 1031)] == [
        True, True, False, False, False, True, False,
    ]  # fmt: skip
    assert [asked("trial", "fcntl", 3, command) for command in (4, 6, 8)] == [True, True, False]
    assert [asked("memory", "prlimit64", pid) for pid in (0, 1, 4000)] == [True, False, False]
    pairs = (1, 1), (1, 2), (2, 1), (1, 0x80801)
    assert [asked("memory", "socketpair", *pair) for pair in pairs] == [True, False, False, True]
    assert [asked("memory", "ioctl", 0, request) for request in (0x5450, 0x5412)] == [True, False]
    assert [asked("disk", "fallocate", 3, mode) for mode in (0, 1, 3)] == [True, False, False]
    flags = os.O_RDONLY, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_TRUNC, os.O_TMPFILE | 2
    opened = {use: [asked(use, "openat", 3, 0, one) for one in flags] for use in ("disk", "memory")}
    assert opened == {"disk": [True, False, True, False], "memory": [True, False, True, True]}
    assert [asked("trial", "clone", flags) for flags in (0x3D0F00, 17)] == [True, False]


@pytest.mark.parametrize("use", ["memory", "disk"])
def test_only_a_trial_starts_threads(machine, use):
    clone = {"x86_64": 56, "aarch64": 220}[machine]
    assert answer(seccomp.program(use), NUMBERS[machine], clone, (0x3D0F00,) * 6) == REFUSE


def test_other_architectures(machine, monkeypatch):
    assert answer(seccomp.program(), 0x40000003, 1) == KILL
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    seccomp.program.cache_clear()
    with pytest.raises(OSError, match="no table for riscv64; there is one for x86_64 and aarch64"):
        seccomp.program()


def test_numbers_are_those_of_this_machine():
    """Against the C library's headers, where they are installed."""
    headers = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"}
    try:
        with open(headers[platform.machine()], encoding="ascii") as file:
            defined = dict(line.split()[1:3] for line in file if line.startswith("#define __NR_"))
    except (KeyError, OSError):
        pytest.skip("needs the headers of an x86_64 Linux")
    for entry in [*seccomp.allowed("trial").split(","), *seccomp.conditional("trial")]:
        name, numbers = entry.split()
        assert defined[f"__NR_{name}"] == numbers.split("/")[0]
