"""Clouds for the functional tests: one that the session shares, and as many more as a test makes."""
from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_process import Cloud, Settings
from makers import MakeCloud, MakeGround, One
from postgresql import Cluster, binaries
from sim_ground import Ground, Template


def _maker(base: Path, made: list[Cloud], cluster: Cluster | None) -> MakeCloud:
    def make(config: Settings | None = None, db: str = "", start: bool = True) -> Cloud:
        cloud = Cloud(base / f"cloud{len(made)}", config or {}, db or (cluster.database() if cluster else ""))
        made.append(cloud)
        return cloud.start() if start else cloud
    return make


def _clouds(base: Path, cluster: Cluster | None) -> Iterator[MakeCloud]:
    made: list[Cloud] = []
    yield _maker(base, made, cluster)
    for cloud in made:
        cloud.stop()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL run what has a database of its own and depends on it: what is kept, and what survives."""
    if os.environ.get("ONECORE_TEST_DB") != "postgresql":
        return
    kept = [item for item in items if "cluster" in getattr(item, "fixturenames", ())
            and not any(item.get_closest_marker(name) for name in ("sqlite", "surface"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster | None]:
    """With ONECORE_TEST_DB=postgresql, the server whose databases all clouds use; None: they use SQLite."""
    if os.environ.get("ONECORE_TEST_DB") != "postgresql":
        yield None
        return
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian package postgresql)")
    made = Cluster(programs).start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster | None) -> Iterator[Cloud]:
    """The cloud of the session."""
    for make in _clouds(tmp_path_factory.mktemp("shared"), cluster):
        yield make()


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    """The shared cloud, running; a test leaves nothing in it that disturbs others (use names of your own)."""
    if shared_cloud.oned is None or shared_cloud.oned.poll() is not None:
        shared_cloud.start()
    return shared_cloud


@pytest.fixture
def make_cloud(tmp_path: Path, cluster: Cluster | None) -> Iterator[MakeCloud]:
    """make_cloud(config={section: {key: value}}, db=url) starts a cloud of the test's own."""
    yield from _clouds(tmp_path, cluster)


@pytest.fixture
def one(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> One:
    """The command line at the shared cloud, in this process."""
    from cli.main import program
    from cli.program import run
    for name in ("ONE_XMLRPC", "ONE_AUTH", "HOME"):
        monkeypatch.setenv(name, cloud.environment[name])
    monkeypatch.setattr("cli.source.piped", lambda: False)

    def go(kind: str, *arguments: str, code: int = 0) -> str:
        ended = run(program(kind), list(arguments))
        told = capsys.readouterr()
        assert ended == code, told.err
        return told.out + told.err
    return go


@pytest.fixture(scope="session")
def sim_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The home that simulations start from."""
    base = tmp_path_factory.mktemp("sim")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(base / "user"))
        return Template(base / "home")


@pytest.fixture
def make_ground(tmp_path: Path, sim_template: Template, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeGround]:
    """make_ground(seed) starts a simulated cloud of one host, one image and one network."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    made: list[Ground] = []

    def make(seed: int = 0, **deadlines: int) -> Ground:
        made.append(sim_template.copy(tmp_path / f"sim{len(made)}", seed, **deadlines))
        return made[-1]
    yield make
    for ground in made:
        if ground.sim.loop is not None:
            ground.sim.close()


@pytest.fixture
def ground(make_ground: MakeGround) -> Ground:
    """A simulated cloud."""
    return make_ground()
