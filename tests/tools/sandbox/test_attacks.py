"""What hostile source tries, and that it gets nowhere: at every level that confines.

Every attempt is made so that it would do no harm if it succeeded: a signal is 0, a bomb has an end,
and the only file to be destroyed is one that the test made.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from toolmaster.tools import ToolRefusal
from toolmaster.tools.sandbox import IsolationLevel, LimitBroken, namespaces, walls

WELL = "def f(): return 'well'"

SWALLOWING = """
import signal
def f():
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    while True:
        try:
            while True: pass
        except BaseException: pass
"""
SLEEPING = """
import time
def f():
    while True:
        try: time.sleep(3600)
        except BaseException: pass
"""
FORK_BOMB = """
import os
def f():
    for _ in range(5): os.fork()
"""
THREAD_BOMB = """
import threading
def f():
    for _ in range(100): threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
RAW_CLONE = """
import ctypes
def f():
    libc = ctypes.CDLL(None, use_errno=True)
    answers = []
    for number in (56, 57, 58, 435) if "x86" in __import__("platform").machine() else (220, 435):
        answers.append((libc.syscall(number, 17, 0, 0, 0, 0), ctypes.get_errno()))
        if answers[-1][0] == 0: libc._exit(0)
    return answers
"""


def refusal(running, source, **arguments):
    with pytest.raises(ToolRefusal) as caught:
        running.call(source, **arguments)
    assert running.call(WELL) == "well"
    return caught.value


def broken(running, source):
    error = refusal(running, source)
    assert isinstance(error, LimitBroken), error
    return error.limit


# Time


def test_endless_loop_that_ignores_signals_and_swallows_exceptions(running):
    assert broken(running, SWALLOWING) == "cpu_s"


BETWEEN_TICKS = """
import ctypes, time
ctypes.CDLL(None).prctl(29, 8_000_000, 0, 0, 0)  # timer slack: wakes up at a tick of the kernel
print(flush=True)
while True:
    start = time.perf_counter()
    while time.perf_counter() - start < 0.0018: pass
    time.sleep(0.0005)
"""


@pytest.fixture
def between_ticks():
    """Two processes on the one processor of this test, which work when the kernel does not look."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    try:
        command = [sys.executable, "-c", BETWEEN_TICKS]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    finally:
        os.sched_setaffinity(0, usual)
    for process in running:
        process.stdout.readline()
    yield min(usual)
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("source", [SWALLOWING, "def f(): return sum(iter(int, 1))"])
def test_time_that_the_kernel_charges_too_much_for(between_ticks, at_level, source):
    """It may end a call that has used half of its time, as such loads make it believe."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {between_ticks})
    try:
        confined = at_level(IsolationLevel.CONFINED, workers=1)
    finally:
        os.sched_setaffinity(0, usual)
    assert broken(confined, source) == "cpu_s"


def test_endless_loop_in_compiled_code(running):
    assert broken(running, "def f(): return sum(iter(int, 1))") == "cpu_s"


def test_endless_loop_while_the_source_is_loaded(running):
    assert broken(running, "while True: pass") == "cpu_s"


def test_raising_the_own_time_limit(running):
    source = (
        "import resource\ndef f():\n resource.setrlimit(resource.RLIMIT_CPU, (999, 999))\n f2()\n"
    )
    assert "not allowed to raise maximum limit" in str(refusal(running, source))


# Memory and recursion


@pytest.mark.parametrize(
    "body",
    [
        "return len(bytearray(1 << 40))",
        "return len('x' * (300 << 20))",
        "x = [0]\n for _ in range(28): x += x",
    ],
)
def test_memory_bomb(running, body):
    assert "MemoryError: a call may use 256 MiB" in str(refusal(running, f"def f():\n {body}"))


def test_memory_bomb_while_compiling(running):
    refusal(running, "f = " + "(" * 100_000 + ")" * 100_000)
    refusal(running, "f = " + "-" * 200_000 + "1")


def test_deep_recursion(running):
    assert "RecursionError" in str(refusal(running, "def f(): return f()"))
    source = "import sys\nsys.setrecursionlimit(1 << 30)\ndef f(): return [f()]"
    refusal(running, source)
    source = (
        "import sys\nsys.setrecursionlimit(1 << 30)\ndef f(): return max([0], key=lambda _: f())"
    )
    refusal(running, source)


