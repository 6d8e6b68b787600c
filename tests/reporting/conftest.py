from __future__ import annotations

import pytest

from reporting.trials import Trial, run_trial


@pytest.fixture(scope="session")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return run_trial(tmp_path_factory.mktemp("trial"))


@pytest.fixture(scope="session")
def documents(trial: Trial) -> dict[str, str]:
    return trial.render()
