"""The house style where a machine can see it: docstrings, sizes, ruff, mypy, nothing of one machine in the files."""
from __future__ import annotations

import ast
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from tree import PACKAGES, ROOT, parsed, sources, tracked

MOST_LINES, AIM = 500, 150
HOSTS = {"127.0.0.1", "opennebula.org", "docs.opennebula.org", "www.w3.org", "www.apache.org", "libvirt.org",
         "github.com", "example.org", "example.com"}
"""What URLs in the project may point to, besides names without a dot."""
FOREIGN = ("/" + "work/", "/" + "root/onecore", "." + "internal", "arti" + "factory", "pypi." + "org/simple")
BANNER = re.compile(r"^\s*#\s*([-=#*~])\1{5,}")
LEFT = re.compile(r"#.*\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
NAMELESS = {"utils", "util", "common", "helpers", "helper", "misc", "manager2"}
TEXT = {".py", ".md", ".toml", ".cfg", ".conf", ".sh", ".service", ".txt", ".json", ".yaml", ""}


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _public(node: ast.AST, path: str = "") -> Iterator[tuple[Definition, str]]:
    """Functions and classes without `_`, with those of public classes; not what stands inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition) and not child.name.startswith("_"):
            yield child, f"{path}{child.name}"
            if isinstance(child, ast.ClassDef):
                yield from _public(child, f"{child.name}.")


def _needs_none(node: ast.AST) -> bool:
    """Overrides and properties of protocols say it where they are first declared."""
    marks = {ast.unparse(d).split(".")[-1] for d in getattr(node, "decorator_list", [])}
    body = getattr(node, "body", [])
    stub = len(body) == 1 and isinstance(body[0], ast.Expr) and getattr(body[0].value, "value", None) is Ellipsis
    return bool(marks & {"overload", "override", "setter"}) or stub


def test_modules_say_what_lives_in_them() -> None:
    """Each has a docstring."""
    assert [str(p.relative_to(ROOT)) for p in sources(*PACKAGES, "tests") if p.stat().st_size
            and not ast.get_docstring(parsed(p))] == []


def test_public_functions_and_classes_have_a_docstring() -> None:
    """In all packages."""
    missing = [f"{p.relative_to(ROOT)}:{node.lineno} {name}"
               for p in sources(*PACKAGES) for node, name in _public(parsed(p))
               if not ast.get_docstring(node) and not _needs_none(node)]
    assert missing == []


def test_signatures_are_typed_without_any_bare_function() -> None:
    """mypy does the rest; this one is quick and names the function."""
    missing = [f"{p.relative_to(ROOT)}:{n.lineno} {n.name}" for p in sources(*PACKAGES) for n in ast.walk(parsed(p))
               if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.returns is None]
    assert missing == []


def test_files_are_not_too_long() -> None:
    """500 lines at most; over 150 is worth a thought, so a warning."""
    lines = {str(p.relative_to(ROOT)): p.read_text().count("\n") for p in sources(*PACKAGES, "tests")}
    long = {name: count for name, count in lines.items() if count > AIM and not name.startswith("tests/")}
    if long:
        warnings.warn(f"{len(long)} files over {AIM} lines, the longest: "
                      + ", ".join(sorted(long, key=lambda n: -long[n])[:5]), stacklevel=1)
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_names_say_something() -> None:
    """No dumping grounds."""
    assert [str(p) for p in sources(*PACKAGES) if set(p.relative_to(ROOT).with_suffix("").parts) & NAMELESS] == []


def _lines() -> Iterator[tuple[Path, int, str]]:
    for path in tracked():
        if path.suffix in TEXT and path != Path(__file__):
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                yield path.relative_to(ROOT), number, line


def test_nothing_of_one_machine() -> None:
    """No paths of somebody's checkout, no package mirrors."""
    assert [f"{p}:{n}: {line.strip()[:80]}" for p, n, line in _lines() for word in FOREIGN if word in line] == []


def test_urls_point_to_public_places() -> None:
    """Only to those that are listed here."""
    found = {(host.rstrip("."), str(p)) for p, n, line in _lines()
             for host in re.findall(r"https?://([A-Za-z0-9._-]+)", line)}
    assert sorted((host, where) for host, where in found if "." in host and host not in HOSTS) == []


def test_no_banners_and_nothing_left_undone() -> None:
    """Comments say why, not what is missing."""
    assert [f"{p}:{n}" for p, n, line in _lines() if p.suffix == ".py" and p.parts[0] != "bench"
            and (BANNER.search(line) or LEFT.search(line))] == []


def _run(*command: str) -> None:
    if not (Path(sys.executable).parent / command[0]).exists():
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], cwd=ROOT, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_live_tests_are_where_run_tests_looks_for_them() -> None:
    """It reads only some directories for them, since reading all takes seconds in each of its processes."""
    line = next(line for line in (ROOT / "run-tests.sh").read_text().splitlines() if line.startswith("live_tests()"))
    read = [ROOT / name for name in re.findall(r"tests/\w+", line)]
    marked = [path for path in sources("tests") if "mark.live" in path.read_text() and path != Path(__file__)]
    assert marked and [path for path in marked if path.parent not in read] == []


def test_ruff() -> None:
    """`ruff check`, with the settings in pyproject.toml."""
    _run("ruff", "check", ".")


def test_mypy() -> None:
    """`mypy --strict` over the packages."""
    _run("mypy")