def test_crash_of_the_interpreter(running):
    error = refusal(running, "import ctypes\ndef f(): ctypes.string_at(0)")
    assert str(error) == "the call ended without a result: SIGSEGV"


# Processes, threads and signals


def test_fork_bomb(running):
    assert "PermissionError" in str(refusal(running, FORK_BOMB))


def test_thread_bomb(running):
    assert "can't start new thread" in str(refusal(running, THREAD_BOMB))


def test_new_process_by_bare_system_call(running):
    assert {answer for answer, _ in running.call(RAW_CLONE)} == {-1}


@pytest.mark.parametrize(
    "body",
    [
        "import subprocess; return subprocess.run(['/bin/true']).returncode",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
    ],
)
def test_running_a_program(running, body):
    assert "PermissionError" in str(refusal(running, f"def f():\n {body}"))


def test_shell(running):
    assert running.call("import os\ndef f(): return os.system('/bin/true')") != 0


@pytest.mark.parametrize(
    "target",
    ["os.getppid()", "1", "-1", "os.getpid()", pytest.param(str(os.getpid()), id="the tests")],
)
def test_signal(running, target):
    error = refusal(running, f"import os\ndef f(): os.kill({target}, 0)")
    assert "PermissionError" in str(error)


def test_signal_through_the_owner_of_a_pipe(running):
    source = """
import fcntl, os, signal
def f(pid):
    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, pid)
    fcntl.fcntl(reading, 10, signal.SIGURG)  # F_SETSIG; it could be any signal
    fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writing, b"x")
"""
    assert "PermissionError" in str(refusal(running, source, pid=os.getpid()))


def test_limits_of_another_process(running):
    source = """
import resource
def f(pid): return resource.prlimit(pid, resource.RLIMIT_NOFILE)
"""
    for pid in (os.getpid(), 1):
        assert "PermissionError" in str(refusal(running, source, pid=pid))


def test_reading_the_memory_of_the_parent(running):
    source = """
import ctypes, os
class Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))
secret = ctypes.create_string_buffer(8)
def f():
    libc = ctypes.CDLL(None, use_errno=True)
    here, there = Piece(ctypes.addressof(secret), 8), Piece(id(f), 8)
    pid = os.getppid()
    if libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) != -1:
        return "read"
    return "refused" if libc.ptrace(16, pid, 0, 0) == -1 else "attached"
"""
    assert running.call(source) == "refused"


# Files


@pytest.fixture
def secret(tmp_path_factory):
    """A file of the user's, outside every folder that a sandbox shows."""
    path = tmp_path_factory.mktemp("home") / "secret"
    path.write_text("a secret")
    return path


def test_reading_a_file_of_the_user(running, secret):
    error = refusal(running, "def f(path): return open(path).read()", path=str(secret))
    assert "PermissionError" in str(error) or "FileNotFoundError" in str(error)


@pytest.mark.parametrize("path", [Path.home(), Path("/"), Path("/tmp"), Path("/var")], ids=str)
def test_listing_a_folder(running, path):
    source = """
import os
def f(path):
    try: return os.listdir(path)
    except OSError: return []
"""
    shown = [*walls.readable(), *walls.DEVICES, namespaces.SCRATCH]
    for name in running.call(source, path=str(path)):
        assert any(Path(other).is_relative_to(path / name) for other in shown)


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/hostname", "/etc/hosts", "/proc/version"])
def test_reading_a_system_file(running, path):
    error = refusal(running, "def f(path): return open(path).read()", path=path)
    assert "PermissionError" in str(error) or "FileNotFoundError" in str(error)


def test_destroying_a_file_of_the_user(running, secret):
    source = """
import os
def f(path):
    done = []
    for attempt in (
        lambda: open(path, "w"),
        lambda: open(path, "r+"),
        lambda: open(path + ".new", "w"),
        lambda: os.mkdir(path + ".folder"),
        lambda: os.unlink(path),
        lambda: os.rename(path, "here"),
        lambda: os.link(path, "here"),
        lambda: os.symlink(path, path + ".link"),
        lambda: os.chmod(path, 0),
        lambda: os.chown(path, 1, 1),
        lambda: os.truncate(path, 0),
        lambda: os.utime(path, (0, 0)),
        lambda: os.mkfifo(path + ".fifo"),
        lambda: os.setxattr(path, "user.x", b"x"),
    ):
        try: attempt()
        except OSError: continue
        done.append(attempt.__code__.co_firstlineno)
    return done
"""
    before = secret.stat()
    assert running.call(source, path=str(secret)) == []
    assert secret.stat() == before
    assert secret.read_text() == "a secret"
    assert list(secret.parent.iterdir()) == [secret]


