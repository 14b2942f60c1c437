"""scikit-learn's own checks of the estimators."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="scikit-learn of the extra sklearn is not installed")

import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(estimator_checks.ESTIMATORS)  # type: ignore[untyped-decorator]
def test_check(estimator: Any, check: Any) -> None:
    check(estimator)


def test_checks_of_arrays_of_other_libraries() -> None:
    """In a process of their own: SciPy must be told before it is imported."""
    program = Path(__file__).with_name("estimator_checks.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), "array_api"],
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ": 0 passed" not in done.stdout
