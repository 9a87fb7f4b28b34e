"""A film service that runs anywhere: TMDB's operations over an invented, seeded film world."""

from toolmaster.benchmarks.films.server import serve, transport
from toolmaster.benchmarks.films.service import FilmService
from toolmaster.benchmarks.films.world import FilmWorld

__all__ = ["FilmService", "FilmWorld", "serve", "transport"]
