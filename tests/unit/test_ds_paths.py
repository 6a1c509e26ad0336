"""Which files may become images, and where a datastore may remove."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from drivers.base import Permanent
from drivers.ds.paths import inside, opened, restricted


def refused(path: object, home: Path, **attrs: str) -> str:
    with pytest.raises(Permanent) as caught, opened(str(path), home, attrs):
        pass
    return str(caught.value)


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/dev/null", "/run/x", "/root/.ssh/id_rsa",
                                  "/home/x/.one/one_auth", "/srv/one/one.db"])
def test_forbidden(path: str) -> None:
    assert restricted(path, Path("/srv/one"), {})


@pytest.mark.parametrize("path", ["/root/images/a", "/var/tmp/a", "/etcetera/a", "/srv/one2/a", "/home/x/ssh/a"])
def test_allowed(path: str) -> None:
    assert restricted(path, Path("/srv/one"), {}) == ""


def test_a_datastore_restricts_and_makes_exceptions() -> None:
    attrs = {"RESTRICTED_DIRS": "/ /data", "SAFE_DIRS": "/data/images /etc/images /srv/one"}
    allowed = [path for path in ("/var/a", "/data/x", "/data/images/x", "/etc/images/x", "/srv/one/one.db")
               if not restricted(path, Path("/srv/one"), attrs)]
    assert allowed == ["/data/images/x", "/etc/images/x"]


def test_what_is_opened_is_judged_and_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert "/etc" in refused(tmp_path / "link", Path("/srv/one"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home/one.db").touch()
    (tmp_path / "hard").symlink_to(tmp_path / "home/one.db")
    assert "RESTRICTED_DIRS" in refused(tmp_path / "hard", tmp_path / "home")


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in refused(tmp_path / "fifo", Path("/srv/one"))
    assert "not a regular file" in refused(tmp_path, Path("/srv/one"))


@pytest.mark.parametrize("path", ["relative", "", "ftp://x/y", "/no/such/image"])
def test_the_path_is_named(path: str) -> None:
    assert path in refused(path, Path("/srv/one"))


def test_a_datastore_removes_only_its_own(tmp_path: Path) -> None:
    store = {"id": 1, "name": "x", "base_path": str(tmp_path)}
    assert inside(store, f"{tmp_path}/abc") == f"{tmp_path}/abc"
    here = str(tmp_path)
    for bad in (f"{here}/../abc", f"{here}/sub/abc", "/etc/passwd", f"{here}/..", f"{here}/", "abc", ""):
        with pytest.raises(Permanent, match="not a file of this datastore"):
            inside(store, bad)