@pytest.mark.parametrize("module", [os, pytest], ids=["interpreter", "packages"])
def test_what_can_be_read_cannot_be_written(running, module):
    source = """
import os
def f(path):
    done = [open(path).read(1) and "read"]
    for attempt in (
        lambda: open(path, "r+"),
        lambda: os.chmod(path, os.stat(path).st_mode),
        lambda: os.utime(path, ns=(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns)),
        lambda: os.mkdir(os.path.dirname(path) + "/made-by-a-toolmaster-test"),
    ):
        try: attempt()
        except OSError: continue
        done.append("changed")
    return done
"""
    assert running.call(source, path=module.__file__) == ["read"]


def test_scratch_folder_can_be_written_and_is_emptied(running):
    source = """
import os, tempfile
def f():
    found = os.listdir(".")
    os.makedirs("a/b"); os.mkdir("locked", 0o000)
    with open("a/b/c.txt", "w") as file: file.write("kept?")
    with tempfile.TemporaryFile("w+") as file: file.write("x"); file.seek(0); assert file.read()
    return found
"""
    for _ in range(4):
        assert running.call(source) == []


DRIP = """
def f():
    g()
    while True:
        time.sleep(0.01)
        for fd in range(3, 64):
            try: os.write(fd, b"x")
            except OSError: pass
"""


def test_scratch_folder_is_bounded(running):
    """In memory its size is fixed; on disk whoever goes beyond it is ended."""
    fixed = running.sandbox.level is IsolationLevel.NAMESPACED
    for body in (
        "for i in range(1000): open(str(i), 'w').close()",
        "for i in range(1000): os.mkdir(str(i))",
        "for i in range(6): open(str(i), 'wb').write(bytes(2 << 20))",
        "for i in range(20): os.mkdir('x' * 250); os.chdir('x' * 250)",
        "os.mkdir('x', 0o300); [open(f'x/{i}', 'w').close() for i in range(1000)]",
    ):
        source = f"import os, time\ndef g():\n {body}\n{DRIP}"
        error = refusal(running, source)
        assert ("No space left" in str(error)) if fixed else (error.limit == "scratch_mib"), body
    large = "def f():\n with open('x', 'wb') as file:\n  while 1: file.write(bytes(1 << 16))"
    error = refusal(running, large)
    assert "File too large" in str(error) or "No space left" in str(error)


UNSEEN = """
import ctypes, os
def f(mib):
    libc, held = ctypes.CDLL(None, use_errno=True), []
    def reserve():
        file = open("reserved", "w+b")
        if libc.fallocate(file.fileno(), 1, ctypes.c_long(0), ctypes.c_long(mib << 20)):
            raise OSError(ctypes.get_errno(), "fallocate")
        return file
    def removed():
        file = open("removed", "w+b")
        os.unlink("removed")
        file.write(bytes(1 << 20))
        return file
    def replaced():
        file = open("replaced", "w+b")
        open("other", "w").close()
        os.rename("other", "replaced")
        return file
    def unnamed():
        return os.fdopen(os.open(".", os.O_TMPFILE | os.O_RDWR), "w+b")
    for attempt in (reserve, removed, replaced, unnamed):
        try: held.append(attempt())
        except OSError: pass
    listed = [os.stat(name).st_ino for name in os.listdir(".")]
    return sum(
        max(os.fstat(file.fileno()).st_blocks * 512, 1)
        for file in held if os.fstat(file.fileno()).st_ino not in listed
    ), max(os.stat(name).st_blocks >> 11 for name in os.listdir("."))
"""


def test_nothing_on_disk_is_unseen(at_level):
    """Room that no size shows, and files that no folder lists, would be beyond every limit."""
    confined = at_level(IsolationLevel.CONFINED, workers=1)
    unlisted, largest_mib = confined.call(UNSEEN, mib=300)
    assert unlisted == 0
    assert largest_mib <= 1


