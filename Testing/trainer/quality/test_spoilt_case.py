"""Every kind of artefact and every severity has its turn, in as many patients as there are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from trainer.layout.case import Case
from trainer.ood.fault.artefact import ARTEFACT_KINDS, PLANAR_ARTEFACT_KINDS, SEVERITIES
from trainer.quality.spoilt_case import planned_faults

CASES = [Case(str(number), Path(f"{number}.nii.gz"), None, str(number)) for number in range(7)]


@pytest.mark.parametrize("is_planar", [True, False])
def test_three_turns_hold_every_kind_in_every_severity_and_all_cases_alike(is_planar: bool) -> None:
    kinds = PLANAR_ARTEFACT_KINDS if is_planar else ARTEFACT_KINDS
    planned = planned_faults(CASES, 3 * len(kinds), is_planar, np.random.default_rng(0))
    assert {(fault.kind, fault.severity) for _, fault in planned} == {(k, s) for k in kinds for s in SEVERITIES}
    assert max(Counter(case.name for case, _ in planned).values()) <= -(-3 * len(kinds) // len(CASES))
    assert {fault.kind for _, fault in planned[: len(kinds)]} == set(kinds)


def test_the_same_seed_plans_the_same_faults_and_another_one_others() -> None:
    one, same, other = (planned_faults(CASES, 20, False, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert planned_faults(CASES, 0, False, np.random.default_rng(1)) == []
