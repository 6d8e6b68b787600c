"""What holds for every test."""

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

from build_once import build_once
from drawings import FOLDER, draw_nothing, share_drawings

# a slow machine is no failure: timings stand in benchmarks/
for profile, count in (("quantrial", 30), ("soak", 1000)):
    settings.register_profile(
        profile,
        deadline=None,
        max_examples=count,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("quantrial")
build_once()


@pytest.fixture(scope="session", autouse=True)
def _drawings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Draw each plot once, for all workers of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "drawings"
    folder.mkdir(exist_ok=True)
    os.environ[FOLDER] = str(folder)  # for commands in processes of their own
    share_drawings(folder)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the drawing where a test reads nothing but the words of a report."""
    draw_nothing(monkeypatch)


# files of few tests that take long: begun first, so that no worker is left with one at the end
_LONG = {
    "test_newcomer.py",
    "test_studies_over_engines.py",
    "test_other_processors.py",
    "test_demo.py",
    "test_faults.py",
    "test_terminal.py",
    "test_cli.py",
    "test_power_command.py",
    "test_degenerate.py",
    "test_mixtures.py",
    "test_allowed_code.py",
    "test_verification_files.py",
    "test_misbehaving_servers.py",
    "test_operating_characteristics.py",
    "test_ollama_exchanges.py",
    "test_ollama_studies.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; a file's tests stay together and in their order."""
    items.sort(key=lambda item: item.path.name not in _LONG)


def pytest_collection_finish() -> None:
    """Spare the collector of garbage ten thousand tests and all modules, which stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores: some tests wait, for servers and other processes."""
    return (os.cpu_count() or 1) + 1
