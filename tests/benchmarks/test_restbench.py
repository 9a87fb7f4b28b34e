"""RestBench: gold endpoints as written, the correct-path rate, and gold paths over the films."""

import asyncio
import json
from pathlib import Path

import pytest
from fake_endpoint import FakeModel, http_server, in_turn
from service_runs import run_replays

from toolmaster.benchmarks import find_benchmark
from toolmaster.benchmarks.base import Source
from toolmaster.benchmarks.films.operations import OPERATIONS
from toolmaster.benchmarks.replay import Replay, turns
from toolmaster.benchmarks.restbench import Endpoints, contains_path, find_document
from toolmaster.errors import ConfigError, InputError
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.runs import read_lines
from toolmaster.tools.openapi import load_document
from toolmaster.types import Phase, ToolCall

DIRECTOR = "Who is the director of the movie Inception?"
NUMBERS = {f"{kind}_id" for kind in ("movie", "tv", "person", "company", "network", "collection")}
PATH = ["GET /search/movie", "GET /movie/{movie_id}/credits"]


def operation(path, method="get", query=()):
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    kinds = {True: "integer", False: "string"}
    parameters = [
        {"name": n, "in": "path", "required": True, "schema": {"type": kinds[n in NUMBERS]}}
        for n in names
    ] + [{"name": name, "in": "query", "schema": {"type": "string"}} for name in query]
    response = {"200": {"description": "ok"}}
    return {path: {method: {"summary": path, "parameters": parameters, "responses": response}}}


@pytest.fixture
def tmdb(write):
    """A document of our own for the film world's operations, beside the data."""
    paths = {}
    for path in OPERATIONS:
        paths |= operation(path, query=["query"] if path.startswith("/search") else [])
    document = {
        "openapi": "3.0.0",
        "info": {"title": "films", "version": "3"},
        "servers": [{"url": "https://films.invalid/3"}],
        "paths": paths,
    }
    write("tmdb_oas.json", document)
    return lambda *rows: write("tmdb.json", list(rows))


@pytest.fixture
def row():
    return {"query": DIRECTOR, "solution": PATH}


@pytest.fixture
def gold(tmdb, row, tmp_path):
    """What solves the row: the replay of its gold path over the films."""
    [[(case, *_)], _] = run_replays("restbench", tmdb(row), tmp_path)
    return Replay(calls=list(case.gold[0]), answer=case.answer)


@pytest.fixture
def play(tmdb, row, tmp_path, gold):
    """A function: replay on one row with its gold calls changed; returns trajectory and values."""

    def run(change=lambda calls: calls, answer=None, protocol=Protocol.DIRECT, **options):
        calls = change(list(gold.calls))
        known = {"restbench/tmdb/0": Replay(calls=calls, answer=answer or gold.answer)}
        [[(case, trajectory, values)], facts] = run_replays(
            "restbench", tmdb(row), tmp_path, lambda _: known, protocol, **options
        )
        return case, trajectory, values, facts

    return run


def test_the_gold_path_succeeds(play):
    case, trajectory, values, facts = play()
    assert trajectory.success
    assert values == {"correct_path": 1.0, "correct_path_strict": 1.0, "answer_correct": 1.0}
    assert trajectory.labels == {
        "split": "unseen",
        "family": "2 calls",
        "observations": "film world 0",
    }
    assert facts == {"observations": "film world 0"}
    assert len(case.needed) == 2
    cast = json.loads(trajectory.steps[1].observation)["crew"]
    assert trajectory.answer in [card["name"] for card in cast]


def without_first(calls):
    return calls[1:]


def reversed_calls(calls):
    return calls[::-1]


def wrong_id(calls):
    return [calls[0], ToolCall(name=calls[1].name, arguments={"movie_id": 1})]


def with_detour(calls):
    other = calls[1].name.replace("credits", "reviews")
    return [calls[0], ToolCall(name=other, arguments=calls[1].arguments), calls[1]]


def twice(calls):
    return [*calls, calls[1]]


@pytest.mark.parametrize(
    ("change", "answer", "expected"),
    [
        (without_first, None, (0, 0, 1)),
        (reversed_calls, None, (0, 0, 1)),
        (wrong_id, None, (1, 0, 1)),  # the official metric asks for the path alone
        (with_detour, None, (1, 0, 1)),
        (twice, None, (1, 1, 1)),
        (lambda calls: [], None, (0, 0, 1)),
        (lambda calls: calls, "Ridley Scott", (1, 1, 0)),
    ],
)
def test_corrupted_replays(play, change, answer, expected):
    _, trajectory, values, _ = play(change, answer)
    assert tuple(values.values()) == expected
    assert trajectory.success is bool(expected[0])