def test_deep_folders_are_cleared_away(running):
    source = """
import os
def f():
    for _ in range(5000):
        try: os.mkdir("x" * 200)
        except OSError: break
        os.chdir("x" * 200)
"""
    for _ in range(3):
        running.calls(source, source)
        assert running.call("import os\ndef f(): return os.listdir('.')") == []


def test_open_files_are_bounded(running):
    source = "import os\ndef f():\n while 1: os.open('/dev/null', 0)"
    assert "Too many open files" in str(refusal(running, source))


# Network


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET"])
@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"])
def test_socket(running, family, kind):
    source = f"import socket\ndef f(): socket.socket(socket.{family}, socket.{kind})"
    assert "PermissionError" in str(refusal(running, source))


def test_connection_to_a_listening_port(running):
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = "import urllib.request\ndef f(port):\n"
        source += " return urllib.request.urlopen(f'http://127.0.0.1:{port}').status"
        error = refusal(running, source, port=server.getsockname()[1])
        assert "Error" in str(error)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_datagram_pair(running):
    source = "import socket\ndef f(): socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)"
    assert "PermissionError" in str(refusal(running, source))


# Environment and /proc


def test_environment_of_the_owner(running):
    source = """
import os
def f(owner):
    found = [str(dict(os.environ))]
    for pid in ("self", "1", str(os.getppid()), owner):
        for name in ("environ", "cmdline", "mem", "maps", "root/etc/passwd", "cwd/x"):
            try: found.append(open(f"/proc/{pid}/{name}").read())
            except OSError: pass
    return "".join(found)
"""
    seen = running.call(source, owner=os.getpid())
    assert "PYTHONHASHSEED" in seen
    assert not [name for name in ("PATH", "USER", "PYTEST_CURRENT_TEST") if name in seen]


# The worker and its protocol


def test_exit(running):
    ended = "the call ended without a result: exit status"
    assert str(refusal(running, "import os\ndef f(): os._exit(3)")) == f"{ended} 3"
    assert str(refusal(running, "import os\ndef f(): os._exit(0)")) == f"{ended} 0"
    assert str(refusal(running, "import sys\ndef f(): sys.exit(4)")) == "SystemExit: 4"
    assert "SIG" in str(refusal(running, "import os\ndef f(): os.abort()"))


def test_changes_to_the_worker_die_with_the_call(running):
    source = """
import builtins, gc, json, math, os, sys
def f():
    for name, module in list(sys.modules.items()):
        for attribute in ("dumps", "loads", "fork", "run", "write", "readv", "sqrt", "empty"):
            if hasattr(module, attribute):
                try: setattr(module, attribute, lambda *_, **__: "forged")
                except Exception: pass
    for found in gc.get_objects():
        if type(found) is dict and "_limits" in found: found.clear()
    builtins.len = builtins.compile = None
    math.pi = 3
    return "done"
"""
    for _ in range(3):
        running.calls(source, source)
        after = "import math, sys\ndef f(): return [math.pi, len('abc'), 'left' in sys.modules]"
        assert running.calls(after, after) == [[3.141592653589793, 3, False]] * 2


def test_globals_do_not_reach_the_next_call(running):
    source = "count = 0\ndef f():\n global count\n count += 1\n return count"
    assert running.calls(*[source] * 6) == [1] * 6


def test_nothing_of_an_earlier_call_is_left_in_memory(at_level):
    """Tried at the weakest level, where a process can read all its own memory."""
    source = """
import re
def f(pattern):
    found = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            bounds, rights, *_, name = (line + " -").split()[:7]
            if rights.startswith("rw") and "[v" not in line:
                low, high = (int(bound, 16) for bound in bounds.split("-"))
                memory.seek(low)
                while low < high and (piece := memory.read(min(high - low, 1 << 20))):
                    found += bool(re.search(pattern.encode(), piece))
                    low += len(piece)
    return found
"""
    running = at_level(IsolationLevel.PROCESS, workers=1)
    secret = "tracer-" + "bullet"
    pattern = secret.replace("-", "[-]")
    assert running.call("def f(text): return text * 1000", text=secret) == secret * 1000
    assert running.call(source, pattern=pattern) == 0
    assert running.call("#" * 50_000 + secret + "\ndef f(text): return 1", text=secret) == 1
    assert running.call(source, pattern=pattern) == 0
    assert running.call(source, pattern="cal[e]ndar") > 0


