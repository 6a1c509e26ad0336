"""Clouds for the functional tests: one that the session shares, and as many more as a test makes."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from cloud_process import Cloud, Settings


class MakeCloud(Protocol):
    """Makes a cloud with its own configuration; DB is a [database] url, START=False only prepares its home."""

    def __call__(self, config: Settings | None = None, db: str = "", start: bool = True) -> Cloud: ...


def _maker(base: Path, made: list[Cloud]) -> MakeCloud:
    def make(config: Settings | None = None, db: str = "", start: bool = True) -> Cloud:
        cloud = Cloud(base / f"cloud{len(made)}", config or {}, db)
        made.append(cloud)
        return cloud.start() if start else cloud
    return make


def _clouds(base: Path) -> Iterator[MakeCloud]:
    made: list[Cloud] = []
    yield _maker(base, made)
    for cloud in made:
        cloud.stop()


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The cloud of the session."""
    for make in _clouds(tmp_path_factory.mktemp("shared")):
        yield make()


@pytest.fixture
def cloud(shared_cloud: Cloud) -> Cloud:
    """The shared cloud, running; a test leaves nothing in it that disturbs others (use names of your own)."""
    if shared_cloud.oned is None or shared_cloud.oned.poll() is not None:
        shared_cloud.start()
    return shared_cloud


@pytest.fixture
def make_cloud(tmp_path: Path) -> Iterator[MakeCloud]:
    """make_cloud(config={section: {key: value}}, db=url) starts a cloud of the test's own."""
    yield from _clouds(tmp_path)


