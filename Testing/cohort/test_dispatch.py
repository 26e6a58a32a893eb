"""Every case ends once, whatever happens to its workers; never more at once than there are workers."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from MultiTaskSegLib.cohort.dispatch import DEATHS_IN_A_ROW, Dispatch, WorkerEvent
from MultiTaskSegLib.cohort.result.case_outcome import CaseOutcome
from MultiTaskSegLib.cohort.result.case_record import CaseRecord
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.runtime.errors import ResourceError

Script = Callable[[int, Case, int], WorkerEvent]
CASES = [Case(f"case{number}", Path(f"{number}.nii")) for number in range(12)]


def does(worker: int, case: Case, attempt: int) -> WorkerEvent:
    return WorkerEvent(worker, CaseOutcome(CaseRecord(case.identity, "", attempts=attempt)))


def fails(worker: int, _case: Case, _attempt: int) -> WorkerEvent:
    return WorkerEvent(worker, CaseOutcome(reason="dark"))


def dies(worker: int, _case: Case, _attempt: int) -> WorkerEvent:
    return WorkerEvent(worker, death="killed")


class PretendedPool:
    """Workers that follow a script; one event at a time, in the order of a seed."""

    def __init__(self, script: Script, ready: Callable[[int], WorkerEvent] = WorkerEvent, seed: int = 0) -> None:
        self.script, self.ready, self.random = script, ready, random.Random(seed)
        self.events: list[WorkerEvent] = []
        self.started: list[int] = []
        self.handed: dict[str, list[int]] = defaultdict(list)
        self.busy: set[int] = set()
        self.most_busy = 0

    def start(self, worker: int) -> None:
        assert worker not in self.started
        self.started.append(worker)
        self.events.append(self.ready(worker))

    def hand(self, worker: int, case: Case, attempt: int) -> None:
        assert worker not in self.busy
        self.busy.add(worker)
        self.most_busy = max(self.most_busy, len(self.busy))
        self.handed[case.identity].append(worker)
        self.events.append(self.script(worker, case, attempt))

    def wait(self) -> list[WorkerEvent]:
        if not self.events:
            return []
        event = self.events.pop(self.random.randrange(len(self.events)))
        self.busy.discard(event.worker)
        return [event]


class Heard:
    """What a run says of its cases."""

    def __init__(self) -> None:
        self.finished: list[str] = []
        self.tries: list[tuple[str, int, str]] = []
        self.failures: dict[str, tuple[int, str]] = {}

    def done(self, case: Case, record: CaseRecord) -> None:
        assert record.case == case.identity
        self.finished.append(case.identity)

    def tried(self, case: Case, attempt: int, reason: str) -> None:
        self.tries.append((case.identity, attempt, reason))

    def failed(self, case: Case, attempts: int, reason: str) -> None:
        assert case.identity not in self.failures
        self.failures[case.identity] = (attempts, reason)

    def waited(self, workers: int) -> None:
        assert workers >= 0


def names(cases: list[Case]) -> list[str]:
    return [case.identity for case in cases]


def test_each_case_is_done_once_by_as_many_workers_as_were_asked_for():
    pool, heard = PretendedPool(does), Heard()
    Dispatch(pool, CASES, heard, workers=3).run()
    assert sorted(heard.finished) == sorted(names(CASES))
    assert (len(pool.started), pool.most_busy) == (3, 3)


def test_no_more_workers_are_started_than_there_are_cases():
    pool = PretendedPool(does)
    Dispatch(pool, CASES[:2], Heard(), workers=8).run()
    assert len(pool.started) == 2


def test_a_case_that_fails_is_tried_again_with_other_workers_and_then_recorded():
    def script(worker: int, case: Case, attempt: int) -> WorkerEvent:
        return (fails if case is CASES[0] else does)(worker, case, attempt)

    pool, heard = PretendedPool(script), Heard()
    Dispatch(pool, CASES, heard, workers=3, retries=2).run()
    assert heard.failures == {"case0": (3, "dark")}
    assert heard.tries == [("case0", 1, "dark"), ("case0", 2, "dark")]
    assert len(set(pool.handed["case0"])) == 3
    assert sorted(heard.finished) == sorted(names(CASES[1:]))


def test_a_single_worker_gets_a_failed_case_again():
    heard = Heard()
    Dispatch(PretendedPool(fails), CASES[:1], heard, workers=1, retries=1).run()
    assert heard.failures == {"case0": (2, "dark")}


def test_a_case_that_failed_is_not_kept_for_a_worker_that_never_comes():
    """As on a cluster with fewer processors than workers, or one of whose machines is lost."""

    class Small(PretendedPool):
        waits = 0

        def start(self, worker: int) -> None:
            super().start(worker)
            if worker:
                self.events.pop()

        def wait(self) -> list[WorkerEvent]:
            self.waits += 1
            assert self.waits < 100, "it waits for ever"
            return super().wait()

    pool, heard = Small(lambda *given: (fails if given[1] is CASES[0] else does)(*given)), Heard()
    Dispatch(pool, CASES[:3], heard, workers=2).run()
    assert heard.failures == {"case0": (3, "dark")}
    assert sorted(heard.finished) == ["case1", "case2"]


def test_a_worker_that_dies_is_replaced_and_its_case_done_by_another():
    def script(worker: int, case: Case, attempt: int) -> WorkerEvent:
        return (dies if worker == 0 else does)(worker, case, attempt)

    pool, heard = PretendedPool(script), Heard()
    Dispatch(pool, CASES, heard, workers=2).run()
    assert sorted(heard.finished) == sorted(names(CASES))
    ((name, attempt, reason),) = heard.tries
    assert attempt == 1
    assert pool.handed[name][0] == 0
    assert reason == "the worker ended in the middle of it (killed)"
    assert len(pool.started) == 3


def test_what_no_other_case_would_survive_ends_the_run_and_leaves_what_is_done():
    def script(worker: int, case: Case, attempt: int) -> WorkerEvent:
        if case is CASES[5]:
            return WorkerEvent(worker, CaseOutcome(reason="cannot write (No space left on device).", is_general=True))
        return does(worker, case, attempt)

    heard = Heard()
    with pytest.raises(ResourceError, match=r"ended early: cannot write.*finished stays"):
        Dispatch(PretendedPool(script), CASES, heard).run()
    assert heard.finished == names(CASES[:5])


def test_a_worker_that_refuses_ends_the_run_before_any_case():
    pool = PretendedPool(does, lambda worker: WorkerEvent(worker, refusal="the model is damaged."))
    with pytest.raises(ResourceError, match="no case can be done: the model is damaged"):
        Dispatch(pool, CASES, Heard()).run()
    assert not pool.handed


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_that_die_again_and_again_end_the_run(workers: int):
    starting = PretendedPool(does, lambda worker: WorkerEvent(worker, death="out of memory"))
    working = PretendedPool(dies)
    for pool in (starting, working):
        with pytest.raises(ResourceError, match="workers ended one after the other"):
            Dispatch(pool, CASES, Heard(), workers=workers, retries=0).run()
        assert len(pool.started) <= DEATHS_IN_A_ROW * workers + workers


def test_a_few_cases_that_kill_every_worker_do_not_end_the_run():
    poison = CASES[1::3]

    def script(worker: int, case: Case, attempt: int) -> WorkerEvent:
        return (dies if case in poison else does)(worker, case, attempt)

    heard = Heard()
    Dispatch(PretendedPool(script), CASES, heard, retries=3).run()
    assert set(heard.failures) == set(names(poison))
    assert sorted(heard.finished) == sorted(set(names(CASES)) - set(names(poison)))


@pytest.mark.parametrize("seed", range(50))
def test_whatever_happens_each_case_ends_once(seed: int):
    chance = random.Random(seed)
    attempts: Counter[str] = Counter()

    def script(worker: int, case: Case, attempt: int) -> WorkerEvent:
        attempts[case.identity] += 1
        assert attempt == attempts[case.identity]
        return chance.choices([does, fails, dies], [6, 2, 1])[0](worker, case, attempt)

    pool, heard = PretendedPool(script, seed=seed), Heard()
    workers, retries = chance.randint(1, 4), chance.randint(0, 3)
    Dispatch(pool, CASES, heard, workers, retries).run()
    assert sorted([*heard.finished, *heard.failures]) == sorted(names(CASES))
    assert max(attempts.values()) <= retries + 1
    assert all(attempts[name] == retries + 1 for name in heard.failures)
    assert pool.most_busy <= workers
