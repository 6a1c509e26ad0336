"""The layers of docs/architecture.md: who may import whom, and the one home of each third-party package."""
from __future__ import annotations

import ast
import re
import sys

import pytest
from tree import PACKAGES, ROOT, imports, inside, module, parsed, sources

LAYERS = (("wire",), ("errors", "config", "log"), ("pool",), ("auth",), ("lifecycle",), ("api",), ("kinds",),
          ("request",), ("app",), ("__main__",))
"""Of onecore, low to high; what stands together may not import each other either, except inside one package."""
RANK = {f"onecore.{name}": rank for rank, names in enumerate(LAYERS) for name in names}

HOMES = {
    "sqlalchemy": ("onecore.pool",), "psycopg": ("onecore.pool",),
    "argon2": ("onecore.auth",), "ldap3": ("onecore.auth",), "cryptography": ("onecore.auth",),
    "lxml": ("onecore.wire", "drivers.vm.domain"),
    "uvicorn": ("onecore.request", "onecore.__main__"), "uvloop": ("onecore.__main__",),
    "apscheduler": ("onecore.lifecycle.calendar",), "paramiko": ("drivers.ssh",),
    "libvirt": ("drivers.vm",), "libvirt_qemu": ("drivers.vm",),
    "numpy": ("scheduler",),
    "click": ("cli",), "rich": ("cli",), "yaml": ("cli",),
}
"""Third-party package -> the modules that may import it."""


def _layer(name: str) -> str | None:
    return next((layer for layer in RANK if inside(name, layer)), None)


def _upward() -> list[str]:
    found = []
    for path in sources("onecore"):
        own = _layer(module(path))
        for line, target in imports(path):
            theirs = _layer(target)
            if own and theirs and own != theirs and RANK[theirs] >= RANK[own]:
                found.append(f"{path.relative_to(ROOT)}:{line} imports {target}")
    return found


def test_every_part_of_onecore_has_a_layer() -> None:
    """A new module says where it stands before it is used."""
    assert [str(p) for p in sources("onecore") if _layer(module(p)) is None and module(p) != "onecore"] == []


def test_no_layer_imports_a_higher_one() -> None:
    """Not even inside a function."""
    assert _upward() == []


@pytest.mark.parametrize("package", ["drivers", "scheduler", "cli"])
def test_the_others_know_only_the_wire(package: str) -> None:
    """drivers, scheduler and cli share onecore.wire and the version with the core, and nothing with each other."""
    allowed = (package, "onecore.wire", "onecore.__version__", "onecore.API_VERSION")
    wrong = [f"{path.relative_to(ROOT)}:{line} imports {target}" for path in sources(package)
             for line, target in imports(path)
             if inside(target, "onecore") or target.split(".")[0] in PACKAGES
             if not any(inside(target, home) for home in allowed) and target != "onecore"]
    assert wrong == []


def test_the_core_imports_none_of_the_others() -> None:
    """They are processes of their own."""
    others = set(PACKAGES) - {"onecore"}
    assert [f"{p}:{line}" for p in sources("onecore") for line, t in imports(p) if t.split(".")[0] in others] == []


def test_third_party_packages_stay_at_home() -> None:
    """Whoever replaces one finds all of it in one place."""
    wrong = []
    for path in sources(*PACKAGES):
        for line, target in imports(path):
            name = target.split(".")[0]
            if name in sys.stdlib_module_names or name in PACKAGES:
                continue
            if not any(inside(module(path), home) for home in HOMES.get(name, ())):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {target}")
    assert wrong == []


def test_what_runs_on_a_host_needs_nothing_but_an_old_python() -> None:
    """drivers.hand is sent to hosts: the standard library and itself, in what Python 3.9 understands."""
    wrong = []
    for path in sources("drivers/hand"):
        wrong += [f"{path.relative_to(ROOT)}:{line} imports {target}" for line, target in imports(path)
                  if target.split(".")[0] not in sys.stdlib_module_names and not inside(target, "drivers.hand")]
        ast.parse(path.read_text(), str(path), feature_version=(3, 9))
        wrong += [f"{path.relative_to(ROOT)}:{node.value.lineno} {node.arg}=" for node in ast.walk(parsed(path))
                  if isinstance(node, ast.keyword) and node.arg in {"slots", "kw_only", "strict"}]
        assert "from __future__ import annotations" in path.read_text() or not list(imports(path)), path
    assert wrong == []


def test_the_architecture_names_the_homes() -> None:
    """docs/architecture.md and HOMES say the same."""
    text = (ROOT / "docs/architecture.md").read_text()
    layers = text[text.index("## Layers"):text.index("## Tree")]
    assert [name for name in HOMES if name != "libvirt_qemu" and not re.search(rf"\b{name}\b", layers)] == []
    order = "` < `".join(", ".join(names) for names in LAYERS)
    assert f"`{order}`" in layers
