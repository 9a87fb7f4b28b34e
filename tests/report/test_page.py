"""The HTML report: complete, self-contained, and safe to open."""

import re
from html.parser import HTMLParser

import pytest
from made_report import two_steps

from toolmaster.errors import InputError
from toolmaster.evaluation.evaluation import Evaluation
from toolmaster.report import page as page_module
from toolmaster.report.page import Page, curves, write_report
from toolmaster.tags import with_experience
from toolmaster.types import ActionKind, Score

EVIL = "</pre><script>alert('x')</script><img src=\"https://evil.example/a.png\" onerror=alert(1)>"


def rollout(task_id="t", success=True, text="fine", family="plain", known="", **fields):
    made = {
        "task_id": task_id,
        "taskset": "w/test",
        "policy": text,
        "score": Score.of(success, f"right {text}", answer=success, state=True),
        "labels": {"family": family, "behaviour": text},
    }
    query, tool = with_experience(text, known), {"name": f"bake{text}", "description": text}
    return two_steps(query, f"<think>{text}</think>{text}", tool, text, text, **made | fields)


def page(tmp_path, results=None, title="A run", **fields):
    path = tmp_path / "deep" / "report.html"
    models = [Evaluation(group, model) for model, group in (results or {}).items()]
    write_report(path, Page(title, models, **fields))
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
    group = [
        rollout(EVIL, False, EVIL, EVIL, taskset=EVIL, known=EVIL, error=EVIL),
        rollout("b", score=Score(value=0, success=False, expected=EVIL, reason=EVIL)),
    ]
    html = page(
        tmp_path,
        {EVIL: group, f"{EVIL}2": group},
        EVIL,
        made={EVIL: EVIL},
        settings={EVIL: {EVIL: EVIL}},
        metrics=[{"stage": EVIL, "step": step, "loss": 0.5} for step in range(2)],
        decoders={EVIL: lambda token: EVIL},
    )
    seen = Tags(html)
    assert not {"script", "img", "form", "iframe", "link"} & set(seen.tags)
    assert not any(key.startswith("on") or key == "src" for key, _ in seen.attributes)
    assert all(value.startswith("#") for key, value in seen.attributes if key == "href")
    assert "&lt;script&gt;alert" in html


def test_the_page_needs_no_network(tmp_path):
    html = page(tmp_path, {"base": [rollout()]}, metrics=[{"stage": "sft", "step": 0, "loss": 1.0}])
    assert html.startswith("<!doctype html>")
    assert "default-src 'none'" in html
    assert re.search(r"https?://|//\w+\.\w|url\(|@import", html) is None


def test_it_opens_with_the_verdict_and_what_produced_it(tmp_path):
    results = {"SFT": [rollout("1"), rollout("2", False)], "GRPO": [rollout("1"), rollout("2")]}
    html = page(tmp_path, results, made={"base model": "A/B@c0ffee"}, settings={"seed": 3})
    order = [
        "<h1>A run</h1>",
        "w/test: 100.0% [34, 100] of 2 tasks, +50.0 points over SFT",
        "<dt>base model</dt><dd>A/B@c0ffee</dd>",
        "GRPO against SFT",
        "1 task that GRPO solved more often<",
        '<a href="#t3">2</a>',
        "Figures",
        "Trajectories",
        "&#34;seed&#34;: 3",
    ]
    places = [html.find(text) for text in order]
    assert -1 not in places
    assert places == sorted(places)


def test_shares_have_a_bar_with_their_interval(tmp_path):
    group = [rollout("1"), rollout("2", False), rollout("3", family="silent")]
    html = page(tmp_path, {"base": group})
    assert "50.0% <small>[9, 91]</small>" in html
    assert 'style="--mean: 50.0%"><i style="left: 9.5%; right: 9.5%"></i>' in html
    assert "100.0% <small>[one task]</small>" in html


def test_every_trajectory_is_there_and_can_be_filtered(tmp_path):
    results = {
        "base": [rollout(str(i), i > 7, family=f"f{i % 2}") for i in range(9)],
        "SFT": [rollout(str(i), family=f"f{i % 2}") for i in range(9)],
    }
    html = page(tmp_path, results)
    assert re.findall('<div class="body" id="(.*?)">', html) == [f"t{i}" for i in range(18)]
    # Those of one task stand side by side, with the classes that the filters ask for.
    cards = re.findall('<details class="card (.*?)">', html)
    assert cards[:3] == [
        "outcome-0 model-0 family-0",
        "outcome-1 model-1 family-0",
        "outcome-0 model-0 family-1",
    ]
    rule = "body:has(#outcome-0:checked) .card:not(.outcome-0) { display: none; }"
    assert rule in html
    assert '<input type="radio" name="outcome" id="outcome-0">failed <small>8</small>' in html
    assert "task-set" not in html  # there is only one


