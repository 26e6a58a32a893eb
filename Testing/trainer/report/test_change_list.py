"""Pages of published figures say what was corrected on them."""

from __future__ import annotations

import json
from pathlib import Path

from trainer.report.change_list import change_list


def test_the_newest_changes_come_first_and_each_is_a_point_of_a_list(tmp_path: Path) -> None:
    content = {"2026-01-02": ["old"], "2026-03-04": ["new", "newer"]}
    (tmp_path / "changes-transfer.json").write_text(json.dumps(content), encoding="utf-8")
    expected = "## What changed\n\n2026-03-04:\n\n- new\n- newer\n\n2026-01-02:\n\n- old\n"
    assert change_list(tmp_path, "transfer.md") == expected


def test_a_page_without_changes_has_no_such_section(tmp_path: Path) -> None:
    assert change_list(tmp_path, "transfer.md") == ""
