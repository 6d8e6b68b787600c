import inspect
import subprocess
import sys

import quantrial.stats


def test_exported_members_are_sorted_documented_and_complete() -> None:
    names = quantrial.stats.__all__
    assert names == sorted(names)
    imported = {
        name
        for name, value in vars(quantrial.stats).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(names) == imported
    for name in names:
        value = getattr(quantrial.stats, name)
        if inspect.isfunction(value):
            for section in ("Args:", "Returns:", "Raises:"):
                assert section in (value.__doc__ or ""), (name, section)


def test_importing_the_statistics_stays_light() -> None:
    code = "import sys, quantrial.stats; print(*[m for m in sys.modules if 'scipy' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
