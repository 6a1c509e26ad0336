"""Encrypted attributes: sealed in the database and in bodies, in plain for drivers and for who manages an object."""
from __future__ import annotations

import re
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_calls import ALLOCATE, AUTHORIZATION, refused
from cloud_process import Cloud, onecore, unique, vm_template
from makers import MakeCloud, One
from sim import Sim
from xsd import validate

from onecore import app
from onecore.auth.vault import MARK, Vault
from onecore.config import ConfigError, parse
from onecore.pool import backup

pytestmark = [pytest.mark.surface, pytest.mark.sqlite]
LISTS = {"encrypted_vm": "CONTEXT/PIN, BADGE, SAFE, GRAPHICS/PASSWD", "encrypted_host": "VAULT_CODE",
         "encrypted_datastore": "RACK/PIN", "encrypted_image": "LUKS", "encrypted_user": "BADGE"}
PIN = "four-two-seven-nine"


def sim(home: Path, seed: int = 0, **lists: str) -> Sim:
    """A cloud in one thread."""
    return Sim(home, seed, {"tenants": {**LISTS, **lists}}).boot().ready()


@pytest.fixture
def cloud_of_one(tmp_path: Path) -> Iterator[Sim]:
    """Such a cloud with a host."""
    made = sim(tmp_path)
    made.call("one.host.allocate", "node1", "dummy", "dummy", -1)
    yield made
    made.close()


def values(body: str, name: str) -> list[str]:
    """The texts of elements NAME."""
    return re.findall(rf"<{name}><!\[CDATA\[(.*?)\]\]></{name}>", body)


def in_the_database(made: Sim, text: str) -> list[str]:
    """The tables in which TEXT stands, as bytes or as text."""
    made.crash()
    with sqlite3.connect(made.home / "onecore.db") as connection:
        found = [line.partition('"')[2].partition('"')[0] for line in connection.iterdump()
                 if text in line or text.encode().hex().upper() in line.upper()]
    made.boot().ready()
    return found


def sent(made: Sim, kind: str) -> list[dict[str, Any]]:
    """The documents of a KIND that drivers were given."""
    return [command.args[kind] for command in made.transport.sent if command.args.get(kind)]


def test_a_vm(cloud_of_one: Sim) -> None:
    """Its context and its own attributes; the driver has them in plain, the database and the bodies never."""
    made = cloud_of_one
    made.until(lambda: made.host_state(0) == "MONITORED")
    text = f'CPU=1\nMEMORY=64\nCONTEXT=[PIN="{PIN}",OPEN="door"]\nSAFE=[A="{PIN}",B="{PIN}"]\nBADGE="{PIN}"\nNOTE=x'
    vm = made.call("one.vm.allocate", text, True)
    body = made.call("one.vm.info", vm)
    for name in ("PIN", "BADGE", "A", "B"):
        (value,) = values(body, name)
        assert value.startswith(MARK), name
    assert values(body, "OPEN") == ["door"] and PIN not in body
    assert PIN not in made.call("one.vmpool.info", -2, -1, -1, -1)
    validate("vm", body)
    plain = made.call("one.vm.info", vm, True)
    assert plain.count(PIN) == 4 and values(plain, "PIN") == [PIN]
    validate("vm", plain)
    assert PIN not in made.call("one.vm.info", vm)
    made.call("one.vm.deploy", vm, 0)
    made.wait(vm, "RUNNING")
    assert {doc["context"]["PIN"] for doc in sent(made, "vm")} == {PIN}
    assert {doc["user"]["BADGE"] for doc in sent(made, "vm")} == {PIN}
    made.call("one.vm.update", vm, "NOTE=y", 1)
    assert in_the_database(made, PIN) == []
    made.call("one.vm.action", "terminate-hard", vm)
    made.wait(vm, "DONE")
    assert made.call("one.vm.info", vm, True).count(PIN) == 4 and PIN not in made.call("one.vm.info", vm)


def test_changes_keep_what_was_sealed(cloud_of_one: Sim) -> None:
    """A body that is sent back changes nothing; a new value is sealed too; updateconf alike."""
    made = cloud_of_one
    vm = made.call("one.vm.allocate", f'CPU=1\nMEMORY=64\nCONTEXT=[PIN="{PIN}"]\nBADGE="{PIN}"', True)
    shown = made.call("one.vm.info", vm)
    (badge,), (pin,) = values(shown, "BADGE"), values(shown, "PIN")
    made.call("one.vm.update", vm, f'BADGE="{badge}"\nNOTE=1', 0)
    made.call("one.vm.updateconf", vm, f'CONTEXT=[PIN="{pin}",MORE=1]', 0)
    again = made.call("one.vm.info", vm)
    assert (values(again, "BADGE"), values(again, "PIN"), values(again, "MORE")) == ([badge], [pin], ["1"])
    made.call("one.vm.update", vm, 'BADGE="other"', 1)
    assert values(made.call("one.vm.info", vm), "BADGE")[0].startswith(MARK)
    plain = made.call("one.vm.info", vm, True)
    assert (values(plain, "BADGE"), values(plain, "PIN")) == (["other"], [PIN])


