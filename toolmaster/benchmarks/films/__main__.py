"""`python -m toolmaster.benchmarks.films`: serve the film world until it is interrupted."""

from __future__ import annotations

import argparse
import sys

from toolmaster.benchmarks.films.server import BASE, make_server
from toolmaster.benchmarks.films.service import FilmService
from toolmaster.benchmarks.films.world import FilmWorld
from toolmaster.errors import ToolmasterError


def main() -> int:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m toolmaster.benchmarks.films", description=__doc__
    )
    parser.add_argument("--port", type=int, default=8080, help="0 takes any that is free")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another world")
    arguments = parser.parse_args()
    try:
        server = make_server(FilmService(FilmWorld(arguments.seed)), arguments.port)
    except ToolmasterError as error:
        print(f"toolmaster: {error}", file=sys.stderr)
        return error.exit_code
    address = f"http://127.0.0.1:{server.server_port}{BASE}"
    print(f"film world {arguments.seed} at {address}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
