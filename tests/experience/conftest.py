"""A store of its own for each test."""

import pytest

from toolmaster.experience import ExperienceStore


@pytest.fixture
def store(tmp_path):
    return ExperienceStore(tmp_path / "folder" / "experience.jsonl")
