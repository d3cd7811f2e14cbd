"""Grades a class: several learners at once, each as it comes, and goes on where it stopped."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from checks.learner import remembered
from checks.learner.class_report.kept import Kept
from checks.learner.class_report.rows import Graded
from checks.learner.class_report.submissions import Submission
from checks.learner.class_report.watched import Rules, Stopped, graded


@dataclass(frozen=True)
class Class:
    """The learners, how each is graded, how many at once, and the folder that keeps results."""

    submissions: Sequence[Submission]
    rules: Rules
    processes: int
    folder: Path

    def grade(self, say: Callable[[str], None]) -> list[Graded]:
        """Everybody's grades in order, or of those that were done when `rules.stop` was set.

        `say` is told a line for each learner. Whoever had been graded before is not graded again.
        """
        kept = Kept(self.folder, _rules(self.rules))
        done = {s.learner: g for s in self.submissions if (g := kept.find(s)) is not None}
        left = [s for s in self.submissions if s.learner not in done]
        if done:
            say(f"{len(done)} of {len(self.submissions)} were graded before and have not changed.")
        for submission, result in self._results(left):
            done[result.learner] = result
            say(f"{len(done)} of {len(self.submissions)} · {_said(result)}")
            try:
                kept.keep(submission, result)
            except OSError as error:
                say(f"This is not kept for another run: {error}.")
        return [done[s.learner] for s in self.submissions if s.learner in done]

    def _results(self, left: Sequence[Submission]) -> Iterator[tuple[Submission, Graded]]:
        """Each as it is ready; once it is stopped, those that are at work end without a result."""
        with ThreadPoolExecutor(self.processes) as pool:
            running = {pool.submit(graded, s, self.rules): s for s in left}
            while running and not self.rules.stop.is_set():
                ready = wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done
                yield from _finished({future: running.pop(future) for future in ready})
            pool.shutdown(wait=True, cancel_futures=True)
        yield from _finished(running)


def _finished(
    ended: Mapping[Future[Graded], Submission],
) -> Iterator[tuple[Submission, Graded]]:
    """The results of those that were not stopped before they had one."""
    for future, submission in ended.items():
        if not future.cancelled() and not isinstance(future.exception(), Stopped):
            yield submission, future.result()


def _rules(rules: Rules) -> str:
    """What a grade depends on beside the notebooks: the course's code, and what is allowed."""
    course = remembered.digest([], "", {})
    return json.dumps([course, rules.seed, rules.seconds, rules.memory])


def _said(result: Graded) -> str:
    passed = sum(row.done for row in result.rows)
    stops = f", stops at {result.stops_at.exercise}" if result.stops_at else ""
    return (
        f"{result.learner}: {passed} of {len(result.rows)} passed{stops} ({result.seconds:.0f} s)"
    )
