"""The film service behind HTTP: in this process, on a socket, and as a command."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from toolmaster.benchmarks.films import FilmService, FilmWorld, serve, transport
from toolmaster.benchmarks.films.server import make_server
from toolmaster.errors import InputError


@pytest.fixture(scope="module")
def service():
    return FilmService(FilmWorld())


def test_both_ways_give_what_the_service_gives(service):
    query = {"query": "Amélie & co: the matrix", "page": "1"}
    asked = [("/search/movie", query), ("/movie/popular", {}), ("/movie/5", {})]
    with (
        serve(service) as address,
        httpx.Client() as real,
        httpx.Client(transport=transport(service)) as inner,
    ):
        for path, parameters in asked:
            status, body = service.get(path, parameters)
            for client, base in ((real, address), (inner, "https://api.themoviedb.org/3")):
                response = client.get(base + path, params=parameters)
                assert (response.status_code, response.json()) == (status, body)


def test_asynchronous_clients(service):
    async def ask():
        async with httpx.AsyncClient(transport=transport(service)) as client:
            return await client.get("https://api.themoviedb.org/3/genre/tv/list")

    assert asyncio.run(ask()).json() == service.get("/genre/tv/list", {}).body


def test_only_get(service):
    with httpx.Client(transport=transport(service)) as client:
        assert client.post("https://api.themoviedb.org/3/movie/popular").status_code == 405
    with serve(service) as address:
        assert httpx.post(f"{address}/movie/popular").status_code == 501


def test_a_taken_port_is_one_line(service):
    server = make_server(service)
    try:
        with pytest.raises(InputError, match="cannot listen on port"):
            make_server(service, server.server_port)
    finally:
        server.server_close()


def test_the_command_serves_until_it_is_stopped():
    command = [sys.executable, "-m", "toolmaster.benchmarks.films", "--port", "0", "--seed", "2"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as running:
        line = running.stdout.readline()
        assert line.startswith("film world 2 at http://127.0.0.1:")
        found = httpx.get(f"{line.split()[-1]}/movie/popular").json()
        running.terminate()
    assert found == FilmService(FilmWorld(2)).get("/movie/popular", {}).body
