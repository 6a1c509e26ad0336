"""ds/fs on a real directory: what succeeds is whole, what fails names its reason and leaves nothing."""
from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from storage_ground import Ground, needs_qemu_img, qemu_img

from drivers.base import Cancelled, Permanent
from drivers.ds.fs import ACTIONS
from drivers.ds.making import making, settle

MB = 1 << 20
CONTENT = b"disk content".ljust(MB + 5, b"d") + bytes(MB)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def do(ground: Ground, action: str, image: dict[str, Any], op: int = 0, **attrs: str) -> dict[str, Any]:
    return ACTIONS[action](ground.context(), ground.image_args(image, op, **attrs))


def refused(ground: Ground, action: str, image: dict[str, Any], **attrs: str) -> str:
    before = ground.left()
    with pytest.raises(Permanent) as caught:
        do(ground, action, image, 0, **attrs)
    assert ground.left() == before
    return str(caught.value)


def file(ground: Ground, content: bytes = CONTENT, name: str = "image") -> Path:
    path = ground.outside / name
    path.write_bytes(content)
    return path


def test_a_raw_file_is_copied_whole_and_sparse(ground: Ground) -> None:
    made = do(ground, "register", ground.image(file(ground)))
    source = Path(made["source"])
    assert (made["format"], made["size_mb"]) == ("raw", 3)
    assert source.read_bytes() == CONTENT and source.parent == ground.images
    assert source.stat().st_blocks * 512 < len(CONTENT) - MB // 2


def test_an_operation_sent_twice_makes_one_file(ground: Ground) -> None:
    image = ground.image(file(ground))
    assert do(ground, "register", image, op=3) == do(ground, "register", image, op=3)
    assert len(ground.left()) == 1
    assert do(ground, "register", image, op=4)["source"] != do(ground, "register", image, op=3)["source"]


@needs_qemu_img
def test_qcow2_keeps_its_format_and_virtual_size(ground: Ground) -> None:
    qemu_img("create", "-q", "-f", "qcow2", ground.outside / "q", "20M")
    image = ground.image(ground.outside / "q")
    assert do(ground, "stat", image) == {"format": "qcow2", "size_mb": 20}
    made = do(ground, "register", image)
    assert (made["format"], made["size_mb"]) == ("qcow2", 20)


@needs_qemu_img
def test_an_image_that_reads_another_file_is_refused(ground: Ground) -> None:
    qemu_img("create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", ground.outside / "evil", "1M")
    evil = ground.outside / "evil"
    file(ground, gzip.compress(evil.read_bytes()), "evil.gz")
    for name in ("evil", "evil.gz"):
        for action in ("stat", "register"):
            assert "backing file" in refused(ground, action, ground.image(ground.outside / name))
    assert "FORMAT says raw" in refused(ground, "register", ground.image(q_alone(ground), format="raw"))


