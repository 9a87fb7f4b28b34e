"""RestBench: gold endpoints as written, the correct-path rate, and what answers the calls."""

import json

import pytest
from fake_endpoint import http_server

from toolmaster.errors import ConfigError, InputError
from toolmaster.evaluation.evaluate import evaluate
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.replay import Replay, call_turn
from toolmaster.tasksets.restbench import meant_tool, walked
from toolmaster.tools.openapi import load_document
from toolmaster.types import ErrorKind, ToolCall

QUERY = "Who is the director of the movie Inception?"
PATH = ["GET /search/movie", "GET /movie/{movie_id}/credits"]
PLACES = (
    "/search/movie",
    "/search/tv",
    "/movie/{movie_id}",
    "/movie/{movie_id}/credits",
    "/movie/{movie_id}/reviews",
    "/tv/{tv_id}",
    "/tv/{tv_id}/season/{season_number}",
    "/person/{person_id}/movie_credits",
    "/discover/tv",
    "/genre/movie/list",
)
SEARCH, CREDITS, REVIEWS = "get_search_movie", "get_movie_credits", "get_movie_reviews"
GOOD = [(SEARCH, {"query": "Inception"}), (CREDITS, {"movie_id": 27205})]
DETOUR = (REVIEWS, {"movie_id": 27205})


def operation(path, method="get", query=(), name=None):
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = [
        {"name": n, "in": "path", "required": True, "schema": {"type": "integer"}} for n in names
    ] + [{"name": name, "in": "query", "schema": {"type": "string"}} for name in query]
    fixed = [part for part in path.split("/") if part and not part.startswith("{")]
    about = {
        "operationId": name or "_".join([method, *fixed]),
        "parameters": parameters,
        "responses": {"200": {"description": "ok"}},
    }
    return {path: {method: about}}


def recorded(tool, arguments):
    """A line of a file of recordings."""
    return json.dumps({"tool": tool, "arguments": arguments, "result": {"from": tool}}) + "\n"


@pytest.fixture
def tmdb(write):
    """A function: a file of rows, beside a document of a service like TMDB."""
    paths = {}
    for place in PLACES:
        query = ["query"] if place.startswith("/search") else []
        paths |= operation(place, query=query)
    document = {
        "openapi": "3.0.0",
        "info": {"title": "films", "version": "3"},
        "servers": [{"url": "https://films.invalid/3"}],
        "paths": paths,
    }
    write("tmdb_oas.json", document)
    return lambda *rows: write("tmdb.json", list(rows))


@pytest.fixture
def load(tmdb, tmp_path):
    """A function: the task set of rows, one gold path where none are given, on recordings."""

    def run(*rows, **options):
        file = tmp_path / "recordings.jsonl"
        file.write_text("".join(recorded(*call) for call in [*GOOD, DETOUR]))
        usual = {"document": tmp_path / "tmdb_oas.json", "responses": "recorded"}
        if options.get("responses", "recorded") == "recorded":
            usual["recordings"] = file
        given = {**usual, **options}
        words = [f"{key}={value}" for key, value in given.items() if value is not None]
        path = tmdb(*(rows or [{"query": QUERY, "solution": PATH}]))
        return taskset(" ".join([f"restbench:{path}", *words]))

    return run


@pytest.fixture
def played(load, play, replay):
    """A function: the trajectory of calls replayed on one row."""

    def run(*calls, answer="Christopher Nolan", protocol=Protocol.DIRECT, **options):
        known = {"restbench/tmdb/0": replay(*calls, answer=answer)}
        [trajectory] = play(load(**options), known, protocol)
        return trajectory

    return run


def test_the_gold_path_succeeds_on_recordings(load, played):
    trajectory = played(*GOOD)
    assert trajectory.steps[1].observation == '{"from": "get_movie_credits"}'
    score = trajectory.score
    assert (score.success, score.value) == (True, 1.0)
    parts = {"correct_path": 1.0, "correct_path_strict": 1.0, "unrecorded_calls": 0}
    assert score.parts == parts
    assert score.expected == f"answered calls of {SEARCH}, {CREDITS}, in this order"
    assert trajectory.labels == {"family": "2 calls", "observations": "recorded"}
    tasks = load()
    assert tasks.facts["observations"] == "recorded"
    assert (tasks[0].needed, tasks[0].isolation()) == ((SEARCH, CREDITS), Isolation.FRESH)
    assert tasks.limits.max_turns == 20


