"""The journal only grows, survives a torn line, and knows what failed last."""

from __future__ import annotations

from pathlib import Path

from MultiTaskSegLib.cohort.result.journal import DONE, FAILED, JOURNAL_FILE, TRIED, Journal, entries, failures


def test_what_failed_last_is_known_in_the_next_run(tmp_path: Path):
    journal = Journal(tmp_path)
    journal.add(TRIED, case="a", attempt=1, reason="once")
    journal.add(FAILED, case="a", attempts=3, reason="broken")
    journal.add(FAILED, case="b", attempts=3, reason="dark")
    journal.close()
    later = Journal(tmp_path)
    later.add(DONE, case="b")
    later.add(FAILED, case="\udcff", attempts=1, reason="no text")
    later.close()
    assert failures(tmp_path) == {"a": ("broken", 3), "\udcff": ("no text", 1)}
    assert len(entries(tmp_path)) == 5


def test_a_line_that_was_torn_spoils_no_other(tmp_path: Path):
    journal = Journal(tmp_path)
    journal.add(FAILED, case="a", attempts=1, reason="x")
    journal.close()
    path = tmp_path / JOURNAL_FILE
    path.write_bytes(path.read_bytes() + b'{"event": "fail')
    later = Journal(tmp_path)
    later.add(FAILED, case="b", attempts=1, reason="y")
    later.close()
    assert set(failures(tmp_path)) == {"a", "b"}
