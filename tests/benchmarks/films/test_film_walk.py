"""Walking gold paths over the film service, and what a right answer says."""

import pytest

from toolmaster.benchmarks.films import FilmService, FilmWorld
from toolmaster.benchmarks.films.asked import Expected, expected
from toolmaster.benchmarks.films.walk import LostError, other_walks, walk


@pytest.fixture(scope="module")
def service():
    return FilmService(FilmWorld())


@pytest.fixture
def go(service):
    """A function: the walks of a query and what its answer should say."""

    def run(query, *paths):
        walks = walk(service, query, paths)
        return walks, expected(query, walks, other_walks(service, query, paths))

    return run


def test_the_director_of_a_film(go, service):
    query = "Who is the director of Inception?"
    [stops], right = go(query, "/search/movie", "/movie/{movie_id}/credits")
    assert stops[0].arguments == {"query": "Inception"}
    assert stops[1].arguments == {"movie_id": stops[0].body["results"][0]["id"]}
    [director] = [c["name"] for c in stops[1].body["crew"] if c["job"] == "Director"]
    assert right.met_by(f"It was {director.upper()}!")
    assert not right.met_by("It was Ridley Scott.")
    assert not right.met_by(None)


def test_a_detour_where_the_path_leaves_a_call_out(go):
    query = "Where is the headquarter of the company that created the collection Star Wars?"
    paths = ("/search/collection", "/collection/{collection_id}", "/company/{company_id}")
    [stops], right = go(query, *paths)
    assert [stop.path for stop in stops] == [*paths[:2], "/movie/{movie_id}", paths[2]]
    assert right.met_by(stops[-1].body["headquarters"])


def test_two_things_compared(go):
    query = "Who has an earlier release date, Barbie or Mulholland Drive?"
    walks, right = go(query, "/search/movie", "/movie/{movie_id}")
    dates = {w[-1].body["title"]: w[-1].body["release_date"] for w in walks}
    first = min(dates, key=dates.get)
    [other] = dates.keys() - {first}
    assert right.met_by(first)
    assert not right.met_by(other)


def test_numbers_of_seasons_and_episodes(go):
    path = "/tv/{tv_id}/season/{season_number}/episode/{episode_number}"
    for query in (
        "What did the third episode of the second season of Westworld talk about?",
        "Tell me about season 2, episode 3 of Westworld",
    ):
        [stops], _ = go(query, "/search/tv", path)
        assert stops[-1].arguments["season_number"] == 2
        assert stops[-1].arguments["episode_number"] == 3


def test_any_of_several_will_do(go, service):
    query = "tell me the cast of a TV show on the air"
    _, right = go(query, "/tv/on_the_air", "/tv/{tv_id}/credits")
    shows = service.get("/tv/on_the_air", {}).body["results"]
    for show in shows[:5]:
        cast = service.get(f"/tv/{show['id']}/credits", {}).body["cast"]
        assert right.met_by(f"It stars {cast[0]['name']}.")


def test_the_latest_title_of_a_person(go):
    query = "give me some reviews of Cate Blanchett's latest TV show"
    paths = ("/search/person", "/person/{person_id}/tv_credits", "/tv/{tv_id}/reviews")
    [stops], right = go(query, *paths)
    shows = [*stops[1].body["cast"], *stops[1].body["crew"]]
    newest = max(shows, key=lambda show: show["first_air_date"])
    assert stops[2].arguments == {"tv_id": newest["id"]}
    assert right.met_by(stops[2].body["results"][0]["content"])


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("latest movie", "release_date"),
        ("movie most recently", "release_date"),
        ("highest rated movie", "vote_average"),
        ("most popular movie", "popularity"),
    ],
)
def test_a_title_of_a_person_who_directs(go, words, value):
    query = f"What is the {words} directed by Christopher Nolan?"
    [stops], right = go(query, "/search/person", "/person/{person_id}/movie_credits")
    films = sorted(stops[1].body["crew"], key=lambda film: film[value])
    assert right.met_by(films[-1]["title"])
    assert not any(right.met_by(film["title"]) for film in films[:-1])


def test_the_crew_of_an_episode(go):
    query = "Who directed the second episode of the first season of Westworld?"
    season = "/tv/{tv_id}/season/{season_number}"
    _, right = go(query, "/search/tv", f"{season}/credits")
    assert right is None  # a season has more directors than an episode
    [stops], right = go(query, "/search/tv", f"{season}/episode/{{episode_number}}/credits")
    directors = [card["name"] for card in stops[-1].body["crew"] if card["job"] == "Director"]
    assert right.met_by(" and ".join(directors))
    query = "Who directed the first season of Westworld?"
    [stops], right = go(query, "/search/tv", f"{season}/credits")
    directors = [card["name"] for card in stops[-1].body["crew"] if card["job"] == "Director"]
    assert right.met_by(", ".join(directors))
    assert not right.met_by(directors[0])


@pytest.mark.parametrize(
    ("query", "paths", "reason"),
    [
        ("Who directed the film?", ["/search/movie"], "names nothing for /search/movie"),
        ("Reviews?", ["/movie/{movie_id}/reviews"], "no response holds a movie"),
        (
            "Season 99 of Friends",
            ["/search/tv", "/tv/{tv_id}/season/{season_number}"],
            "answers 404",
        ),
    ],
)
def test_paths_that_lead_nowhere(service, query, paths, reason):
    with pytest.raises(LostError, match=reason):
        walk(service, query, paths)


def test_no_rule_is_no_expectation(go):
    _, right = go("Show me some English movies", "/discover/movie")
    assert right is None
    paths = ("/search/person", "/person/{person_id}/movie_credits")
    _, right = go("Movies featuring Cate Blanchett and directed by Christopher Nolan?", *paths)
    assert right is None
    _, right = go("Which older movie was directed by Christopher Nolan?", *paths)
    assert right is None


@pytest.mark.parametrize(
    ("answer", "met"),
    [
        ("No, they are not.", True),
        ("Christopher Nolan made both.", False),  # "no" is not in Nolan
        ("https://image.tmdb.org/t/p/w500/a1.jpg? no", True),
    ],
)
def test_whole_words_count(answer, met):
    assert Expected((("no",),)).met_by(answer) is met


def test_nothing_says_a_value_without_text():
    assert not Expected((("",),)).met_by("A homepage.")
    assert Expected((("", "yes"),)).met_by("Yes.")


def test_dates_in_several_spellings_and_every_group():
    right = Expected((("1999-10-12", "October 12, 1999"), ("2001-05-01", "1 May 2001")))
    assert right.met_by("october 12, 1999 and 1 May 2001")
    assert not right.met_by("October 12, 1999")
    assert right.text() == "1999-10-12, 2001-05-01"
    assert Expected((("/a1.jpg",),)).met_by("see https://image.tmdb.org/t/p/w500/a1.jpg")