@pytest.mark.parametrize(
    ("calls", "answer", "expected"),
    [
        # value, success, correct path, strict
        (GOOD[1:], "x", (0, False, 0, 0)),
        (GOOD[:1], "x", (0.5, False, 0, 0)),
        (GOOD[::-1], "x", (0.5, False, 0, 0)),
        ([GOOD[0], DETOUR, GOOD[1]], "x", (1, True, 1, 0)),
        ([*GOOD, GOOD[1]], "x", (1, True, 1, 1)),
        (GOOD, "", (1, True, 1, 0)),
        ([GOOD[0], (CREDITS, {"movie_id": "x"})], "x", (0.5, False, 1, 0)),
    ],
)
def test_other_paths(played, calls, answer, expected):
    score = played(*calls, answer=answer).score
    correct = (score.parts["correct_path"], score.parts["correct_path_strict"])
    assert (score.value, score.success, *correct) == expected


def test_what_a_trial_called_counts_officially_only(load):
    calls = [ToolCall(name=name, arguments=arguments) for name, arguments in GOOD]
    turns = [*map(call_turn, calls), "<experience>x</experience>", "<answer>x</answer>"]
    [trajectory] = evaluate(ScriptedPolicy(turns), load()).trajectories
    assert all(step.error is None for step in trajectory.calls())
    score = trajectory.score
    assert (score.value, score.success) == (0.0, False)
    assert (score.parts["correct_path"], score.parts["correct_path_strict"]) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("GET /tv/{tv_id}", "get_tv"),
        (" GET  /tv/{tv_id} ", "get_tv"),
        ("GET /tv/ {tv_id}", "get_tv"),
        ("get /search/movie/", SEARCH),
        ("GET /discover/tv?with_genres=18&sort_by=x", "get_discover_tv"),
        ("GET /person/{movie_id}/movie_credits", "get_person_movie_credits"),
        ("GET /persons/{person_id}/movie_credits", "get_person_movie_credits"),
        ("GET /tv/{tv_id}/season/1", "get_tv_season"),
        ("GET /company/{company_id}/movies", None),
        ("POST /tv/{tv_id}", None),
        ("PUT /genre/movie/list", None),
        ("nonsense", None),
    ],
)
@pytest.mark.usefixtures("tmdb")
def test_what_a_gold_endpoint_means(tmp_path, written, meant):
    document = load_document(tmp_path / "tmdb_oas.json")
    assert meant_tool(written, document) == (meant or written)


def test_an_endpoint_that_is_not_there_counts_as_not_reached(load, play, replay):
    lost = "GET /movie/{movie_id}/pets/{pet_id}"
    tasks = load({"query": QUERY, "solution": [PATH[0], lost]})
    [trajectory] = play(tasks, {"restbench/tmdb/0": replay(GOOD[0])}, Protocol.DIRECT)
    assert (trajectory.score.value, trajectory.score.success) == (0.5, False)
    assert tasks[0].needed == (SEARCH, lost)


@pytest.mark.parametrize(("count", "shown"), [(None, 10), (4, 4), (1, 2), (99, 10)])
def test_how_many_tools_are_offered(load, count, shown):
    tasks = [load(**({"offered": count} if count else {})) for _ in range(2)]
    names = [tuple(t[0].make_tools().names()) for t in tasks]
    assert names[0] == names[1]
    assert len(names[0]) == shown
    assert {SEARCH, CREDITS} <= set(names[0])


@pytest.mark.parametrize(
    ("calls", "gold", "steps"),
    [("axbyc", "abc", 3), ("acb", "abc", 2), ("ab", "aab", 1), ("", "a", 0), ("bc", "abc", 0)],
)
def test_steps_of_a_path(calls, gold, steps):
    assert walked(calls, gold) == steps


