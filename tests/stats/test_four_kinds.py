"""Every public statistic has evidence of the four kinds, each in a test that calls it.

A test is counted for a function where its name begins with `test_<function>_<kind>`, or with a
subject of `TOGETHER` that the function belongs to, and where it or a helper in its file uses it.
"""

import ast
import inspect
from pathlib import Path

import pytest

import quantrial.stats

KINDS = ("by_hand", "against_reference", "against_simulation", "property")

# one test for several functions that answer one question alike
TOGETHER = {
    "proportion_intervals": ("clopper_pearson", "wilson"),
    "cluster_plans": ("cluster_power", "clusters_for_spread", "detectable_over_clusters"),
    "planned_items": (
        "items_for_difference",
        "items_for_equivalence",
        "items_for_non_inferiority",
    ),
}

FUNCTIONS = [
    name for name in quantrial.stats.__all__ if inspect.isfunction(getattr(quantrial.stats, name))
]


# where an `against_reference` test takes its values from: other software, stored values, a paper's
OTHERS = {"scipy", "statsmodels", "z_of", "reference"}  # the last is the folder of stored values
STORED = "_values"  # fixtures that read it
# tests that write a paper's formula or procedure out
WRITTEN_OUT = {
    "test_fixed_sequence_against_reference_of_its_decisions",
    "test_in_clusters_against_reference_variance_between_and_within",
    "test_worst_case_against_reference_horowitz_and_manski",
}


def names_in(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Constant):
            found |= {"reference"} if node.value == "reference" else set()
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= packages_of(node)
    return found


def packages_of(node: ast.ImportFrom | ast.Import) -> set[str]:
    names = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
    )
    return {name.split(".")[0] for name in names}


def uses_by_test(path: Path) -> dict[str, set[str]]:
    """Map each test of a file to every name that it, or a part of the file it names, uses."""
    parts: dict[str, set[str]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            parts[node.name] = names_in(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            parts |= {one: names_in(node) for target in targets for one in names_in(target)}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            parts |= {one.asname or one.name: packages_of(node) for one in node.names}
    reached = {}
    for name in parts:
        if not name.startswith("test_"):
            continue
        used, todo = set[str](), [name]
        while todo:
            new = parts[todo.pop()] - used
            used |= new
            todo += [one for one in new if one in parts]
        reached[name] = used
    return reached


EVIDENCE = [
    one for path in sorted(Path(__file__).parent.glob("*.py")) for one in uses_by_test(path).items()
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_public_statistic_has_a_test_of_each_kind(function: str, kind: str) -> None:
    subjects = [function, *(one for one, members in TOGETHER.items() if function in members)]
    starts = tuple(f"test_{subject}_{kind}" for subject in subjects)
    found = [name for name, used in EVIDENCE if name.startswith(starts) and function in used]
    assert found, f"no test that calls {function} is named {' or '.join(starts)}..."


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_reference_is_somebody_elses(function: str) -> None:
    # what is compared with quantrial itself is a property
    own = [
        name
        for name, used in EVIDENCE
        if name.startswith(f"test_{function}_against_reference") and name not in WRITTEN_OUT
        if not used & OTHERS and not any(one.endswith(STORED) for one in used)
    ]
    assert not own
