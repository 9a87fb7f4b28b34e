"""The HTML report: complete, self-contained, and safe to open."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from toolmaster.errors import InputError
from toolmaster.report import write_report
from toolmaster.report.page import choose, flatten
from toolmaster.types import (
    ActionKind,
    ErrorKind,
    Message,
    Phase,
    Score,
    Step,
    StopReason,
    ToolCall,
    Trajectory,
)

EVIL = "</pre><script>alert('x')</script><img src=\"https://evil.example/a.png\" onerror=alert(1)>"


def rollout(task_id="t", success=True, taskset="w/test", family="plain", text="fine", error=None):
    call = ToolCall(name=f"bake{text}", arguments={"q": text})
    steps = [
        Step(
            text=f"<think>{text}</think>{text}",
            phase=Phase.TRIAL,
            action=ActionKind.CALL,
            call=call,
            observation=f"error: {text}",
            error=ErrorKind.TOOL_ERROR,
        ),
        Step(text=f"<answer>{text}</answer>", phase=Phase.EXECUTION, action=ActionKind.ANSWER),
    ]
    return Trajectory(
        task_id=task_id,
        taskset=taskset,
        protocol="trial",
        policy=text,
        prompt=[Message(role="user", content=text)],
        tools=[{"type": "function", "function": {"name": text, "description": text}}],
        steps=steps,
        stop_reason=StopReason.ANSWERED,
        answer=text,
        error=error,
        score=Score.of(success, answer=success, state=True),
        labels={"family": family, "quirk": text},
        completion_tokens=77,
    )


def page(tmp_path, evaluations=None, metrics=(), config=None, title="A run"):
    path = tmp_path / "deep" / "report.html"
    write_report(path, title, config or {}, evaluations or {}, list(metrics))
    return path.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Collects the tags and attributes a browser would see."""

    def __init__(self, html):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(key, value or "") for key, value in attrs]


def test_hostile_text_stays_text_wherever_it_appears(tmp_path):
    html = page(
        tmp_path,
        {EVIL: [rollout(EVIL, text=EVIL, family=EVIL, taskset=EVIL), rollout("b", error=EVIL)]},
        [{"stage": EVIL, "step": 1, f"loss{EVIL}": 0.5}],
        {EVIL: {EVIL: EVIL}},
        EVIL,
    )
    seen = Tags(html)
    assert "script" not in seen.tags
    assert "img" not in seen.tags
    assert not any(key.startswith("on") or key in ("src", "href") for key, _ in seen.attributes)
    assert "&lt;script&gt;alert" in html


def test_the_page_needs_no_network(tmp_path):
    html = page(tmp_path, {"base": [rollout()]}, [{"stage": "sft", "step": 0, "loss": 1.0}])
    assert html.startswith("<!doctype html>")
    assert "default-src 'none'" in html
    assert re.search(r"https?://|//\w+\.\w|url\(|@import", html) is None


def test_table_values_bars_and_settings_appear(tmp_path):
    base = [rollout("1", True), rollout("2", False), rollout("3", True, "w/test_seen")]
    sft = [rollout("1", True, family="silent"), rollout("3", False, "w/test_seen")]
    config = {"seed": 3, "sft": {"lora": {"rank": 16}}, "runs": Path("runs/a")}
    html = page(tmp_path, {"base model": base, "after SFT": sft}, config=config)
    assert "50.0 <small>[9.5, 90.5]</small>" in html
    assert "base model, plain: 50.0% [9.5, 90.5], 2 tasks" in html
    assert "after SFT, silent: 100.0% [one task]" in html
    assert html.count('<path class="whisker"') == 2
    assert "<dt>lora.rank</dt><dd>16</dd>" in html
    assert "<dt>seed</dt><dd>3</dd>" in html
    assert "runs/a" in html


def test_curves_are_drawn_per_stage_without_broken_numbers(tmp_path):
    metrics = [{"stage": "sft", "step": step, "loss": 2.0 - step, "lr": 1} for step in range(2)]
    metrics += [{"stage": "grpo", "step": step, "reward": step / 10} for step in range(3)]
    metrics += [{"stage": "grpo", "step": 3, "reward": float("nan")}, {"stage": "grpo"}]
    html = page(tmp_path, metrics=metrics)
    assert html.count("<polyline") == 2
    assert "<b>sft</b> loss <span>1</span>" in html
    assert "<b>grpo</b> reward <span>0.2</span>" in html
    assert "nan" not in html


def test_trajectories_show_phases_errors_and_labels(tmp_path):
    html = page(tmp_path, {"base": [rollout(text="rye bread", success=False)]})
    assert 'class="phase trial"' in html
    assert 'class="phase execution"' in html
    assert html.index('class="phase trial"') < html.index('class="phase execution"')
    assert '<span class="badge error">tool_error</span>' in html
    assert '<span class="badge lost">failure</span>' in html
    assert "<i>quirk</i> rye bread" in html
    assert '<pre class="thought">&lt;think&gt;rye bread&lt;/think&gt;</pre>' in html


def test_an_empty_run_still_makes_a_page(tmp_path):
    html = page(tmp_path, {"base": []})
    assert "No trajectories were evaluated." in html


def test_half_a_surrogate_pair_can_be_written(tmp_path):
    assert "bread ?" in page(tmp_path, {"base": [rollout(text="bread \ud83c")]})


def test_a_folder_in_the_way_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot write the report"):
        write_report(tmp_path, "A run", {}, {}, [])


def test_choose_mixes_outcomes_and_families():
    group = [rollout(f"p{i}", True) for i in range(9)]
    group += [
        rollout("s", False, family="silent"),
        rollout("q", False),
        rollout("l", True, family="loud"),
    ]
    chosen = [t.task_id for t in choose(group)]
    # A success (plain), a failure of another family, a success of a third, the other failure.
    assert chosen == ["p0", "s", "l", "q"]
    assert choose(group[:1], 4) == group[:1]


def test_flatten_puts_loose_settings_first():
    assert flatten({"sft": {"lora": {"rank": 8}, "on": True}, "seed": 1}) == {
        "": {"seed": "1"},
        "sft": {"lora.rank": "8", "on": "true"},
    }