def test_a_live_service_with_credentials(tmp_path, play, replay, monkeypatch):
    """Spotify's kind of row: another document, writes and a key."""
    seen = []

    def answer(path, body):
        seen.append((path, body))
        return 201, {"id": "p1"}

    with http_server(answer) as url:
        document = {
            "openapi": "3.0.0",
            "info": {"title": "songs", "version": "1"},
            "servers": [{"url": url}],
            "paths": operation("/users/{user_id}/playlists", "post", ["name"], "make_list"),
        }
        (tmp_path / "spotify_oas.json").write_text(json.dumps(document))
        data = tmp_path / "spotify.json"
        row = {"query": "Make a list", "solution": ["POST /users/{user_id}/playlists"]}
        data.write_text(json.dumps([row]))
        monkeypatch.setenv("SPOTIFY_TOKEN", "t0ken-very-secret")
        kept = tmp_path / "kept.jsonl"
        options = (
            f"document={tmp_path}/spotify_oas.json auth=bearer=SPOTIFY_TOKEN recordings={kept}"
        )
        tasks = taskset(f"restbench:{data} {options}")
        call = ("make_list", {"user_id": 7, "name": "x"})
        known = {"restbench/spotify/0": replay(call)}
        [trajectory] = play(tasks, known, Protocol.DIRECT)
        policy = ScriptedPolicy([call_turn(ToolCall(name=call[0], arguments=call[1]))] * 20)
        [tried] = evaluate(policy, tasks).trajectories
    assert trajectory.steps[0].observation == '{"id": "p1"}'
    assert trajectory.success
    assert tried.steps[0].error is ErrorKind.NOT_EXECUTED
    assert tasks[0].isolation() is Isolation.SHARED
    assert [path for path, _ in seen] == ["/users/7/playlists?name=x"]
    assert json.loads(kept.read_text())["result"] == {"id": "p1"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"recordings": "no.jsonl"}, InputError, "no.jsonl: no recorded"),
        ({"responses": "live", "auth": "token"}, ConfigError, "write it as KIND=VARIABLE"),
        ({"responses": "live", "auth": "bearer=NO_SUCH"}, InputError, "NO_SUCH"),
        ({"document": "no.json"}, InputError, "no.json"),
        ({"responses": "films"}, ConfigError, "responses: Input should be 'live', 'recorded'"),
        ({"offered": 0}, ConfigError, "offered: Input should be greater than 0"),
    ],
)
def test_options_that_cannot_be(load, options, error, message):
    with pytest.raises(error, match=message) as failure:
        load(**options)
    assert "\n" not in str(failure.value)


def test_rows_that_cannot_be_used(load):
    good = {"query": QUERY, "solution": PATH}
    tasks = load(good, {**good, "query": ""}, {"query": "x"}, {"query": "x", "solution": []})
    left_out = [(item.row, item.field) for item in tasks.left_out]
    assert (len(tasks), left_out) == (1, [(1, "query"), (2, "solution"), (3, "solution")])


def test_the_gold_paths_of_the_sample(shared, play, calls_of, tmp_path):
    """Calls along each gold path succeed where they are recorded, and fail with one dropped."""
    file, document = (shared(f"restbench/{name}") for name in ("tmdb_sample.json", "tmdb_oas.json"))
    named = f"restbench:{file} document={document} responses=recorded recordings="
    (tmp_path / "one.jsonl").write_text(recorded("none", {}))
    tasks = taskset(f"{named}{tmp_path / 'one.jsonl'}")
    known = {task.id: calls_of(task) for task in tasks}
    lines = [recorded(call.name, call.arguments) for calls in known.values() for call in calls]
    (tmp_path / "all.jsonl").write_text("".join(lines))
    tasks = taskset(f"{named}{tmp_path / 'all.jsonl'}")
    assert (len(tasks), len(tasks.left_out)) == (20, 0)
    replays = {task_id: Replay(calls=calls, answer="x") for task_id, calls in known.items()}
    good = play(tasks, replays)
    assert all(t.success and t.score.parts["correct_path_strict"] == 1.0 for t in good)
    assert all(step.error is None for t in good for step in t.calls())
    for replay in replays.values():
        replay.calls.pop()
    assert not any(t.success for t in play(tasks, replays))
