"""The filter, run instruction by instruction for both architectures."""

import platform

import pytest

from toolmaster.tools.sandbox import seccomp

ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000
NUMBERS = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def answer(program, architecture, number, arguments=(0,) * 6):
    """What the kernel would do with a system call."""
    data = {0: number, 4: architecture}
    data |= {16 + 8 * index: value for index, value in enumerate(arguments)}
    a = x = at = 0
    memory = {}
    while True:
        step = program.code[at]
        at += 1
        match step.code:
            case 0x20:
                a = data[step.value]
            case 0x00:
                a = step.value
            case 0x60:
                a = memory[step.value]
            case 0x02:
                memory[step.value] = a
            case 0x07:
                x = a
            case 0x54:
                a &= step.value
            case 0x74:
                a >>= step.value
            case 0x7C:
                a >>= x
            case 0x05:
                at += step.value
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


def table(machine):
    column = list(NUMBERS).index(machine)
    for entry in seccomp._ALLOWED.split(","):
        name, numbers = entry.split()
        if numbers.split("/")[column] != "-":
            yield name, int(numbers.split("/")[column])


def test_every_number(machine):
    program = seccomp.program()
    allowed = {number for _, number in table(machine)}
    assert len(allowed) > 80
    for number in [*range(1100), 1 << 30, (1 << 30) + 1, (1 << 32) - 1]:
        expected = ALLOW if number in allowed else REFUSE
        if number not in conditional(machine):
            assert answer(program, NUMBERS[machine], number) == expected, number


def conditional(machine):
    column = list(NUMBERS).index(machine)
    return {int(entry.split()[1].split("/")[column]): entry for entry in seccomp._CONDITIONAL}


def test_conditions(machine):
    program = seccomp.program()
    numbers = {entry.split()[0]: number for number, entry in conditional(machine).items()}

    def asked(name, *arguments):
        padded = (*arguments, *(0,) * (6 - len(arguments)))
        return answer(program, NUMBERS[machine], numbers[name], padded) == ALLOW

    assert [asked("fcntl", 3, command) for command in (0, 4, 8, 10, 1030, 1031)] == [
        True, True, False, False, True, False,
    ]  # fmt: skip
    assert [asked("prlimit64", pid) for pid in (0, 1, 4000)] == [True, False, False]
    assert [asked("socketpair", *pair) for pair in ((1, 1), (1, 2), (2, 1), (1, 0x80801))] == [
        True, False, False, True,
    ]  # fmt: skip
    assert [asked("ioctl", 0, request) for request in (0x5401, 0x5412)] == [True, False]


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
    for entry in [*seccomp._ALLOWED.split(","), *seccomp._CONDITIONAL]:
        name, numbers = entry.split()
        assert defined[f"__NR_{name}"] == numbers.split("/")[0]
