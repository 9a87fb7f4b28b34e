"""Training without compiling, whose first ten seconds no tiny model earns back."""

import pytest

from toolmaster.training import grpo, sft


@pytest.fixture(autouse=True)
def _no_compiling(monkeypatch):
    for module in (sft, grpo):
        monkeypatch.setattr(module, "compile_blocks", lambda model: None)