FORGE = """
import json, os, struct
def f(body, times, status, end):
    size = len(body) if status < 0 else status
    frames = struct.pack("!I", size) + body.encode()
    for fd in range(3, 64):
        for _ in range(times):
            try: os.write(fd, frames)
            except OSError: break
    if end: os._exit(0)
"""


@pytest.mark.parametrize(
    "body",
    ["", "x", "null", "[1]", '{"value": 1, "error": "x"}', '{"error": 1}', '{"value": NaN',
     "[" * 60_000, '{"value": ' + "9" * 9000 + "}"],
)  # fmt: skip
@pytest.mark.parametrize("status", [-1, 0, 2, 1 << 31])
def test_forged_messages(running, body, status):
    arguments = {"body": body, "times": 1, "status": status, "end": True}
    assert isinstance(refusal(running, FORGE, **arguments), LimitBroken)


def test_forged_message_can_only_be_the_calls_own_result(running):
    arguments = {"body": '{"value": "forged"}', "times": 1, "status": -1, "end": True}
    assert running.call(FORGE, **arguments) == "forged"
    assert running.calls(WELL, WELL) == ["well", "well"]


def test_flood_on_the_result_pipe(running):
    arguments = {"body": "x" * 1000, "times": 10**9, "status": 1 << 31, "end": False}
    assert refusal(running, FORGE, **arguments).limit == "result_kib"


def test_closing_the_result_pipe_and_going_on(running):
    source = "import os\ndef f():\n os.closerange(0, 64)\n while 1: pass"
    assert broken(running, source) == "process"


def test_output_flood(running):
    source = "import sys\ndef f():\n while 1: print('x' * 10000); sys.stderr.write('y' * 10000)"
    assert broken(running, source) == "cpu_s"
    assert running.call("def f():\n print('x' * 10**7)\n return 1") == 1


def test_a_breach_does_not_disturb_its_neighbour(running):
    slow = "import time\ndef f():\n time.sleep(0.2)\n return 'slow'"
    hostile = [SWALLOWING, FORK_BOMB, "import os\ndef f(): os._exit(1)"]
    answers = running.calls(*(source for bad in hostile for source in (bad, slow, slow)))
    assert [answer for answer in answers if not isinstance(answer, ToolRefusal)] == ["slow"] * 6


# Results


def test_pickled_result_stays_text(running):
    source = """
import os, pickle
class Evil:
    def __reduce__(self): return os.system, ("touch /tmp/pwned",)
def f(): return pickle.dumps(Evil(), 0).decode()
def g(): return Evil()
def h(): return pickle.dumps(Evil())
"""
    assert isinstance(running.call(source), str)
    assert running.call(source, function="g").startswith("<tool.Evil object at")
    assert running.call(source, function="h").startswith("b'")


def test_huge_results(running):
    assert broken(running, "def f(): return 'x' * (1 << 20)") == "result_kib"
    assert len(running.call("def f(): return 'x' * (1 << 15)")) == 1 << 15
    shown = "class A:\n def __str__(self): return 'x' * (1 << 20)\ndef f(): return A()"
    assert running.call(shown).endswith("x...")
    assert len(str(refusal(running, "def f(): raise ValueError('x' * (1 << 20))"))) <= 2100


def test_results_that_cycle_or_nest_without_end(running):
    assert running.call("def f():\n x = []\n x.append(x)\n return x") == "[[...]]"
    nested = "def f():\n x = []\n for _ in range(100_000): x = [x]\n return x"
    assert "RecursionError" in str(refusal(running, nested))


def test_hostile_text_of_a_value_or_an_error(running):
    endless = "class A(Exception):\n def __str__(self):\n  while 1: pass\n"
    assert broken(running, endless + "def f(): return A()") == "cpu_s"
    assert broken(running, endless + "def f(): raise A()") == "cpu_s"
    failing = "class A(Exception):\n def __str__(self): raise KeyError('no')\n"
    assert str(refusal(running, failing + "def f(): raise A()")) == "A: (no text)"
    assert "KeyError" in str(refusal(running, failing + "def f(): return A()"))


def test_results_are_plain_json(running):
    values = json.dumps([None, True, 1, 1.5, "ä\u2028", {"k": [1, {"n": None}]}])
    source = f"import json\ndef f(): return json.loads({values!r})"
    assert running.call(source) == json.loads(values)
