"""What honest and hostile tools do in a trial, and that nothing real is changed by it.

Every tool of one module is called in the trials of one session. Afterwards the files, the database,
the server and the module's own globals in the host are as they were.
"""

import asyncio
import http.server
import json
import random
import sys
import threading

import pytest
from turns import EXPERIENCE, call, play

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import from_object
from toolmaster.tools.sources import open_sources
from toolmaster.types import Effect, ErrorKind

MODULE = '''
import asyncio, ctypes, functools, http.client, logging, mmap, multiprocessing, os, pathlib, shutil
import signal, socket, sqlite3, subprocess, sys, tempfile, threading, urllib.request, weakref

HERE = pathlib.Path(__file__).parent
PORT = int((HERE / "port").read_text())
GLOBAL = []
_HANDLE = open(HERE / "handle.log", "a")
_FD = os.open(HERE / "fd.log", os.O_CREAT | os.O_RDWR)
_DB = sqlite3.connect(HERE / "shop.db", check_same_thread=False)
_DB.execute("create table if not exists rows (x)")
_DB.execute("insert into rows values (1)")
_DB.commit()
_LOG = logging.getLogger("attacks")
_LOG.propagate = False
_LOG.addHandler(logging.FileHandler(HERE / "logging.log"))
_FILE = open(HERE / "map.bin", "r+b")
_MAP = mmap.mmap(_FILE.fileno(), 4096)
_SHARED = mmap.mmap(-1, 4096)
_LEFT, _RIGHT = socket.socketpair()
_RIGHT.setblocking(False)
_WEB = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
_WEB.request("GET", "/greet")
_WEB.getresponse().read()
_PARENT = os.getpid()
_LOCK = threading.Lock()


class _Self:
    """A client that is its own copy."""
    def __init__(self): self.rows = []
    def __deepcopy__(self, memo): return self


class _Cleans:
    """Removes its folder when it goes."""
    def __init__(self, path): self.path = path
    def __del__(self): shutil.rmtree(self.path, ignore_errors=True)


class _Value:
    value = 0


_TARGET = _Value()


class Shop:
    sold = 0
    orders = {}

    def __init__(self):
        log = self.log = []
        self.note = lambda text: log.append(text)
        self.client = _Self()
        self.target = weakref.ref(_TARGET)
        self.cleans = _Cleans(HERE / "cleaned")
        self.lock = _LOCK

    @functools.lru_cache
    def _rows(self): return []

    def everything(self) -> dict:
        """All state in memory."""
        return {
            "global": GLOBAL, "sold": Shop.sold, "orders": self.orders, "log": self.log,
            "rows": self.client.rows, "target": _TARGET.value, "cached": self._rows(),
            "environment": os.environ.get("ATTACKED"), "folder": os.getcwd(),
            "map": _MAP[:4].decode(), "shared": _SHARED[:4].decode(), "locked": _LOCK.locked(),
            "database": _DB.execute("select x from rows").fetchall(), "umask": self._umask(),
            "received": self._received(), "path": len(sys.path),
            "threads": threading.active_count(),
        }

    def _umask(self):
        found = os.umask(0o22)
        os.umask(found)
        return found

    def _received(self):
        try: return _RIGHT.recv(100).decode()
        except OSError: return ""

    # In memory

    def in_global(self) -> int:
        GLOBAL.append(1)
        return len(GLOBAL)

    def in_class(self) -> int:
        Shop.sold += 1
        self.orders[Shop.sold] = 1
        return Shop.sold

    def in_closure(self) -> int:
        self.note("x")
        return len(self.log)

    def in_own_copy(self) -> int:
        self.client.rows.append(1)
        return len(self.client.rows)

    def in_cache(self) -> int:
        self._rows().append(1)
        return len(self._rows())

    def in_weak(self) -> int:
        self.target().value += 1
        return _TARGET.value

    def in_lock(self) -> bool:
        return _LOCK.acquire(blocking=False)

    def in_environment(self) -> str:
        os.environ["ATTACKED"] = "yes"
        os.umask(0)
        os.chdir("/")
        sys.path.append("x")
        return os.getcwd()

    def in_map(self) -> str:
        _MAP[:4] = b"evil"
        return _MAP[:4].decode()

    def in_shared_memory(self) -> str:
        _SHARED[:4] = b"evil"
        return _SHARED[:4].decode()

    # In files

    def write(self) -> int:
        return (HERE / "kept.txt").write_text("evil")

    def create(self) -> None:
        (HERE / "new.txt").touch()

    def remove(self) -> None:
        (HERE / "kept.txt").unlink()

    def rename(self) -> None:
        (HERE / "kept.txt").rename(HERE / "new.txt")

    def link(self) -> None:
        (HERE / "new.txt").symlink_to("kept.txt")

    def hard_link(self) -> None:
        os.link(HERE / "kept.txt", HERE / "new.txt")

    def truncate(self) -> None:
        os.truncate(HERE / "kept.txt", 0)

    def truncate_while_reading(self) -> None:
        os.open(HERE / "kept.txt", os.O_RDONLY | os.O_TRUNC)

    def mode(self) -> None:
        (HERE / "kept.txt").chmod(0o777)

    def times(self) -> None:
        os.utime(HERE / "kept.txt", (0, 0))

    def attribute(self) -> None:
        os.setxattr(HERE / "kept.txt", "user.x", b"y")

    def fifo(self) -> None:
        os.mkfifo(HERE / "fifo")

    def folder(self) -> None:
        (HERE / "new").mkdir()

    def remove_folder(self) -> None:
        shutil.rmtree(HERE / "folder")

    def shared_memory(self) -> None:
        from multiprocessing import shared_memory
        shared_memory.SharedMemory(name="toolmaster-attack", create=True, size=64)

    def database(self) -> None:
        db = sqlite3.connect(":memory:")
        db.execute("attach ? as real", (str(HERE / "shop.db"),))
        db.execute("insert into real.rows values (2)")
        db.commit()

    def destructor(self) -> str:
        self.cleans = None
        return "gone"

    def by_system_call(self) -> int:
        """Open without Python knowing."""
        libc = ctypes.CDLL(None, use_errno=True)
        found = libc.open(str(HERE / "kept.txt").encode(), os.O_WRONLY | os.O_TRUNC)
        if found < 0: raise OSError(ctypes.get_errno(), "open")
        return found

    def hidden_write(self) -> str:
        try: return str((HERE / "kept.txt").write_text("evil"))
        except OSError: return "not saved"

    def hidden_folder(self) -> str:
        try: (HERE / "new").mkdir()
        except OSError: pass
        return "made"

    def hidden_move(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a.txt")
            path.write_text("evil")
            try: os.replace(path, HERE / "kept.txt")
            except OSError: return "not moved"
        return "moved"

    def hidden_removal(self) -> str:
        shutil.rmtree(HERE / "folder", ignore_errors=True)
        return "removed"

    # By what is held

    def handle(self) -> None:
        _HANDLE.write("evil")
        _HANDLE.flush()

    def descriptor(self) -> int:
        return os.write(_FD, b"evil")

    def shorten_descriptor(self) -> None:
        os.ftruncate(_FD, 0)

    def move_descriptor(self) -> int:
        return os.lseek(_FD, 1, os.SEEK_SET)

    def reopened_descriptor(self) -> int:
        return os.write(os.open(f"/proc/self/fd/{_FD}", os.O_WRONLY), b"evil")

    def mapped_again(self) -> None:
        mmap.mmap(_FILE.fileno(), 4096)[:4] = b"evil"

    def connection(self) -> None:
        _DB.execute("insert into rows values (3)")
        _DB.commit()

    def logged(self) -> str:
        _LOG.warning("evil")
        return "logged"

    def pair(self) -> int:
        return _LEFT.send(b"evil")

    def request(self) -> int:
        _WEB.request("DELETE", "/bucket")
        return _WEB.getresponse().status

    def new_request(self) -> int:
        return urllib.request.urlopen(f"http://127.0.0.1:{PORT}/bucket", b"evil").status

    def hidden_request(self) -> str:
        try: return str(self.new_request())
        except Exception: return "offline"

    def datagram(self) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            return wire.sendto(b"evil", ("127.0.0.1", PORT))

    # Elsewhere

    def thread(self) -> str:
        failed = []
        def work():
            try: (HERE / "new.txt").touch()
            except OSError as error: failed.append(error)
        one = threading.Thread(target=work)
        one.start()
        one.join()
        if failed: raise failed[0]
        return "written"

    def timer(self) -> str:
        threading.Timer(0, lambda: (HERE / "new.txt").touch()).start()
        return "later"

    async def executor(self) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, (HERE / "new.txt").touch)

    async def task(self) -> str:
        async def later(): (HERE / "new.txt").touch()
        Shop.kept = asyncio.create_task(later())
        return "later"

    def program(self) -> int:
        return subprocess.run(["touch", HERE / "new.txt"]).returncode

    def shell(self) -> int:
        return os.system(f"touch {HERE}/new.txt")

    def fork(self) -> int:
        child = os.fork()
        if child == 0: os._exit(0)
        return child

    def spawn(self) -> None:
        process = multiprocessing.get_context("spawn").Process(target=print)
        process.start()
        process.join()

    def kill(self) -> None:
        os.kill(_PARENT, signal.SIGTERM)

    def kill_group(self) -> None:
        os.killpg(0, signal.SIGTERM)

    def other_memory(self) -> None:
        open(f"/proc/{_PARENT}/mem", "r+b")

    def limits(self) -> None:
        import resource
        resource.prlimit(_PARENT, resource.RLIMIT_NOFILE, (50, 50))

    # Native code

    def arrow(self) -> None:
        from pyarrow import fs
        fs.LocalFileSystem().delete_dir(str(HERE / "folder"))

    def parquet(self) -> None:
        import pyarrow, pyarrow.parquet
        pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), str(HERE / "new.parquet"))

    def tensors(self) -> None:
        import numpy, safetensors.numpy
        safetensors.numpy.save_file({"x": numpy.ones(2)}, str(HERE / "new.safetensors"))

    # What a trial may do

    def makes_what_is_there(self) -> str:
        (HERE / "folder").mkdir(exist_ok=True)
        (HERE / "missing.txt").unlink(missing_ok=True)
        with open(os.devnull, "w") as null: null.write("x")
        return "there"

    def scratch(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a.txt")
            path.write_text("mine")
            path.touch()
            return path.rename(path.with_suffix(".b")).read_text()

    def read(self) -> str:
        return (HERE / "kept.txt").read_text()
'''
IN_MEMORY = {
    **dict.fromkeys(["in_global", "in_class", "in_closure", "in_own_copy", "in_cache"], "1"),
    **dict.fromkeys(["in_map", "in_shared_memory"], "evil"),
    "in_weak": "1",
    "in_lock": "true",
    "in_environment": "/",
    "move_descriptor": "1",
}
HARMLESS = {
    **IN_MEMORY,
    "logged": "logged",
    "timer": "later",
    "makes_what_is_there": "there",
    "scratch": "mine",
    "read": "kept",
}
"""What a trial runs, with the answers that the real state would give."""
NATIVE = {"arrow": "pyarrow", "parquet": "pyarrow", "tensors": "safetensors"}


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="walls need Linux")


