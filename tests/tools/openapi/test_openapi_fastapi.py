"""Forms and files of a real service, with the document that FastAPI writes for it."""

import asyncio
import socket
import threading
from contextlib import contextmanager
from typing import Annotated, Literal

import pytest

fastapi = pytest.importorskip("fastapi")
pytest.importorskip("multipart")
import uvicorn  # noqa: E402 - not without fastapi
from fastapi import FastAPI, Form, Header, Query, UploadFile  # noqa: E402
from pydantic import BaseModel, Field  # noqa: E402

from toolmaster.tools.openapi import open_openapi  # noqa: E402

PNG = "data:image/png;base64,UE5H"
app = FastAPI()


class Report(BaseModel):
    scan: UploadFile
    pages: list[UploadFile] = []
    title: str | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool = True


class Order(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


async def read(file):
    return file and [file.content_type, (await file.read()).decode()]


@app.post("/one", operation_id="one")
async def one(file: UploadFile):
    return await read(file)


@app.post("/optional", operation_id="optional")
async def optional(
    file: UploadFile | None = None,
    files: list[UploadFile] | None = None,
    note: Annotated[str | None, Form()] = None,
    number: Annotated[int | None, Form()] = None,
):
    return [await read(file), files and [await read(each) for each in files], note, number]


@app.post("/many", operation_id="many")
async def many(files: list[UploadFile]):
    return [await read(file) for file in files]


@app.post("/model", operation_id="model")
async def model(report: Annotated[Report, Form(media_type="multipart/form-data")]):
    return [await read(report.scan), len(report.pages), report.title]


@app.post("/fields", operation_id="fields")
async def fields(a: Annotated[str | None, Form()] = None, b: Annotated[int, Form()] = 3):
    return [a, b]


@app.post("/order", operation_id="order")
async def order(order: Order):
    return order


@app.get("/search", operation_id="search")
async def search(
    q: str,
    limit: Annotated[int | None, Query(le=9)] = None,
    page: int = 1,
    x_kind: Annotated[str, Header()] = "a",
):
    return [q, limit, page, x_kind]


@contextmanager
def served():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def url():
    with served() as address:
        yield address


READ = ["image/png", "PNG"]


@pytest.mark.parametrize(
    ("name", "body", "answer"),
    [
        ("one", {"file": PNG}, READ),
        ("one", {"file": "text"}, ["application/octet-stream", "text"]),
        ("optional", {"file": PNG, "note": None}, [READ, None, None, None]),
        ("optional", {"file": None, "files": [PNG, PNG]}, [None, [READ, READ], None, None]),
        ("optional", {"file": None, "note": "n", "number": 5}, [None, None, "n", 5]),
        ("many", {"files": [PNG, PNG]}, [READ, READ]),
        ("model", {"scan": PNG, "pages": [PNG], "title": None}, [READ, 1, None]),
        ("fields", {"a": None, "b": None}, [None, 3]),
        ("fields", {"a": "x", "b": 4}, ["x", 4]),
        ("order", {"pet": {"kind": "dog"}}, {"pet": {"kind": "dog", "barks": True}}),
    ],
)
def test_bodies(url, name, body, answer):
    async def work():
        async with open_openapi(url) as tools:
            tool, arguments = tools[name], {"body": body}
            assert tool.violation(arguments) is None
            return await tool.execute(None, arguments)

    assert asyncio.run(work()) == answer


def test_null_for_optional_parameters(url):
    async def work():
        async with open_openapi(url) as tools:
            tool = tools["search"]
            given = tool.given({"q": "x", "limit": None, "page": None, "x-kind": None})
            assert tool.violation(given) is None
            return await tool.execute(None, given)

    assert asyncio.run(work()) == ["x", None, 1, "a"]