def q_alone(ground: Ground) -> Path:
    qemu_img("create", "-q", "-f", "qcow2", ground.outside / "alone", "1M")
    return ground.outside / "alone"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_packed_images_are_unpacked(ground: Ground, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(CONTENT)
    image = ground.image(file(ground, packed))
    assert do(ground, "stat", image) == {"format": "raw", "size_mb": 3}
    assert Path(do(ground, "register", image)["source"]).read_bytes() == CONTENT
    kept = do(ground, "register", image, NO_DECOMPRESS="YES")
    assert Path(kept["source"]).read_bytes() == packed


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_zstd_images_are_unpacked(ground: Ground) -> None:
    subprocess.run(["zstd", "-q", str(file(ground)), "-o", str(ground.outside / "z")], check=True)
    assert Path(do(ground, "register", ground.image(ground.outside / "z"))["source"]).read_bytes() == CONTENT
    assert len(ground.left()) == 1
    file(ground, (ground.outside / "z").read_bytes()[:-20], "cut")
    assert "/cut" in refused(ground, "register", ground.image(ground.outside / "cut"))


def test_kernels_and_files_are_kept_byte_by_byte(ground: Ground) -> None:
    packed = gzip.compress(b"kernel")
    for kind in (3, 4, 5):
        made = do(ground, "register", ground.image(file(ground, packed), type=kind))
        assert Path(made["source"]).read_bytes() == packed


def test_checksums(ground: Ground) -> None:
    path = file(ground)
    for name in ("md5", "sha1", "sha256"):
        right = hashlib.new(name, CONTENT).hexdigest()
        do(ground, "register", ground.image(path, attrs={name.upper(): right.upper()}))
        said = refused(ground, "register", ground.image(path, attrs={name.upper(): "0" * 32}))
        assert right in said and str(path) in said


def test_a_full_datastore_says_so_and_keeps_nothing(ground: Ground) -> None:
    bomb = file(ground, gzip.compress(bytes(50 * MB)), "bomb")
    for image, action in ((ground.image(file(ground)), "register"), (ground.image(bomb), "register"),
                          (ground.image(size_mb=5), "mkfs")):
        said = refused(ground, action, image, LIMIT_MB="1")
        assert "datastore 1 (default) is full" in said and str(ground.images) in said


@pytest.mark.parametrize(("image", "said"), [
    ({"path": "/no/such/image"}, "/no/such/image: No such file"),
    ({"path": "/etc/passwd"}, "/etc/passwd: files below /etc may not"),
    ({"path": "x.img"}, "'x.img' is neither an absolute path nor"),
    ({"path": ""}, "'' is neither"),
])
def test_a_bad_path_is_named(ground: Ground, image: dict[str, Any], said: str) -> None:
    for action in ("stat", "register"):
        assert said in refused(ground, action, ground.image(**image))


def test_an_empty_file_and_a_broken_one_are_refused(ground: Ground) -> None:
    assert "is empty" in refused(ground, "register", ground.image(file(ground, b"")))
    assert "gzip" in refused(ground, "register", ground.image(file(ground, gzip.compress(CONTENT)[:-9])))


def test_a_cancelled_copy_leaves_nothing(ground: Ground) -> None:
    ground.token.cancel()
    with pytest.raises(Cancelled):
        do(ground, "register", ground.image(file(ground)))
    assert ground.left() == []


@needs_qemu_img
@pytest.mark.parametrize(("form", "fs"), [("raw", ""), ("qcow2", ""), ("raw", "ext4"), ("qcow2", "ext4")])
def test_an_empty_image(ground: Ground, form: str, fs: str) -> None:
    made = do(ground, "mkfs", ground.image(size_mb=8, format=form, fs=fs))
    facts = json.loads(qemu_img("info", "--output=json", made["source"]))
    assert (facts["format"], facts["virtual-size"]) == (form, 8 * MB) and ground.left() == [Path(made["source"]).name]
    if fs:
        qemu_img("convert", "-O", "raw", made["source"], ground.outside / "raw")
        assert (ground.outside / "raw").read_bytes()[1080:1082] == b"\x53\xef"


def test_an_unknown_file_system_is_refused(ground: Ground) -> None:
    assert "no file system 'zfs'" in refused(ground, "mkfs", ground.image(size_mb=8, fs="zfs"))
    assert "'vmdk' is neither" in refused(ground, "mkfs", ground.image(size_mb=8, format="vmdk"))


def test_clone_and_remove(ground: Ground) -> None:
    image = {**ground.image(file(ground)), **do(ground, "register", ground.image(file(ground)))}
    copy = do(ground, "clone", {**image, "id": 5})
    assert copy["source"] != image["source"] and Path(copy["source"]).read_bytes() == CONTENT
    for _ in range(2):
        do(ground, "remove", {**image, **copy})
    assert ground.left() == [Path(image["source"]).name]
    assert "missing" in refused(ground, "clone", {**image, "source": copy["source"]})


def test_a_file_of_which_nobody_was_told_is_removed(ground: Ground) -> None:
    """The answer was lost: no source, but the number that the file is named after; another's file stays."""
    image = {**ground.image(file(ground)), "made": 17}
    do(ground, "register", image, op=1)
    assert do(ground, "register", image, op=2)["source"] == str(ground.images / ground.left()[0])
    other = do(ground, "register", {**image, "made": 18})["source"]
    do(ground, "remove", {**image, "source": ""})
    assert ground.left() == [Path(other).name]


def test_an_attempt_that_ends_late_leaves_the_file_of_the_newer_one_alone(ground: Ground) -> None:
    """Its driver hung, and the image is made again meanwhile; neither writes into the other's file."""
    target = str(ground.images / "f00")
    with ExitStack() as older:
        mine = older.enter_context(making(target))
        Path(mine).write_bytes(b"half")
        with making(target) as made:
            Path(made).write_bytes(b"whole")
            Path(mine).write_bytes(b"half and more")
            older.close()
            settle(made, target)
    assert ground.left() == ["f00"] and Path(target).read_bytes() == b"whole"


def test_what_a_killed_driver_left_goes_with_the_next_attempt_or_the_image(ground: Ground) -> None:
    image = {**ground.image(file(ground)), "made": 17}
    target = Path(do(ground, "register", image)["source"])
    other = Path(f"{target}.other.tmp")
    other.touch()
    for action, left in (("register", [target.name, other.name]), ("remove", [other.name])):
        for name in ("0123abcd.tmp", "0123abcd.tmp.zst", "0123abce.tmp.raw"):
            Path(f"{target}.{name}").touch()
        do(ground, action, image)
        assert ground.left() == left


def test_nothing_outside_is_removed_or_cloned(ground: Ground) -> None:
    path = file(ground)
    for action in ("remove", "clone"):
        assert "not a file of this datastore" in refused(ground, action, ground.image(source=str(path), format="raw"))
    assert path.exists()


def test_monitor(ground: Ground) -> None:
    found = do(ground, "monitor", ground.image())
    assert found["total_mb"] >= found["free_mb"] > 0
    do(ground, "register", ground.image(file(ground)))
    limited = do(ground, "monitor", ground.image(), LIMIT_MB="100")
    assert limited == {"total_mb": 100, "used_mb": 2, "free_mb": 98}
    assert "LIMIT_MB 'x'" in refused(ground, "monitor", ground.image(), LIMIT_MB="x")
