"""Words that cannot rot: generated pages are current, examples run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

import quantrial
from quantrial.cli import app
from quantrial.study import parse_study
from studies import write_study

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def _generated() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    documents: dict[Path, str] = module.documents()
    return documents


def test_generated_pages_are_current() -> None:
    for path, text in _generated().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_study_in_the_quickstart_is_one() -> None:
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    block = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0]
    assert parse_study(block).study == "mine"


def test_the_python_in_the_quickstart_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    block = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    write_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "quickstart.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Under your constraints, ship ")


def test_the_example_in_the_package_docstring_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quantrial.__doc__ is not None
    block = quantrial.__doc__.split("\n\n    import quantrial", 1)[1]
    code = "import quantrial" + re.sub(r"\n {4}", "\n", block)
    write_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "__init__.py", "exec"), {})


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_commands_in_the_docs_are_commands(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = re.findall(r"^ {4}(?:\.venv/bin/)?quantrial (.*)$", text, re.MULTILINE)
    assert lines
    from typer.main import get_command

    root = get_command(app)
    for line in lines:
        words = shlex.split(line, comments=True)
        command = root
        while words and hasattr(command, "commands") and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command is not root, line
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_every_test_that_the_page_of_faults_names_is_there() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    paths = [*(ROOT / "tests").rglob("test_*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in paths)
    names = {path.name for path in paths} | set(re.findall(r"def (test_\w+)\(", code))
    named = re.findall(r"`(test_\w+(?:\.py)?)`", page)
    assert len(named) > 30
    assert set(named) <= names
