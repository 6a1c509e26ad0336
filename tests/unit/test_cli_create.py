"""Template flags, template files and what is sent for them."""

from __future__ import annotations

import io
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli import flags
from cli.errors import CliError
from onecore.wire.template import parse

if TYPE_CHECKING:
    from cli_fake import Cloud, Runner

pytest_plugins = ["cli_fake"]


@pytest.fixture(autouse=True)
def ids(cloud: Cloud) -> None:
    """Every allocation gets the next id."""
    cloud.answers["one.vm.allocate"] = lambda text, hold: 40 + len(cloud.made("one.vm.allocate"))


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """TEXT on standard input."""
    monkeypatch.setattr("cli.source.piped", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_from_a_file_as_it_is(one: Runner, cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / "vm.one"
    file.write_text("NAME=web # no\n".replace(" # no", "") + 'CPU=1\nDISK=[IMAGE="a, b"]\n')
    outcome = one("vm", "create", str(file), "--hold")
    assert (outcome.code, outcome.out) == (0, "ID: 41\n")
    assert cloud.made("one.vm.allocate") == [(file.read_text(), True)]


def test_from_standard_input(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, "CPU=1\n")
    assert one("vm", "create").code == 0
    pipe(monkeypatch, "<VM><CPU>2</CPU></VM>")
    assert one("vm", "create", "-").code == 0
    assert [text for text, _ in cloud.made("one.vm.allocate")] == ["CPU=1\n", "<VM><CPU>2</CPU></VM>"]


def test_nothing_at_all(one: Runner, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.source.piped", lambda: False)
    outcome = one("vm", "create")
    assert (outcome.code, cloud.calls) == (255, [])
    assert "no template" in outcome.err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"CPU = [ A", "Parse error"),
        (b"\xff\xfe", "not text in UTF-8 (byte 0)"),
        (b"  \n", "no template"),
        (None, "No such file"),
    ],
)
def test_bad_files_are_refused_here(
    one: Runner, cloud: Cloud, tmp_path: Path, content: bytes | None, told: str
) -> None:
    file = tmp_path / "bad"
    if content is not None:
        file.write_bytes(content)
    outcome = one("vm", "create", str(file))
    assert (outcome.code, cloud.calls) == (255, [])
    assert told in outcome.err


def test_flags_win_over_the_file(one: Runner, cloud: Cloud, tmp_path: Path) -> None:
    file = tmp_path / "vm.one"
    file.write_text("NAME=a\nCPU=1\nNIC=[NETWORK=x]\n")
    one("vm", "create", str(file), "--name", "b", "--nic", "y")
    assert parse(cloud.made("one.vm.allocate")[0][0]) == parse('CPU=1\nNAME=b\nNIC=[NETWORK="y"]')


def test_many_with_numbers_in_their_names(one: Runner, cloud: Cloud) -> None:
    assert one("vm", "create", "--name", "w-%i", "--memory", "128", "-m", "3").out == "ID: 41\nID: 42\nID: 43\n"
    assert [parse(text).get("NAME") for text, _ in cloud.made("one.vm.allocate")] == ["w-0", "w-1", "w-2"]


def test_dry_only_tells(one: Runner, cloud: Cloud) -> None:
    assert one("vm", "create", "--cpu", "1", "--dry").out == 'CPU="1"\n'
    assert cloud.calls == []


FLAGS: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b", "cpu": "0.5", "vcpu": 2, "memory": "8g"}, 'NAME="a b"\nCPU=0.5\nVCPU=2\nMEMORY=8192'),
    ({"memory": "0.5g", "arch": "x86_64", "boot": "disk0"}, 'MEMORY=512\nOS=[ARCH="x86_64",BOOT="disk0"]'),
    ({"disk": ("tiny,7",)}, 'DISK=[IMAGE="tiny"]\nDISK=[IMAGE_ID="7"]'),
    (
        {"disk": ("ann[tiny]:size=1000:target=vda", "b")},
        'DISK=[IMAGE="tiny",IMAGE_UNAME="ann",SIZE="1000",TARGET="vda"]\nDISK=[IMAGE="b"]',
    ),
    ({"disk": ("type=fs:size=10:format=qcow2",)}, 'DISK=[TYPE="fs",SIZE="10",FORMAT="qcow2"]'),
    (
        {"nic": ("auto,net:ip=10.0.0.5:mac=02:00:0a:00:00:05",)},
        'NIC=[NETWORK_MODE="auto"]\nNIC=[NETWORK="net",IP="10.0.0.5",MAC="02:00:0a:00:00:05"]',
    ),
    ({"vnc": True, "vnc_password": "x"}, 'GRAPHICS=[TYPE="VNC",LISTEN="0.0.0.0",PASSWD="x"]'),
    ({"spice": True, "spice_listen": "127.0.0.1"}, 'GRAPHICS=[TYPE="SPICE",LISTEN="127.0.0.1"]'),
    ({"net_context": True, "context": ('A=1,b="x, y"', "C=d=e")}, 'CONTEXT=[A="1",B="x, y",C="d=e",NETWORK="YES"]'),
    ({"report_ready": True}, 'CONTEXT=[REPORT_READY="YES"]'),
    (
        {"video": "virtio", "video_iommu": True, "video_vram": "16", "video_resolution": "1280x720"},
        'VIDEO=[TYPE="virtio",IOMMU="YES",VRAM="16384",RESOLUTION="1280x720"]',
    ),
    ({"ssh": flags.FROM_USER}, 'CONTEXT=[SSH_PUBLIC_KEY="$USER[SSH_PUBLIC_KEY]"]'),
    (
        {"files_ds": "a,b", "init": "x.sh,y.sh"},
        r'CONTEXT=[FILES_DS="$FILE[IMAGE=\"a\"] $FILE[IMAGE=\"b\"]",INIT_SCRIPTS="x.sh y.sh"]',
    ),
    ({"raw": 'RAW=[TYPE="kvm",DATA="<a/>"]', "cpu": "1"}, 'CPU=1\nRAW=[TYPE="kvm",DATA="<a/>"]'),
]


