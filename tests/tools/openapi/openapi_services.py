"""Real services for the tests: each in its own environment, kept outside the repository."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from toolmaster.models.hub import cache_folder

CONNECT_ATTEMPTS = 8
"""Made by httpx with growing pauses: a service has about a minute to start."""


def environment(requirement):
    """The `bin` folder of an environment with this package, made once; skips if it cannot be."""
    folder = cache_folder() / "services" / requirement.replace("==", "-")
    ready = folder / "ready"
    if not ready.is_file():
        for command in (
            [sys.executable, "-m", "venv", "--clear", folder],
            [folder / "bin" / "pip", "install", "--quiet", requirement],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                pytest.skip(f"{requirement} cannot be installed: {reason}")
        ready.touch()
    return folder / "bin"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running(command, url, folder, **variables):
    """A service in its own process group, once it accepts connections."""
    kept = {key: os.environ[key] for key in ("HOME", "PATH") if key in os.environ}
    log = folder / "service.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=kept | variables,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            transport = httpx.HTTPTransport(retries=CONNECT_ATTEMPTS)
            with httpx.Client(transport=transport, timeout=60) as client:
                try:
                    client.get(url)
                except httpx.HTTPError as error:
                    pytest.fail(f"{command[0]} did not start ({error}): {log.read_text()[-500:]}")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
