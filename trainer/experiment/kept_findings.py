"""The findings of a whole experiment as they are kept: with where they come from, as a reader of the file sees them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.experiment.matrix import MatrixResult
from trainer.report.run_folder import write_json_file


def keep_findings(found: Mapping[str, Any], result: MatrixResult, command: Sequence[str], path: Path) -> dict[str, Any]:
    """Write what an experiment found, with its command, commits and date.

    Args:
        found: of the experiment.
        result: runs that it is from.
        command: words of the command line; of paths only the last part is kept.
        path: JSON file.

    Returns:
        The content of the file: null where nothing was measured.
    """
    origin = {
        "command": " ".join(Path(word).name for word in command),
        "commit": ", ".join(result.commits) or None,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    write_json_file(path, {**found, **origin})
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return kept
