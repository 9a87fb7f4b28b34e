"""`toolmaster specialize`: what it shows before it trains, and what it refuses."""

from pathlib import Path

LIBRARY = f"{Path(__file__).parents[1] / 'specialize' / 'library.py'}:Library"


def test_dry_run(toolmaster, tmp_path):
    options = ("--tools", LIBRARY, "--count", 20, "--heldout", 6, "--run", tmp_path)
    code, out, err = toolmaster("specialize", *options, "--dry-run")
    assert code == 0
    first = {line.partition(" ")[0] for line in out.splitlines()}
    assert {"read", "chain", "write"} <= first
    assert str(tmp_path / "generated" / "train.jsonl") in (out + err).replace("\n", "")
    assert not (tmp_path / "demonstrate").exists()


def test_what_is_refused(toolmaster, tmp_path):
    run = ("specialize", "--run", tmp_path)
    code, _, err = toolmaster(*run, "--tools", LIBRARY, "--known", "member")
    assert code == 2
    assert "PARAMETER=VALUE" in err
    code, _, err = toolmaster(*run, "--tools", LIBRARY, "tasks=world")
    assert code == 2
    assert "made from --tools" in err
    code, _, err = toolmaster(*run, "--tools", str(tmp_path / "none.py"))
    assert code == 1
    assert "none.py" in err
