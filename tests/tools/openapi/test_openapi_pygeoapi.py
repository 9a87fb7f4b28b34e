"""pygeoapi, which describes itself in OpenAPI 3.0: filters on a feature collection, a process."""

import asyncio
import json
import subprocess

import pytest
from openapi_services import environment, free_port, running

from toolmaster.tools.openapi import load_document, open_openapi
from toolmaster.tools.tool import ToolRefusal
from toolmaster.types import Effect

pytestmark = pytest.mark.timeout(600)  # the first run makes the environment
TOWNS = """\
id,name,pop,lon,lat
1,Oslo,709000,10.75,59.91
2,Bergen,291000,5.32,60.39
3,Lima,10092000,-77.03,-12.05
"""


def configuration(port, towns):
    title = {"title": "Towns", "description": "Towns", "keywords": ["towns"]}
    crs = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
    link = "http://localhost"
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": port},
            "url": f"http://localhost:{port}",
            "mimetype": "application/json; charset=UTF-8",
            "encoding": "utf-8",
            "language": "en-US",
            "limits": {"default_items": 10, "max_items": 50},
            "map": {"url": link, "attribution": "none"},
        },
        "logging": {"level": "ERROR"},
        "metadata": {
            "identification": {**title, "terms_of_service": "none", "url": link},
            "license": {"name": "none", "url": link},
            "provider": {"name": "none", "url": link},
            "contact": {"name": "none"},
        },
        "resources": {
            "towns": {
                "type": "collection",
                **title,
                "links": [],
                "extents": {"spatial": {"bbox": [-180, -90, 180, 90], "crs": crs}},
                "providers": [
                    {
                        "type": "feature",
                        "name": "CSV",
                        "data": str(towns),
                        "id_field": "id",
                        "geometry": {"x_field": "lon", "y_field": "lat"},
                    }
                ],
            },
            "hello-world": {"type": "process", "processor": {"name": "HelloWorld"}},
        },
    }


@pytest.fixture(scope="module")
def pygeoapi(tmp_path_factory):
    """The address of a running server."""
    command = environment("pygeoapi==0.21.0") / "pygeoapi"
    folder, port = tmp_path_factory.mktemp("pygeoapi"), free_port()
    (folder / "towns.csv").write_text(TOWNS)
    settings = folder / "config.yml"
    settings.write_text(json.dumps(configuration(port, folder / "towns.csv")))
    variables = {"PYGEOAPI_CONFIG": str(settings), "PYGEOAPI_OPENAPI": str(folder / "openapi.yml")}
    generate = [command, "openapi", "generate", settings, "--output-file", "openapi.yml"]
    done = subprocess.run(
        generate, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    url = f"http://127.0.0.1:{port}"
    with running([command, "serve"], url, folder, **variables):
        yield url


def test_features_and_processes(pygeoapi):
    document = load_document(pygeoapi)
    assert document.source == f"{pygeoapi}/openapi?f=json"
    assert document.server == pygeoapi  # it calls itself localhost
    assert (len(document.operations), document.left_out) == (18, {})

    async def work():
        async with open_openapi(document) as tools:

            async def run(name, **arguments):
                assert tools[name].violation(arguments) is None
                return await tools[name].execute(None, arguments)

            north = await run("getTownsFeatures", bbox=[0, 50, 20, 70])
            assert [f["properties"]["name"] for f in north["features"]] == ["Oslo", "Bergen"]
            one = await run("getTownsFeatures", limit=1, properties=["name"])
            assert [f["properties"] for f in one["features"]] == [{"name": "Oslo"}]
            lima = await run("getTownsFeature", featureId="3")
            assert lima["geometry"]["coordinates"] == [-77.03, -12.05]
            with pytest.raises(ToolRefusal, match=r"HTTP 404 Not Found: .*identifier not found"):
                await run("getTownsFeature", featureId="9")
            assert tools["getTownsFeatures"].violation({"limit": 51}).startswith("limit: ")
            assert tools["getTownsFeatures"].violation({"bbox": [1]}).startswith("bbox: ")
            hello = tools["executeHello-worldJob"]
            assert hello.effect is Effect.WRITE  # it answers 201: a job is created
            greeted = await run(hello.name, body={"inputs": {"name": "Ada"}})
            assert greeted["value"] == "Hello Ada!"
            with pytest.raises(ToolRefusal, match=r"HTTP 400 Bad Request: .*without a name"):
                await run(hello.name, body={"inputs": {}})

    asyncio.run(work())
