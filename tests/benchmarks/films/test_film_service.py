"""The film service: the document's shapes, ids that lead on, consistency, TMDB's errors."""

import json
import random
from pathlib import Path

import pytest

from toolmaster.benchmarks.films import FilmService, FilmWorld
from toolmaster.benchmarks.films.operations import OPERATIONS
from toolmaster.benchmarks.films.world import TODAY

DOCUMENT = Path(__file__).parents[3].parent / "shared" / "data" / "restbench" / "tmdb_oas.json"


SEARCHED = {
    "/search/collection": "star wars",
    "/search/company": "pictures",
    "/search/movie": "titanic",
    "/search/person": "tom hanks",
    "/search/tv": "friends",
}


@pytest.fixture(scope="module")
def service():
    return FilmService(FilmWorld())


@pytest.fixture(scope="module")
def ids(service):
    """A value for each path parameter."""
    world = service.world
    blanchett = next(p.id for p in world.people.values() if p.name == "Cate Blanchett")
    collection = next(iter(world.collections.values()))
    television = next(c.id for c in world.credits.values() if c.media_type == "tv")
    return {
        "movie_id": collection.parts[0],
        "tv_id": next(iter(world.series)),
        "person_id": blanchett,
        "season_number": 1,
        "episode_number": 1,
        "company_id": next(iter(world.companies)),
        "network_id": next(iter(world.networks)),
        "collection_id": collection.id,
        "credit_id": television,
        "review_id": next(iter(world.reviews)),
        "media_type": "movie",
        "time_window": "week",
    }


@pytest.fixture
def get(service):
    """A function: the body of an answer that must be 200."""

    def run(path, **query):
        status, body = service.get(path, query)
        assert status == 200, (path, body)
        return body

    return run


def differences(body, example, path=""):
    """Where two bodies have other fields or types; lists are compared by their first items."""
    if isinstance(body, dict) and isinstance(example, dict):
        for key in body.keys() ^ example.keys():
            yield f"{path}.{key}"
        for key in body.keys() & example.keys():
            yield from differences(body[key], example[key], f"{path}.{key}")
    elif isinstance(body, list) and isinstance(example, list):
        if body and example:
            yield from differences(body[0], example[0], f"{path}[]")
    elif body is not None and example is not None:
        number = isinstance(body, int | float) and isinstance(example, int | float)
        if type(body) is not type(example) and not number:
            yield f"{path}: {type(body).__name__} for {type(example).__name__}"


def test_every_operation_has_the_shape_of_the_document(service, ids):
    if not DOCUMENT.is_file():
        pytest.skip(f"needs {DOCUMENT}, which is not part of the project")
    document = json.loads(DOCUMENT.read_text())
    assert set(document["paths"]) == set(OPERATIONS)
    assert len(OPERATIONS) == 54
    for path, item in document["paths"].items():
        response = item["get"]["responses"]["200"]["content"]["application/json"]
        example = next(iter(response["examples"].values()))["value"]
        status, body = service.get(path.format(**ids), {"query": SEARCHED.get(path, "")})
        assert status == 200, path
        if path != "/tv/latest":  # its example is older than that of /tv/{tv_id}
            assert not list(differences(body, example)), path


def test_the_same_seed_is_the_same_world_and_another_is_not():
    first, second = FilmService(FilmWorld(3)), FilmService(FilmWorld(3))
    assert first.get("/movie/popular", {}) == second.get("/movie/popular", {})
    assert first.get("/movie/popular", {}) != FilmService(FilmWorld(4)).get("/movie/popular", {})


def test_a_chain_of_ids(get):
    [found] = get("/search/person", query="cate blanchett")["results"]
    films = get(f"/person/{found['id']}/movie_credits")["cast"]
    cast = get(f"/movie/{films[0]['id']}/credits")["cast"]
    mine = next(card for card in cast if card["id"] == found["id"])
    assert mine["credit_id"] == films[0]["credit_id"]
    detail = get(f"/credit/{mine['credit_id']}")
    assert detail["person"] == {"name": "Cate Blanchett", "id": found["id"]}
    assert detail["media"]["title"] == films[0]["title"]


def test_credits_are_the_same_from_both_sides(service, get):
    """For a sample of people: each of their titles lists exactly the credits that they list."""
    people = random.Random(1).sample(sorted(service.world.people), 25)
    seen = 0
    for person in people:
        for kind in ("movie", "tv"):
            body = get(f"/person/{person}/{kind}_credits")
            for side in ("cast", "crew"):
                for entry in body[side]:
                    detail = get(f"/credit/{entry['credit_id']}")
                    assert detail["media"]["id"] == entry["id"]
                    assert detail["credit_type"] == side
                    if kind == "movie":
                        cards = get(f"/movie/{entry['id']}/credits")[side]
                        assert person in {card["id"] for card in cards}
                    seen += 1
    assert seen > 100


def test_series_seasons_and_episodes_agree(service, get):
    number = next(s.id for s in service.world.series.values() if s.name == "Breaking Bad")
    detail = get(f"/tv/{number}")
    counts = []
    for card in detail["seasons"]:
        season = get(f"/tv/{number}/season/{card['season_number']}")
        counts.append(len(season["episodes"]))
        assert (season["id"], len(season["episodes"])) == (card["id"], card["episode_count"])
        episode = season["episodes"][-1]
        path = f"/tv/{number}/season/{card['season_number']}/episode/{len(season['episodes'])}"
        assert get(path) == episode
        directors = {c["id"] for c in episode["crew"] if c["job"] == "Director"}
        crew = get(f"/tv/{number}/season/{card['season_number']}/credits")["crew"]
        assert directors <= {c["id"] for c in crew if c["job"] == "Director"}
    assert sum(counts) == detail["number_of_episodes"]
    assert len(counts) == detail["number_of_seasons"]


