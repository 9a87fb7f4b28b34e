"""The functions of ToolHop and FTRL, called with arguments known to work."""

import json
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def toolhop():
    rows = {row["id"]: row for row in read("toolhop/ToolHop_sample.json")}
    for derived in read("toolhop/derived_calls.json"):
        for call in derived["trace"].values():
            name = call["tool"]
            sources = [s for s in rows[derived["id"]]["functions"] if f"def {name}(" in s]
            if call["args"] is not None:
                yield sources[0], name, call["args"], call["answer"]


def ftrl():
    parquet = pytest.importorskip("pyarrow.parquet")
    known = read("ftrl/derived_calls.json")
    rows = parquet.read_table(DATA / "ftrl" / "ftrl_test.parquet").to_pylist()
    for derived in known:
        codes = json.loads(rows[derived["row"]]["codes"])
        for name, calls in derived["trace"].items():
            for answer, arguments in calls.items():
                yield codes[name], name, arguments, answer


def read(name):
    if not (DATA / name).exists():
        pytest.skip(f"needs the benchmark's file {DATA / name}")
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("calls", [toolhop, ftrl])
def test_known_good_calls(calls, running):
    calls = list(calls())
    assert len(calls) > 70
    seen = 0
    for source, name, arguments, answer in calls:
        result = running.runner.run(running.sandbox.call(source, name, arguments))
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        seen += plain(answer) in plain(text)
    assert seen >= 0.98 * len(calls)


def plain(text):
    return text.replace(",", "").rstrip(".").lower()


def test_every_source_can_be_loaded(running):
    """Those of FTRL that are not called above too; a few of them import packages not installed."""
    parquet = pytest.importorskip("pyarrow.parquet")
    if not (DATA / "ftrl" / "ftrl_test.parquet").exists():
        pytest.skip("needs the benchmark's file")
    table = parquet.read_table(DATA / "ftrl" / "ftrl_test.parquet", columns=["codes"])
    sources = {s for codes in table["codes"].to_pylist() for s in json.loads(codes).values() if s}
    answers = running.calls(*(f"{source}\ndef f(): return 'loaded'" for source in sorted(sources)))
    failed = [str(answer) for answer in answers if answer != "loaded"]
    assert len(failed) <= 5, failed
