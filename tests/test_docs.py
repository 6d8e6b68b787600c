"""Words that cannot rot: generated pages are current, examples run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import doc_commands
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


def test_the_python_of_its_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "python.md", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("candidate − reference: −18.0 pp")
    assert said[1].startswith("worse (")
    # all 60 answers of f16 are right; what q4_0 says is a matter of the prompt's hash
    assert said[2].startswith(("Ship q4_0.", "Stay with f16."))
    assert said[-1].split()[0] in ("f16", "q4_0")
    assert names["found"].comparison("sums").arms["f16"].estimate == 1.0
    assert names["found"]._repr_html_().count("<table>") == 2


def test_the_example_in_the_package_docstring_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert quantrial.__doc__ is not None
    block = quantrial.__doc__.split("\n\n    import quantrial", 1)[1]
    code = "import quantrial" + re.sub(r"\n {4}", "\n", block)
    write_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "__init__.py", "exec"), {})


def _check_quantrial(command: doc_commands.Command) -> None:
    """Hold a command of quantrial, and its options, against those that there are."""
    from typer.main import get_command

    found: Any
    found = root = get_command(app)
    words = shlex.split(command.arguments, comments=True)
    while words and words[0] in getattr(found, "commands", ()):
        found = found.commands[words.pop(0)]
    assert found is not root, str(command)
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known, str(command)


def _check_make(command: doc_commands.Command) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{command.arguments.split()[0]}:", makefile, re.MULTILINE), str(command)


def _check_pip(command: doc_commands.Command) -> None:
    _, *words = shlex.split(command.arguments)
    name = words[-1]
    assert command.arguments.startswith("install "), str(command)
    if extra := re.fullmatch(r"\.\[(\w+)\]", name):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        assert extra[1] in project["project"]["optional-dependencies"], str(command)
    else:
        assert (ROOT / name / "pyproject.toml").is_file(), str(command)


def _check_python(command: doc_commands.Command) -> None:
    name, *words = shlex.split(command.arguments)
    if name == "-m":
        return  # a package of others; its block says what it needs
    code = (ROOT / name).read_text(encoding="utf-8")
    for option in (word for word in words if word.startswith("-")):
        assert f'"{option}"' in code, f"{command} has no {option}"


_CHECKS = {
    "quantrial": _check_quantrial,
    "make": _check_make,
    "pip": _check_pip,
    "python": _check_python,
}


@pytest.mark.parametrize("page", doc_commands.PAGES, ids=lambda p: p.name)
def test_commands_in_the_docs_are_commands(page: Path) -> None:
    for command in [*doc_commands.commands(page), *doc_commands.inline(page)]:
        assert set(command.needs) <= doc_commands.NEEDS, str(command)
        if command.program in _CHECKS:
            _CHECKS[command.program](command)
        else:
            assert "server" in command.needs, f"{command}: a program of others"


def test_commands_are_found_with_what_they_need() -> None:
    found = [one for page in doc_commands.PAGES for one in doc_commands.commands(page)]
    assert sum(one.program == "quantrial" for one in found) > 30
    assert {need for one in found for need in one.needs} == {"hub", "server"}


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_keys_in_the_docs_are_keys(page: Path) -> None:
    whole = {
        "study": "a",
        "seed": 1,
        "tasks": {"t": {"kind": "choice", "workload": "w", "source": {"type": "bundled"}}},
    }
    other = {"other": {"model": "a.gguf"}}
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        study = whole | yaml.safe_load(block)
        study = (
            {"reference": "other"}
            | study
            | {"arms": other | study.get("arms", {"a": {"model": "b"}})}
        )
        parse_study(yaml.safe_dump(study, sort_keys=False))


def test_every_test_that_the_page_of_faults_names_is_there() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    paths = [*(ROOT / "tests").rglob("test_*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in paths)
    names = {path.name for path in paths} | set(re.findall(r"def (test_\w+)\(", code))
    named = re.findall(r"`(test_\w+(?:\.py)?)`", page)
    assert len(named) > 30
    assert set(named) <= names
