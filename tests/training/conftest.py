"""Training without compiling, whose first ten seconds no tiny model earns back."""

import pytest

from toolmaster.training import common


@pytest.fixture(autouse=True)
def _no_compiling(monkeypatch):
    monkeypatch.setattr(common, "compile_blocks", lambda model: None)