def test_calls_of_the_trial_count_for_the_official_metric_alone(tmdb, row, gold, tmp_path):
    known = Replay(calls=list(gold.calls), answer=gold.answer)
    *calls, answer = turns(known, Protocol.DIRECT)
    policy = ScriptedPolicy([*calls, "<experience>they work</experience>", answer])

    async def work():
        benchmark = find_benchmark("restbench")
        source = Source(tmdb(row), benchmark.options(), tmp_path)
        async with benchmark.open_suite(source) as suite:
            [case] = suite.cases
            request = RolloutRequest(case.task)
            trajectory = await run_rollout(request, policy, Protocol.TRIAL, benchmark.limits)
            return trajectory, case.measure(trajectory)

    trajectory, values = asyncio.run(work())
    assert [step.phase for step in trajectory.calls()] == [Phase.TRIAL, Phase.TRIAL]
    assert all(step.error is None for step in trajectory.calls())
    assert values == {"correct_path": 1.0, "correct_path_strict": 0.0, "answer_correct": 1.0}
    assert not trajectory.success  # what a trial did is not what the session did


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("GET /tv/{tv_id}", "GET /tv/{tv_id}"),
        (" GET  /tv/{tv_id} ", "GET /tv/{tv_id}"),
        ("GET /tv/ {tv_id}", "GET /tv/{tv_id}"),
        ("get /search/movie/", "GET /search/movie"),
        ("GET /discover/tv?with_genres=18&sort_by=x", "GET /discover/tv"),
        ("GET /person/{movie_id}/movie_credits", "GET /person/{person_id}/movie_credits"),
        ("GET /persons/{person_id}/movie_credits", "GET /person/{person_id}/movie_credits"),
        ("GET /tv/{tv_id}/season/1", "GET /tv/{tv_id}/season/{season_number}"),
        ("GET /company/{company_id}/movies", None),
        ("POST /tv/{tv_id}", None),
        ("PUT /genre/movie/list", None),
        ("nonsense", None),
    ],
)
def test_what_a_gold_endpoint_means(tmdb, row, written, meant):
    document = load_document(find_document(tmdb(row)))
    assert Endpoints(document).find(written) == meant


def test_an_endpoint_that_is_not_there_counts_as_not_reached(tmdb, tmp_path):
    row = {"query": DIRECTOR, "solution": ["GET /search/movie", "GET /movie/{movie_id}/pets"]}
    replays = {"restbench/tmdb/0": Replay(calls=[], answer="x")}
    [[(case, _, values)], _] = run_replays("restbench", tmdb(row), tmp_path, lambda _: replays)
    assert values["correct_path"] == 0.0
    assert case.gold is None
    assert case.needed[1] == "GET /movie/{movie_id}/pets"


@pytest.mark.parametrize(("count", "shown"), [(None, 54), (10, 10), (1, 2), (99, 54)])
def test_how_many_tools_are_offered(play, count, shown):
    case, trajectory, values, _ = play(**({"offered": count} if count else {}))
    names = [tool["function"]["name"] for tool in trajectory.tools]
    assert len(names) == shown
    assert set(case.needed) <= set(names)
    assert values["correct_path"] == 1.0
    again = play(**({"offered": count} if count else {}))[1]
    assert again.tools == trajectory.tools


@pytest.mark.parametrize(
    ("calls", "gold", "contained"),
    [("axbyc", "abc", True), ("acb", "abc", False), ("ab", "aab", False), ("", "a", False)],
)
def test_subsequences(calls, gold, contained):
    assert contains_path(calls, gold) is contained


def test_recordings_give_the_observations_of_the_live_films(play, tmp_path):
    file = tmp_path / "films.jsonl"
    _, live, _, _ = play(recordings=file)
    _, again, values, facts = play(recordings=file, responses="recorded")
    assert [s.observation for s in again.steps] == [s.observation for s in live.steps]
    assert values["correct_path"] == 1.0
    assert "answer_correct" not in values  # recordings do not know what is right
    assert facts == {"observations": "recorded"}
    assert {line["source"] for line in read_lines(file)} == {"film world 0"}


def test_a_call_that_was_not_recorded_is_said(play, tmp_path, capsys):
    file = tmp_path / "films.jsonl"
    play(recordings=file)
    kept = file.read_text().splitlines()
    file.write_text(kept[0] + "\n")
    _, trajectory, _, facts = play(recordings=file, responses="recorded")
    assert trajectory.steps[1].observation == "error: no response to this call was recorded"
    assert facts["calls without a recording"] == "1"
    assert "1 calls have no recording" in capsys.readouterr().out
    assert len(read_lines(tmp_path / "misses.jsonl")) == 1