def test_a_collection_and_its_parts_know_each_other(get):
    [found] = get("/search/collection", query="star wars")["results"]
    parts = get(f"/collection/{found['id']}")["parts"]
    assert len(parts) == 3
    assert parts == sorted(parts, key=lambda part: part["release_date"])
    for part in parts:
        assert get(f"/movie/{part['id']}")["belongs_to_collection"]["id"] == found["id"]


def test_pages_partition_the_results(get):
    first = get("/movie/popular")
    pages = [get("/movie/popular", page=str(n)) for n in range(1, first["total_pages"] + 1)]
    found = [movie["id"] for page in pages for movie in page["results"]]
    assert len(found) == len(set(found)) == first["total_results"]
    assert get("/movie/popular", page=str(first["total_pages"] + 1))["results"] == []


def test_what_is_on_today(get):
    today = {series["id"] for series in get("/tv/airing_today")["results"]}
    week = {series["id"] for series in get("/tv/on_the_air")["results"]}
    assert today
    assert today < week
    for number in week - today:
        due = get(f"/tv/{number}")["next_episode_to_air"]
        assert due["air_date"] > TODAY.isoformat()
    window = get("/movie/now_playing")["dates"]
    for movie in get("/movie/now_playing")["results"]:
        assert window["minimum"] <= movie["release_date"] <= window["maximum"]


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ({"with_genres": "18"}, lambda movie: 18 in movie["genre_ids"]),
        ({"with_genres": "18,35"}, lambda movie: {18, 35} <= set(movie["genre_ids"])),
        ({"with_genres": "18|35"}, lambda movie: {18, 35} & set(movie["genre_ids"])),
        ({"without_genres": "18,35"}, lambda movie: not {18, 35} & set(movie["genre_ids"])),
        ({"vote_average.gte": "7.5"}, lambda movie: movie["vote_average"] >= 7.5),
        ({"primary_release_year": "1999"}, lambda movie: movie["release_date"][:4] == "1999"),
        (
            {"primary_release_date.gte": "2000-01-01", "primary_release_date.lte": "2009-12-31"},
            lambda movie: "2000" <= movie["release_date"] < "2010",
        ),
        ({"with_original_language": "ja"}, lambda movie: movie["original_language"] == "ja"),
    ],
)
def test_discover_filters(get, query, holds):
    found = get("/discover/movie", **query)
    assert 0 < found["total_results"] < get("/discover/movie")["total_results"]
    assert all(holds(movie) for movie in found["results"])


def test_discover_by_people_certificate_and_order(service, get, ids):
    person = ids["person_id"]
    films = {movie["id"] for movie in get(f"/person/{person}/movie_credits")["cast"]}
    found = get("/discover/movie", with_cast=str(person))["results"]
    assert {movie["id"] for movie in found} == films
    mild = get("/discover/movie", **{"certification_country": "US", "certification.lte": "PG"})
    for movie in mild["results"]:
        dates = get(f"/movie/{movie['id']}/release_dates")["results"]
        own = next(entry for entry in dates if entry["iso_3166_1"] == "US")
        assert own["release_dates"][0]["certification"] in ("G", "PG")
    ranked = get("/discover/movie", sort_by="vote_average.asc")["results"]
    rated = [movie["vote_average"] for movie in ranked]
    assert rated == sorted(rated)
    running = get("/discover/tv", with_status="0", sort_by="first_air_date.desc")["results"]
    assert all(get(f"/tv/{show['id']}")["status"] == "Returning Series" for show in running)


def test_more_in_one_response(get, ids):
    body = get(f"/movie/{ids['movie_id']}", append_to_response="credits,images,nonsense")
    assert body["credits"] == get(f"/movie/{ids['movie_id']}/credits")
    assert "nonsense" not in body


@pytest.mark.parametrize(
    ("path", "query", "status", "message"),
    [
        ("/movie/1", {}, 404, "could not be found"),
        ("/movie/titanic/credits", {}, 404, "could not be found"),
        ("/movie/²", {}, 404, "could not be found"),
        ("/tv/1/season/9", {}, 404, "could not be found"),
        ("/nothing/here", {}, 404, "could not be found"),
        ("/trending/book/day", {}, 404, "could not be found"),
        ("/search/movie", {}, 422, "query must be provided"),
        ("/movie/popular", {"page": "0"}, 422, "page must be"),
        ("/movie/popular", {"page": "-1"}, 422, "page must be"),
        ("/discover/movie", {"vote_average.gte": "good"}, 422, "cannot be used"),
        ("/discover/movie", {"sort_by": "beauty.desc"}, 422, "sort_by: 'beauty'"),
        ("/discover/tv", {"first_air_date.gte": "soon"}, 422, "cannot be used"),
    ],
)
def test_errors(service, path, query, status, message):
    answer = service.get(path, query)
    assert answer.status == status
    assert message in json.dumps(answer.body)
    if status == 404:
        assert answer.body["status_code"] == 34
        assert answer.body["success"] is False


def test_a_search_passes_over_articles_and_finds_nothing_for_nonsense(get):
    assert [r["name"] for r in get("/search/tv", query="Witcher")["results"]] == ["The Witcher"]
    assert get("/search/tv", query="the witcher")["results"][0]["name"] == "The Witcher"
    assert get("/search/movie", query="zzz")["results"] == []
    avatars = [movie["title"] for movie in get("/search/movie", query="Avatar")["results"]]
    assert avatars == ["Avatar", "Avatar: The Way of Water"]
