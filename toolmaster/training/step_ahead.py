"""Samples the rollouts of the next step while this one is trained on.

The rollouts of a step are then those of weights that are one step old.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from toolmaster.system import processes

Result = TypeVar("Result")


class StepAhead(Generic[Result]):
    """One step of rollouts that is sampled in a thread.

    Args:
        rows: the candidates of all groups of the training, in order.
        iterations: the number of optimizer steps on the same rollouts.
    """

    def __init__(self, rows: Sequence[str], iterations: int) -> None:
        self._rows, self._iterations = list(rows), iterations
        self._pool = ThreadPoolExecutor(1, "rollouts")
        self._begun: tuple[list[str], Future[Result]] | None = None

    def start(self, rows: Sequence[str], step: int, work: Callable[[list[str]], Result]) -> None:
        """Begin the step after this one; does nothing after the last step.

        Args:
            rows: the rows of this process in this step.
            step: the optimizer step.
            work: samples the rollouts of some rows.
        """
        together = len(rows) * processes.count()
        first = step // self._iterations * together
        places = list(range(first, min(first + together, len(self._rows))))
        following = []
        for row in rows:  # each process has some of the rows, always at the same places
            own = next((place for place in places if self._rows[place] == row), None)
            if own is None or own + together >= len(self._rows):
                return
            places.remove(own)
            following.append(self._rows[own + together])
        self._begun = (following, self._pool.submit(work, following))

    def take(self, rows: Sequence[str]) -> Result | None:
        """Wait for what was begun; None if that were other rows.

        Raises:
            Exception: whatever sampling them raised.
        """
        begun, self._begun = self._begun, None
        if begun is None:
            return None
        result = begun[1].result()
        return result if begun[0] == list(rows) else None

    def close(self, cancel: Callable[[], None]) -> None:
        """End what was begun.

        Args:
            cancel: makes the work end soon; called again until it has.
        """
        begun, self._begun = self._begun, None
        while begun is not None and not begun[1].cancel() and not begun[1].done():
            cancel()
            try:
                begun[1].exception(timeout=0.05)
            except TimeoutError:
                continue
        self._pool.shutdown()