def test_a_sealed_value_says_nothing_elsewhere(cloud_of_one: Sim) -> None:
    """Copied to another VM, or to another attribute, it is a text."""
    made = cloud_of_one
    vm = made.call("one.vm.allocate", f'CPU=1\nMEMORY=64\nBADGE="{PIN}"', True)
    (badge,) = values(made.call("one.vm.info", vm), "BADGE")
    thief = made.call("one.vm.allocate", f'CPU=1\nMEMORY=64\nBADGE="{badge}"\nNOTE="{badge}"\nSAFE=[A="{badge}"]', True)
    for oid in (vm, thief):
        made.call("one.vm.update", oid, f'SAFE=[B="{badge}"]', 1)
    assert PIN not in made.call("one.vm.info", thief, True) and made.call("one.vm.info", vm, True).count(PIN) == 1
    assert values(made.call("one.vm.info", thief, True), "BADGE") == [badge]


def test_templates_and_their_instances(cloud_of_one: Sim) -> None:
    """A copy and an instance have values of their own."""
    made = cloud_of_one
    kept = made.call("one.template.allocate", f'NAME=t\nCPU=1\nMEMORY=64\nCONTEXT=[PIN="{PIN}",WHO="$USER[BADGE]"]')
    made.call("one.user.update", 0, 'BADGE="oneadmin-badge"', 1)
    assert "oneadmin-badge" not in made.call("one.user.info", 0)
    copy = made.call("one.template.clone", kept, "copy")
    vm = made.call("one.template.instantiate", copy, "vm", True)
    sealed = {values(made.call(f"one.{kind}.info", oid), "PIN")[0]
              for kind, oid in (("template", kept), ("template", copy), ("vm", vm))}
    assert len(sealed) == 3 and all(value.startswith(MARK) for value in sealed)
    for kind, oid, *more in (("template", kept, False), ("template", copy, True), ("vm", vm)):
        assert values(made.call(f"one.{kind}.info", oid, *more, True), "PIN") == [PIN]
    assert values(made.call("one.vm.info", vm), "WHO") == ["oneadmin-badge"]
    assert in_the_database(made, PIN) == []


def test_the_other_kinds(cloud_of_one: Sim) -> None:
    """Hosts, datastores, images, documents: drivers have them in plain."""
    made = cloud_of_one
    made.call("one.host.update", 0, f'VAULT_CODE="{PIN}"', 1)
    made.call("one.datastore.update", 1, f'RACK=[PIN="{PIN}",ROW=3]', 1)
    image = made.call("one.image.allocate", f'NAME=i\nSIZE=1\nLUKS="{PIN}"', 1)
    made.advance(60)
    copy = made.call("one.image.clone", image, "j")
    document = made.call("one.document.allocate", f'NAME=d\nPROVISION_BODY="{PIN}"', 103)
    other = made.call("one.document.clone", document, "e")
    for kind, oid in (("host", 0), ("datastore", 1), ("image", image), ("image", copy), ("document", document),
                      ("document", other)):
        assert PIN not in made.call(f"one.{kind}.info", oid) and MARK in made.call(f"one.{kind}.info", oid), kind
        assert PIN in made.call(f"one.{kind}.info", oid, True), kind
    assert {doc["attrs"]["LUKS"] for doc in sent(made, "image")} == {PIN}
    assert PIN in {doc["attrs"].get("RACK", {}).get("PIN") for doc in sent(made, "datastore")}
    made.advance(60)
    assert PIN in {doc["attrs"].get("VAULT_CODE") for doc in sent(made, "host")}
    assert in_the_database(made, PIN) == []


def test_a_list_that_comes_later(tmp_path: Path) -> None:
    """What was written before is sealed at the next start; what is taken off the list can still be read."""
    made = sim(tmp_path, encrypted_vm="")
    vm = made.call("one.vm.allocate", f'CPU=1\nMEMORY=64\nBADGE="{PIN}"', True)
    assert PIN in made.call("one.vm.info", vm)
    made.close()
    made = sim(tmp_path)
    assert PIN not in made.call("one.vm.info", vm) and PIN in made.call("one.vm.info", vm, True)
    made.close()
    made = sim(tmp_path, **dict.fromkeys(LISTS, ""), encrypted_document="")
    assert PIN not in made.call("one.vm.info", vm) and PIN in made.call("one.vm.info", vm, True)
    assert in_the_database(made, PIN) == []
    made.close()