def test_a_simulator_answers_and_is_labelled(play, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    model = FakeModel(in_turn("ready", '{"error": null, "response": {"results": [{"id": 5}]}}'))
    with model.serve() as url:
        options = {"responses": "simulated", "simulator": "m", "simulator_url": url}
        _, trajectory, values, facts = play(**options)
        assert len(model.asked) == 3  # one to see that it is there
        play(**options)
        assert len(model.asked) == 4  # what was simulated once is not asked again
    assert trajectory.labels["observations"] == facts["observations"] == "simulated by m"
    assert values["correct_path"] == 1.0
    assert {r["source"] for r in read_lines(tmp_path / "simulated.jsonl")} == {"simulated by m"}


def test_a_live_service_with_credentials(tmdb, row, tmp_path, monkeypatch):
    """Spotify's kind of row: another document, writes, a key, and no film world."""
    seen = []

    def answer(path, body):
        seen.append((path, body))
        return 201, {"id": "p1"}

    with http_server(answer) as url:
        document = {
            "openapi": "3.0.0",
            "info": {"title": "songs", "version": "1"},
            "servers": [{"url": url}],
            "paths": operation("/users/{user_id}/playlists", "post", ["name"]),
        }
        (tmp_path / "spotify_oas.json").write_text(json.dumps(document))
        data = tmp_path / "spotify.json"
        path = "POST /users/{user_id}/playlists"
        data.write_text(json.dumps([{"query": "Make a list", "solution": [path]}]))
        monkeypatch.setenv("SPOTIFY_TOKEN", "t0ken-very-secret")
        [name] = [op.name for op in load_document(tmp_path / "spotify_oas.json").operations]
        call = ToolCall(name=name, arguments={"user_id": "me", "name": "x"})
        replays = {"restbench/spotify/0": Replay(calls=[call], answer="done")}
        options = {"responses": "live", "auth": ["bearer=SPOTIFY_TOKEN"]}
        [[(_, trajectory, values)], _] = run_replays(
            "restbench", data, tmp_path, lambda _: replays, Protocol.DIRECT, **options
        )
    assert trajectory.steps[0].observation == '{"id": "p1"}'
    assert values == {"correct_path": 1.0, "correct_path_strict": 1.0}
    assert seen[0][0] == "/users/me/playlists?name=x"
    with pytest.raises(ConfigError, match="the film world does not have POST /users"):
        run_replays("restbench", data, tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"responses": "recorded"}, ConfigError, "need options.recordings=FILE"),
        ({"responses": "simulated"}, ConfigError, "need options.simulator=MODEL"),
        ({"responses": "recorded", "recordings": "no.jsonl"}, InputError, "holds no recordings"),
        ({"auth": ["token"]}, ConfigError, "write it as KIND=VARIABLE"),
        ({"document": "no.json"}, InputError, "no.json"),
        ({"responses": "films!"}, ConfigError, "responses"),
    ],
)
def test_options_that_cannot_be(play, options, error, message):
    with pytest.raises(error, match=message) as failure:
        play(**options)
    assert "\n" not in str(failure.value)


def test_no_document_and_bad_rows(write, tmdb, row, tmp_path):
    lost = tmp_path / "elsewhere" / "moon.json"
    lost.parent.mkdir()
    lost.write_text("[]")
    with pytest.raises(ConfigError, match="no OpenAPI document in"):
        find_document(lost)
    data = tmdb(
        row, {"query": "", "solution": PATH}, {"query": "x"}, {"query": "x", "solution": []}
    )

    async def left_out():
        benchmark = find_benchmark("restbench")
        async with benchmark.open_suite(Source(data, benchmark.options(), tmp_path)) as suite:
            return len(suite.cases), [(item.row, item.field) for item in suite.left_out]

    assert asyncio.run(left_out()) == (1, [(1, "query"), (2, "solution"), (3, "solution")])


def test_the_gold_paths_of_the_sample(shared, tmp_path):
    data = shared("restbench/tmdb_sample.json")
    found, _ = run_replays("restbench", data, tmp_path)
    assert len(found) == 20
    assert all(trajectory.success for _, trajectory, _ in found)
    assert all(values["answer_correct"] == 1.0 for *_, values in found)
    assert sum(values["correct_path_strict"] for *_, values in found) == 19  # one needs a detour
    steps = [step for _, trajectory, _ in found for step in trajectory.calls()]
    assert all(step.error is None for step in steps)


def test_corrupted_gold_paths_of_the_sample_fail(shared, tmp_path):
    data = shared("restbench/tmdb_sample.json")

    def shortened(cases):
        """Without the calls of the last endpoint."""
        return {
            case.task.id: Replay(
                calls=[call for call in case.gold[0] if call.name != case.needed[-1]],
                answer="I do not know",
            )
            for case in cases
        }

    found, _ = run_replays("restbench", data, tmp_path, shortened)
    assert len(found) == 20
    assert not any(trajectory.success for _, trajectory, _ in found)
    assert not any(values["answer_correct"] for *_, values in found)


def test_recordings_of_the_sample(shared, tmp_path):
    data = shared("restbench/tmdb_sample.json")
    file = Path(tmp_path) / "films.jsonl"
    heard, _ = run_replays("restbench", data, tmp_path, recordings=file)
    known = {c.task.id: Replay(calls=list(c.gold[0]), answer=c.answer) for c, *_ in heard}
    options = {"recordings": file, "responses": "recorded"}
    again, facts = run_replays("restbench", data, tmp_path, lambda _: known, **options)
    assert facts == {"observations": "recorded"}
    for (_, first, _), (_, second, _) in zip(heard, again, strict=True):
        assert [s.observation for s in first.steps] == [s.observation for s in second.steps]
