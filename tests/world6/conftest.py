"""Worlds of the built-in services, of facts, and of a small OpenAPI document."""

import asyncio
import itertools
import json

import pytest
from pets_document import PETS

from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.teacher.settings import Behaviours
from toolmaster.world6.facts import Facts
from toolmaster.world6.openapi import Documents
from toolmaster.world6.oracle import OraclePolicy
from toolmaster.world6.tasks import World


@pytest.fixture(scope="session")
def world():
    """The built-in world of short tasks."""
    return World(level="short")


@pytest.fixture(scope="session")
def task_ids(world):
    """A function: the first ids of a split, of all families or of some."""

    def find(split, count, *families):
        ids = (world.id_of(split, number) for number in itertools.count())
        fitting = (
            one for one in ids if not families or world.draw(one).task.labels["family"] in families
        )
        return list(itertools.islice(fitting, count))

    return find


@pytest.fixture(scope="session")
def pets(tmp_path_factory):
    """The file of a small OpenAPI document."""
    file = tmp_path_factory.mktemp("api") / "pets.json"
    file.write_text(json.dumps(PETS))
    return file


@pytest.fixture(scope="session")
def worlds(world, pets):
    """A world of each source, by name."""
    return {
        "short": world,
        "full": World(),
        "facts": World(Facts(), "full", "facts"),
        "pets": World(Documents(pets), "short", "pets"),
    }


@pytest.fixture(scope="session")
def demonstrate(worlds):
    """A function: the oracle's trajectory of a task of either level."""

    def run(task_id, protocol=Protocol.TRIAL, behaviours=Behaviours()):  # noqa: B008
        drawn = worlds["short" if task_id.startswith("v6s") else "full"].draw(task_id)
        oracle = OraclePolicy(drawn, protocol, behaviours)
        return asyncio.run(run_rollout(RolloutRequest(drawn.task), oracle, protocol, Limits()))

    return run