def test_the_key(tmp_path: Path) -> None:
    """For its owner alone; in backups; without it, or with another one, oned does not start, unless it is given up."""
    made = sim(tmp_path)
    vm = made.call("one.vm.allocate", f'CPU=1\nMEMORY=64\nBADGE="{PIN}"', True)
    (badge,) = values(made.call("one.vm.info", vm), "BADGE")
    made.close()
    key = tmp_path / "encryption_key"
    assert key.stat().st_mode & 0o777 == 0o600 and key.name in backup.FILES
    kept = key.read_bytes()
    for content, why in ((b"short\n", "must hold 32 bytes"), (None, "is not there"),
                         (b64encode(b"x" * 32), "holds another key")):
        key.unlink() if content is None else key.write_bytes(content)
        failing = Sim(tmp_path, config={"tenants": LISTS})
        with pytest.raises(ConfigError, match=f"encryption_key {why}"):
            failing.boot()
        failing.database.close()
        failing.log.close()
    key.write_text("new\n")
    made = sim(tmp_path, seed=1)
    assert values(made.call("one.vm.info", vm, True), "BADGE") == [badge] and key.read_bytes() != kept
    made.call("one.vm.update", vm, f'BADGE="{PIN}"', 1)
    assert values(made.call("one.vm.info", vm, True), "BADGE") == [PIN]
    made.close()
    sim(tmp_path).close()


@pytest.mark.parametrize("name", ["CPU", "DISK/IMAGE_ID", "CONTEXT", "CONTEXT/NETWORK", "SCHED_RANK", "VMGROUP"])
def test_what_cannot_be_encrypted(name: str) -> None:
    """What oned reads itself is refused in the configuration, by name."""
    with pytest.raises(ConfigError, match=f"encrypted_vm: {name} cannot"):
        app.check(parse({"tenants": {"encrypted_vm": f"NOTE, {name}"}}))


def test_a_vault() -> None:
    """Opens what it sealed for a place, and nothing else."""
    random = iter(range(1000))
    vault, other = (Vault(bytes([n]) * 32, lambda size: next(random).to_bytes(size)) for n in (1, 2))
    sealed = vault.seal("ä text", "vm:1:A")
    assert sealed != vault.seal("ä text", "vm:1:A") and vault.open(sealed, "vm:1:A") == "ä text"
    wrong = [(vault, sealed, "vm:2:A"), (vault, sealed[:-4], "vm:1:A"), (other, sealed, "vm:1:A"),
             (vault, "ä text", "vm:1:A"), (vault, MARK, "vm:1:A"), (vault, MARK + "ä", "vm:1:A")]
    assert [one.open(text, place) for one, text, place in wrong] == [None] * len(wrong)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud with users."""
    made = Cloud(tmp_path_factory.mktemp("sealed"), {"tenants": LISTS}).start()
    yield made
    made.stop()


def test_who_reads_it(cloud: Cloud) -> None:
    """Who may manage the object; who may only use it sees it sealed, and hooks and the audit do not know it."""
    _, owner = cloud.make_user()
    _, other = cloud.make_user()
    cloud.client.call("one.hook.allocate", f"NAME={unique('hook')}\nTYPE=api\nCALL=one.vm.allocate\nCOMMAND=/bin/true")
    vm = owner.number("one.vm.allocate", f'{vm_template(unique("vm"))}BADGE="{PIN}"\nCONTEXT=[PIN="{PIN}"]', True)
    assert owner.text("one.vm.info", vm, True).count(PIN) == 2 and PIN not in owner.text("one.vm.info", vm)
    assert PIN in cloud.client.text("one.vm.info", vm, True)
    refused(other, AUTHORIZATION, "one.vm.info", vm, True)
    owner.call("one.vm.chmod", vm, *[-1] * 6, 1, -1, -1)
    assert PIN not in other.text("one.vm.info", vm, True) and MARK in other.text("one.vm.info", vm, True)
    refused(owner, ALLOCATE, "one.vm.allocate", f'CPU=x\nMEMORY=64\nBADGE="{PIN}"', True)
    owner.call("one.vm.action", "terminate", vm)
    cloud.stop()
    with sqlite3.connect(cloud.home / "onecore.db") as connection:
        assert PIN not in "\n".join(connection.iterdump())
    cloud.start()


def test_on_the_command_line(cloud: Cloud, one: One) -> None:
    """`show --decrypt` of each kind that has encrypted attributes."""
    host, made = cloud.add_hosts(1, wait=False)[0], cloud.make_template(CONTEXT={"PIN": PIN})
    cloud.client.call("one.host.update", host, f'VAULT_CODE="{PIN}"', 1)
    vm = cloud.make_vm(hold=True, BADGE=PIN)
    for kind, oid in (("host", host), ("template", made), ("vm", vm)):
        assert PIN not in one(kind, "show", str(oid)) and PIN in one(kind, "show", str(oid), "--decrypt"), kind
    cloud.client.call("one.vm.action", "terminate", vm)


def test_a_restored_cloud_has_the_key(make_cloud: MakeCloud) -> None:
    """A backup put into another home: what is encrypted is read there."""
    cloud, other = make_cloud({"tenants": LISTS}), make_cloud({"tenants": LISTS}, start=False)
    vm = cloud.make_vm(hold=True, BADGE=PIN)
    copy = cloud.home.parent / "copy"
    onecore(cloud, "backup", str(copy), "--home", str(cloud.home))
    cloud.stop()
    onecore(other, "restore", str(copy), "--home", str(other.home))
    other.start()
    assert PIN in other.client.text("one.vm.info", vm, True) and PIN not in other.client.text("one.vm.info", vm)
