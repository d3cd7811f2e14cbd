"""The audit: every check accepts the right answers and refuses the wrong ones, by every stage."""

import importlib
import inspect
import linecache
import multiprocessing
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from checks import Check, CheckFailed
from checks.audit import kept_verdicts
from checks.audit.answers import Answers, answers_to, audited
from checks.audit.mutants import mutants
from helpers import solution_markers

SEEDS = 3  # of the audit that tests run


@dataclass
class Verdict:
    """What one check did with all answers to its exercise.

    `alternatives` counts the right answers beside the reference, `refused_by` the refusals of each
    stage, and `idle` names the stages that refused nothing.
    """

    exercise: str
    name: str
    alternatives: int = 0
    mistakes: int = 0
    mutants: int = 0
    refused_right: list[str] = field(default_factory=list)
    accepted_wrong: list[str] = field(default_factory=list)
    refused_by: Counter = field(default_factory=Counter)
    idle: list[str] = field(default_factory=list)
    seconds: float = 0.0


def audit(lesson: str, processes: int = 2, seeds: int = SEEDS) -> list[Verdict]:
    """One verdict per exercise of the lesson, over the first `seeds` seeds.

    Each of the processes audits one exercise at a time; the checks themselves use one thread. A
    verdict over more seeds than usual is kept, and found again while nothing has changed.
    """
    numbers = range(len(audited(lesson)))
    judge = partial(_verdict_of, lesson, range(seeds))
    if processes == 1 or len(numbers) == 1:
        return [judge(number) for number in numbers]
    # Spawned, not forked: a fork of a process in which torch has run may hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        return list(pool.map(judge, numbers))


def _verdict_of(lesson: str, seeds: Sequence[int], number: int) -> Verdict:
    check = audited(lesson)[number]
    if len(seeds) <= SEEDS:
        return _verdict(check, answers_to(check), seeds)
    kept = kept_verdicts.load(check.id, len(seeds))
    if kept is None:
        found = _verdict(check, answers_to(check), seeds)
        kept_verdicts.save(check.id, len(seeds), vars(found))
        return found
    return Verdict(**{**kept, "refused_by": Counter(kept["refused_by"])})


def _verdict(check: Check, answers: Answers, seeds: Sequence[int]) -> Verdict:
    start = time.perf_counter()
    mutated = runnable_mutants(check, answers.equivalent_mutants)
    found = Verdict(check.id, check.name, len(answers.right), len(answers.wrong), len(mutated))
    for right in [check.reference_answer, *answers.right]:
        _expect_pass(check, right, found, seeds)
    _expect_unwritten(check, found)
    for title, answer in [*((_title(a), a) for a in answers.wrong), *mutated]:
        _expect_refusal(check, title, answer, found, seeds)
    found.idle = [stage for stage in check.stages if not found.refused_by[stage]]
    found.seconds = time.perf_counter() - start
    return found


def _expect_pass(check: Check, answer: object, verdict: Verdict, seeds: Sequence[int]) -> None:
    for seed in seeds:
        try:
            check(answer, seed=seed)
        except CheckFailed as failed:
            verdict.refused_right.append(f"{check.id} {_title(answer)}, seed {seed}: {failed}")


def _expect_unwritten(check: Check, verdict: Verdict) -> None:
    state = "passed"
    try:
        check(stub_of(check), seed=0)
    except CheckFailed as failed:
        state = failed.state
    if state != "unwritten":
        verdict.accepted_wrong.append(f"{check.id}: the empty stub is {state}, not unwritten")


def _expect_refusal(
    check: Check, title: str, answer: object, verdict: Verdict, seeds: Sequence[int]
) -> None:
    for seed in seeds:
        try:
            check(answer, seed=seed)
            verdict.accepted_wrong.append(f"{check.id} {title}, seed {seed}")
        except CheckFailed as failed:
            verdict.refused_by[failed.stage or "signature"] += 1


def _title(answer: object) -> str:
    return getattr(answer, "__name__", repr(answer))


def runnable_mutants(check: Check, equivalent: Collection[str]) -> list[tuple[str, object]]:
    """The mutants of a check's reference by their descriptions, without the equivalent ones."""
    return [
        (mutant.description, _defined(check, mutant.source, f"<mutant {i} of {check.name}>"))
        for i, mutant in enumerate(mutants(reference_file(check), check.name))
        if mutant.description not in equivalent
    ]


def stub_of(check: Check) -> object:
    """The exercise as a learner first meets it."""
    path = reference_file(check)
    source = solution_markers.source_of(path.read_text(encoding="utf-8"), check.name)
    return _defined(check, solution_markers.stub(source), f"<stub of {check.name}>")


def reference_file(check: Check) -> Path:
    """The file that defines the reference of a check."""
    module = importlib.import_module(check.reference_answer.__module__)
    return Path(inspect.getfile(module))


def _defined(check: Check, source: str, file: str) -> object:
    """What `source` defines in place of the reference, with its text where tracebacks look."""
    module = importlib.import_module(check.reference_answer.__module__)
    names = dict(vars(module), __name__=file)
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), names)
    return names[check.name]


def summary(verdicts: list[Verdict]) -> dict:
    """The numbers of a lesson's audit, as `--json` prints them."""
    return {
        "exercises": len(verdicts),
        "alternatives": sum(v.alternatives for v in verdicts),
        "refused_right": [line for v in verdicts for line in v.refused_right],
        "mistakes": sum(v.mistakes for v in verdicts),
        "mutants": sum(v.mutants for v in verdicts),
        "accepted_wrong": [line for v in verdicts for line in v.accepted_wrong],
        "seconds": round(sum(v.seconds for v in verdicts), 1),
    }


def table(verdicts: list[Verdict]) -> str:
    """One row per exercise, then one line per failure."""
    rows = [["exercise", "right", "refused", "wrong", "mutants", "accepted", "seconds"]]
    for v in verdicts:
        counts = 1 + v.alternatives, len(v.refused_right), v.mistakes, v.mutants
        cells = *counts, len(v.accepted_wrong), f"{v.seconds:.1f}"
        rows.append([f"{v.exercise} {v.name}", *map(str, cells)])
    lines = ["{:28}{:>8}{:>9}{:>8}{:>9}{:>10}{:>9}".format(*row) for row in rows]
    for v in verdicts:
        lines += [f"refused, and right: {line}" for line in v.refused_right]
        lines += [f"accepted, and wrong: {line}" for line in v.accepted_wrong]
        lines += [f"never refuses anything: {v.exercise}, stage {stage}" for stage in v.idle]
    return "\n".join(lines)


def clean(verdicts: list[Verdict]) -> bool:
    """Whether no exercise has a failure, and each at least 3 alternatives and 8 mistakes."""
    return all(
        not (v.refused_right or v.accepted_wrong or v.idle)
        and v.alternatives >= 3
        and v.mistakes >= 8
        for v in verdicts
    )