@pytest.mark.parametrize(("given", "wanted"), FLAGS)
def test_flags(given: dict[str, Any], wanted: str) -> None:
    assert parse(flags.text(given)) == parse(wanted)


def test_files_in_the_context(tmp_path: Path) -> None:
    key, script = tmp_path / "key.pub", tmp_path / "start.sh"
    key.write_text("ssh-ed25519 AAAA ann\n")
    script.write_text('echo "hi"\n')
    context = parse(flags.text({"ssh": str(key), "startscript": str(script)})).vector("CONTEXT") or {}
    assert context["SSH_PUBLIC_KEY"] == "ssh-ed25519 AAAA ann"
    assert b64decode(context["START_SCRIPT_BASE64"]) == b'echo "hi"\n'


@pytest.mark.parametrize(
    "given",
    [
        {"memory": "lots"},
        {"cpu": "half"},
        {"cpu": "0"},
        {"video_ats": True},
        {"video": "vga", "video_resolution": "big"},
        {"memory": "0"},
        {"memory": "-1g"},
        {"disk": ("a:b",)},
        {"nic": ("a:=1",)},
        {"context": ("A",)},
    ],
)
def test_flags_that_mean_nothing(given: dict[str, Any]) -> None:
    with pytest.raises(CliError):
        flags.text(given)


def test_ssh_without_a_file_takes_no_argument(one: Runner, cloud: Cloud) -> None:
    assert "USER[SSH_PUBLIC_KEY]" in one("vm", "create", "--ssh", "--name", "x", "--dry").out


def test_instantiate(one: Runner, cloud: Cloud, tmp_path: Path) -> None:
    cloud.answers["one.template.info"] = "<VMTEMPLATE><ID>3</ID><TEMPLATE/></VMTEMPLATE>"
    cloud.answers["one.template.instantiate"] = 9
    assert one("template", "instantiate", "3", "--name", "n%i", "-m", "2", "--hold").out == "VM ID: 9\nVM ID: 9\n"
    one("template", "instantiate", "3", "--cpu", "2")
    extra = tmp_path / "extra"
    extra.write_text("MEMORY=64\n")
    one("template", "instantiate", "3", str(extra))
    assert cloud.made("one.template.instantiate") == [
        (3, "n0", True, "", False),
        (3, "n1", True, "", False),
        (3, "", False, 'CPU="2"\n', False),
        (3, "", False, "MEMORY=64\n", False),
    ]
    assert one("template", "instantiate", "3", str(extra), "--cpu", "1").code == 255


def test_user_inputs_are_sent(one: Runner, cloud: Cloud) -> None:
    asked = "<USER_INPUTS><PW>M|password|Root password</PW><SIZE>O|number|Size| |3</SIZE></USER_INPUTS>"
    cloud.answers["one.template.info"] = f"<VMTEMPLATE><ID>3</ID><TEMPLATE>{asked}</TEMPLATE></VMTEMPLATE>"
    cloud.answers["one.template.instantiate"] = 9
    outcome = one("template", "instantiate", "3")
    assert outcome.code == 255
    assert "PW is mandatory (Root password)" in outcome.err
    assert one("template", "instantiate", "3", "--user-inputs", "pw=x").code == 0
    assert cloud.made("one.template.instantiate")[0][3] == 'PW="x"\nSIZE="3"\n'


@pytest.mark.parametrize("words", [("image", "snapshot-delete", "1..3", "0"), ("image", "rename", "1..3", "x")])
def test_what_is_about_one_object_takes_no_range(one: Runner, cloud: Cloud, words: tuple[str, ...]) -> None:
    cloud.answers["one.imagepool.info"] = "<IMAGE_POOL></IMAGE_POOL>"
    assert one(*words).code == 255
    assert [call for call in cloud.calls if "pool" not in call[0]] == []