def test_a_huge_run_shows_failures_first_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_BYTES", 100_000)
    html = page(tmp_path, {"m": [rollout(str(i), i < 20, "x" * 900) for i in range(21)]})
    shown = re.findall('<span class="task">(.*?)</span>', html)
    assert 1 < len(shown) < 10
    assert shown[-1] == "20"  # the one that failed
    assert f"{len(shown)} of 21 trajectories are shown, failures first" in html


def test_a_trajectory_shows_what_was_expected_and_what_was_done(tmp_path):
    labels = {"family": "silent", "behaviour": "swapped"}
    html = page(tmp_path, {"base": [rollout("t", False, "rye", known="slow", labels=labels)]})
    order = [
        '<span class="badge bad">failed</span>',
        "<dt>asked</dt><dd>rye</dd>",
        "<dt>expected</dt><dd>right rye</dd>",
        '<dt>answered</dt><dd class="bad">rye</dd>',
        "<dt>hidden behaviour</dt><dd>Two parameters of one type are taken for each other.</dd>",
        "<dt>known from before</dt><dd>slow</dd>",
        "<i>answer</i> wrong",
        "<i>state</i> right",
        "1 tool<",
        'class="phase trial"',
        '<p class="thought">rye</p>',
        "<code>bakerye(q=2)</code>",
        '<span class="badge bad">tool_error</span>',
        '<pre class="observation failed">error: rye</pre>',
        'class="phase execution"',
        "raw text: ",
        '<span class="trial">&lt;think&gt;rye&lt;/think&gt;rye</span>',
    ]
    places = [html.find(text) for text in order]
    assert -1 not in places
    assert places == sorted(places)


def test_tokens_are_shown_with_their_mask_and_phase(tmp_path):
    made = rollout(prompt_ids=[9])
    made.steps.insert(1, made.steps[0].model_copy(update={"slip": True}))
    html = page(tmp_path, {"m": [made]}, decoders={"m": lambda token: f"w{token}"})
    assert (
        '<pre><span class="other"><i>w9</i></span><span class="trial"><i>w2</i>w2</span>'
        '<span class="other"><i>w3</i></span><span class="other"><i>w2</i>w2</span>'
        '<span class="other"><i>w3</i></span><span class="execution"><i>w4</i></span></pre>'
    ) in html
    assert "injected error" in html
    html = page(tmp_path, {"m": [rollout()]})  # without a tokenizer
    assert "raw text: " in html


def test_nothing_is_said_of_trials_where_there_are_none(tmp_path):
    made = rollout(labels={}, tools=[], policy="replay")
    made.steps[0].action = ActionKind.EXPERIENCE
    made.steps[0].error = None
    text = page(tmp_path, {"replay": [made]}).partition("<body>")[2]
    assert not re.search("trial (phase|calls)|[Uu]nseen|hidden|<svg|Training|by family", text)


@pytest.mark.parametrize(
    ("values", "points", "bounds"),
    [
        ({4: 0.0, 0: 4.0}, "0.0,0.0 100.0,30.0", (0.0, 4.0, 0.0, 4)),
        ({1: 2.0, 2: 3.0, 5: 2.5}, "0.0,30.0 25.0,0.0 100.0,15.0", (2.0, 3.0, 2.5, 5)),
        ({1: 2.0, 2: 2.0}, "0.0,30.0 100.0,30.0", (2.0, 2.0, 2.0, 2)),
    ],
)
def test_a_curve_fills_its_box_in_step_order(values, points, bounds):
    [curve] = curves([{"stage": "sft", "step": s, "loss": v} for s, v in values.items()])
    assert curve.points == points
    assert (curve.low, curve.high, curve.last, curve.steps) == bounds


def test_only_named_metrics_that_are_numbers_are_drawn(tmp_path):
    row = {"stage": "g", "step": 1, "reward": 1.0, "lr": 1.0, "loss": None, "entropy": "yes"}
    rows = [row, {**row, "step": 2}, {"stage": "g", "step": 3, "reward": float("nan")}]
    rows += [{"stage": "g"}, {"stage": "sft", "step": 1, "loss": 1.0}]
    assert [(curve.stage, curve.key, curve.steps) for curve in curves(rows)] == [("g", "reward", 2)]
    html = page(tmp_path, metrics=rows)
    assert html.count("<polyline") == 1
    assert "nan" not in html


def test_an_empty_run_still_makes_a_page(tmp_path):
    assert "Nothing was measured." in page(tmp_path, {"base": []})


def test_half_a_surrogate_pair_can_be_written(tmp_path):
    assert "bread ?" in page(tmp_path, {"base": [rollout(text="bread \ud83c")]})


def test_a_folder_in_the_way_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot write the report"):
        write_report(tmp_path, Page("A run", []))
