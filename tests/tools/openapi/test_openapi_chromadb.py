"""Chroma, which describes itself in OpenAPI 3.1: collections made, filled, asked and deleted."""

import asyncio

import pytest
from openapi_services import environment, free_port, running

from toolmaster.tools.openapi import load_document, open_openapi
from toolmaster.tools.tool import ToolRefusal
from toolmaster.types import Effect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # half a gigabyte to install
PLACE = {"tenant": "default_tenant", "database": "default_database"}


@pytest.fixture(scope="module")
def chroma(tmp_path_factory):
    """The address of a running server."""
    command = environment("chromadb==1.5.9") / "chroma"
    folder, port = tmp_path_factory.mktemp("chroma"), free_port()
    options = ["run", "--path", folder / "data", "--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running([command, *options], url, folder, ANONYMIZED_TELEMETRY="False"):
        yield url


def test_collections(chroma):
    document = load_document(chroma)
    assert document.source == f"{chroma}/openapi.json"
    assert (len(document.operations), document.left_out) == (35, {})

    async def work():
        async with open_openapi(document) as tools:

            async def run(name, **arguments):
                assert tools[name].violation(PLACE | arguments) is None
                return await tools[name].execute(None, PLACE | arguments)

            made = await run("create_collection", body={"name": "films"})
            films = {"collection_id": made["id"]}
            records = {"ids": ["a", "b"], "embeddings": [[1, 0], [0, 1]], "documents": ["x", "y"]}
            await run("collection_add", **films, body=records)
            assert await run("collection_count", **films) == 2
            question = {"query_embeddings": [[1, 0.1]], "n_results": 1}
            found = await run("collection_query", **films, body=question)
            assert found["documents"] == [["x"]]
            with pytest.raises(ToolRefusal, match=r"HTTP 400 Bad Request: .*not a valid UUID"):
                await run("collection_count", collection_id="films")
            assert tools["delete_collection"].effect is Effect.DESTRUCTIVE
            await run("delete_collection", **films | {"collection_id": "films"})
            with pytest.raises(ToolRefusal, match="HTTP 404"):
                await run("get_collection", collection_id="films")

    asyncio.run(work())