class Server(http.server.ThreadingHTTPServer):
    """A server that remembers its requests."""

    daemon_threads = True
    requests: list


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.server.requests.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the library's names

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path, server):
    (tmp_path / "attacks.py").write_text(MODULE)
    (tmp_path / "port").write_text(str(server.server_port))
    (tmp_path / "kept.txt").write_text("kept")
    (tmp_path / "map.bin").write_bytes(b"calm" + bytes(4092))
    (tmp_path / "fd.log").write_text("as it was")
    for name in ("folder", "cleaned"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("precious")
    return tmp_path


def files(folder):
    """Every path below a folder with its content, mode and time of change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        stat = path.lstat()
        content = path.read_bytes() if path.is_file() else path.is_dir()
        found[str(path)] = (content, stat.st_mode, stat.st_mtime_ns)
    return found


def attacks(tools):
    """The names of the tools that are called, of those that can be."""
    missing = {name for name, needs in NATIVE.items() if not _installed(needs)}
    return [name for name in tools.names() if name != "everything" and name not in missing]


def _installed(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True


async def play_all(tools, names, sessions=1):
    """The steps of trials that call these tools, by name."""
    steps = {}
    limits = Limits(max_turns=len(names) + 2, trial_calls=len(names))
    for _ in range(sessions):
        a_session = Session(Task("t", "q", lambda: tools), Protocol.TRIAL, limits)
        for step in await play(a_session, *map(call, names)):
            steps.setdefault(step.call.name, []).append(step)
    return steps


@LINUX
def test_no_trial_changes_anything(folder, server):
    async def run():
        async with open_sources([f"{folder}/attacks.py:Shop"]) as tools:
            assert {tool.obstacle for tool in tools.tools} == {""}

            async def everything():
                return json.dumps(await tools["everything"].execute(tools.state, {}))

            names = attacks(tools)
            before = await everything(), files(folder), list(server.requests)
            steps = await play_all(tools, names)
            for name in names:  # each alone too, in a trial in which nothing has failed yet
                steps[name] += (await play_all(tools, [name]))[name]
            assert (await everything(), files(folder), server.requests) == before
            really = await play(
                Session(Task("t", "q", lambda: tools), Protocol.TRIAL, Limits()),
                *(EXPERIENCE, call("in_class"), call("request"), call("write"), call("handle")),
            )
            assert [step.error for step in really] == [None] * 5
            assert server.requests[-1] == "DELETE /bucket"
            return steps

    steps = asyncio.run(run())
    found = {name: {(one.error, one.observation) for one in all_} for name, all_ in steps.items()}
    ran = {name: {(None, said)} for name, said in HARMLESS.items()}
    assert {name: found.pop(name) for name in HARMLESS} == ran
    assert found.pop("shorten_descriptor") == {(ErrorKind.TOOL_ERROR, INVALID)}
    refused = {name: {error for error, _ in said} for name, said in found.items()}
    assert refused == {name: {ErrorKind.NOT_EXECUTED} for name in found}
    assert (folder / "kept.txt").read_text() == "evil"


INVALID = "error: OSError: [Errno 22] Invalid argument"
"""What the kernel says where a file that is only read is to be shortened."""
SLOW = {*NATIVE, "spawn"}


@LINUX
def test_a_thousand_calls_in_random_order_change_nothing(folder, server):
    async def run():
        async with open_sources([f"{folder}/attacks.py:Shop"]) as tools:

            async def everything():
                return json.dumps(await tools["everything"].execute(tools.state, {}))

            names = [name for name in tools.names() if name not in SLOW and name != "everything"]
            before = await everything(), files(folder), list(server.requests)
            chance, played = random.Random(5), 0
            while played < 1000:
                drawn = chance.choices(names, k=100)
                played += sum(map(len, (await play_all(tools, drawn)).values()))
                assert (await everything(), files(folder), server.requests) == before

    asyncio.run(run())


READS = '''
import urllib.request
from pathlib import Path
PORT = int(Path(__file__).with_name("port").read_text())
EFFECTS = {"look": "read", "hide": "read", "put": "write"}
def look() -> int:
    """Ask the server."""
    return urllib.request.urlopen(f"http://127.0.0.1:{PORT}/look").status
def hide() -> str:
    """Ask the server, and hide that it does not answer."""
    try: return str(urllib.request.urlopen(f"http://127.0.0.1:{PORT}/hide").status)
    except OSError: return "offline"
def put() -> int:
    """Change the server."""
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/put", method="PUT")
    return urllib.request.urlopen(request).status
'''


def test_what_reads_over_the_network_is_asked_in_the_host(folder, server):
    (folder / "reads.py").write_text(READS)

    async def run():
        async with open_sources([f"{folder}/reads.py"]) as tools:
            return await play_all(tools, ["look", "hide", "put"])

    steps = asyncio.run(run())
    assert [steps[name][0].observation for name in ("look", "hide")] == ["200", "200"]
    assert steps["put"][0].error is ErrorKind.NOT_EXECUTED
    assert "the call is valid" in steps["put"][0].observation
    assert server.requests == ["GET /look", "GET /hide"]


def test_loading_copies_and_destroys_nothing(folder):
    (folder / "cleans.py").write_text(
        "import shutil\n"
        "class Shop:\n"
        f"    path = {str(folder / 'cleaned')!r}\n"
        "    def order(self, item: str) -> str:\n        return item\n"
        "    def __del__(self): shutil.rmtree(self.path, ignore_errors=True)\n"
        "shop = Shop()\n"
    )

    async def run():
        async with open_sources([f"{folder}/cleans.py:shop"]) as tools:
            await play_all(tools, ["order"])
            assert (folder / "cleaned" / "x").exists()

    asyncio.run(run())


class Till:
    """An object of this process, which gives no snapshot."""

    taken = 0

    def total(self) -> int:
        """Sum."""
        return self.taken

    def pay(self, amount: int) -> int:
        """Pay."""
        Till.taken += amount
        return Till.taken


def test_an_object_of_this_process_is_only_read():
    async def run():
        tools = from_object(Till(), effects={"total": Effect.READ})
        a_session = Session(Task("t", "q", lambda: tools), Protocol.TRIAL, Limits())
        return await play(a_session, call("pay", amount=3), call("total"))

    paid, total = asyncio.run(run())
    assert (paid.error, total.observation) == (ErrorKind.NOT_EXECUTED, "0")
