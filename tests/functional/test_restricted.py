"""Restricted attributes: the lists hold wherever an attribute can be said, and for nobody in group 0."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_calls import AUTHORIZATION, refused
from cloud_process import Cloud, unique, vm_template

from onecore.wire.client import Client

pytestmark = pytest.mark.surface


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A cloud with lists of its own."""
    cloud = Cloud(tmp_path_factory.mktemp("strict"), {"tenants": {
        "restricted_vm": "LABEL, DISK/CACHE, NIC/MODEL, CONTEXT/SECRET, OS", "restricted_image": "SOURCE, TEAM",
        "restricted_vnet": "VN_MAD, AR/NOTE", "restricted_datastore": "TM_MAD, COLOUR",
        "quota_vm_attributes": "LICENSE"}}).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def user(strict: Cloud) -> Client:
    """A plain user."""
    return strict.make_user()[1]


def whose(client: Client) -> int:
    """The id of the user whose client it is."""
    return int(client.text("one.user.info", -1).partition("<ID>")[2].partition("<")[0])


@pytest.mark.parametrize(("text", "said"), [
    ("LABEL=a", "LABEL"), ("DISK=[TYPE=fs,SIZE=1,CACHE=none]", "DISK/CACHE"), ("CONTEXT=[SECRET=a]", "CONTEXT/SECRET"),
    ("OS=[BOOT=disk0]", "OS"), ("LICENSE=5", "LICENSE")])
def test_where_vms_are_described(strict: Cloud, user: Client, text: str, said: str) -> None:
    """Allocate, templates, instantiate: the name is told; what is not in the list is free."""
    own = user.number("one.template.allocate", vm_template(unique("t"), EMULATOR="/free/here"))
    whole = f"{vm_template(unique('vm'))}{text}"
    for method, *given in (("one.vm.allocate", whole), ("one.template.allocate", whole),
                           ("one.template.update", own, text, 1), ("one.template.instantiate", own, "", True, text)):
        assert f"restricted attribute {said}." in refused(user, AUTHORIZATION, str(method), *given)
    vm = strict.client.number("one.vm.allocate", whole, True)
    strict.client.call("one.vm.action", "terminate", vm)


def test_where_vms_are_changed(strict: Cloud, user: Client) -> None:
    """What an administrator said stays, whatever the user replaces."""
    vm = strict.client.number("one.vm.allocate", f"{vm_template(unique('vm'))}LABEL=gold\nCONTEXT=[SECRET=a,B=1]", True)
    uid = whose(user)
    strict.client.call("one.vm.chown", vm, uid, 1)
    for method, *given in (("one.vm.update", vm, "LABEL=lead", 1), ("one.vm.update", vm, "LICENSE=1", 0),
                           ("one.vm.updateconf", vm, "CONTEXT=[SECRET=b]", 1)):
        assert "restricted attribute" in refused(user, AUTHORIZATION, str(method), *given)
    user.call("one.vm.update", vm, "LABEL=gold\nNOTE=mine", 0)
    user.call("one.vm.update", vm, "NOTE=other", 0)
    body = strict.body("vm", vm)
    assert (body.findtext("USER_TEMPLATE/LABEL"), body.findtext("USER_TEMPLATE/NOTE")) == ("gold", "other")
    strict.client.call("one.vm.update", vm, "LABEL=lead", 1)
    user.call("one.vm.action", "terminate", vm)


def test_other_kinds(strict: Cloud, user: Client) -> None:
    """Images when they are made and changed, networks with their ranges and datastores when they are changed."""
    uid = whose(user)
    assert "Image Template" in refused(user, AUTHORIZATION, "one.image.allocate", "NAME=a\nSIZE=1\nTEAM=a", 1)
    image, net, store = strict.make_image(TEAM="a"), strict.make_network(), strict.client.number(
        "one.datastore.allocate", f"NAME={unique('ds')}\nTM_MAD=dummy\nDS_MAD=dummy\nCOLOUR=red", -1)
    for kind, oid in (("image", image), ("vn", net), ("datastore", store)):
        strict.client.call(f"one.{kind}.chown", oid, uid, 1)
    for method, *given in (("one.image.update", image, "TEAM=b", 1), ("one.vn.update", net, "VN_MAD=bridge", 1),
                           ("one.vn.update_ar", net, "AR=[AR_ID=0,NOTE=x]"),
                           ("one.datastore.update", store, "COLOUR=blue", 1)):
        assert "restricted attribute" in refused(user, AUTHORIZATION, str(method), *given)
    user.call("one.image.update", image, "NOTE=1", 0)
    user.call("one.datastore.update", store, "NOTE=1", 0)
    user.call("one.vn.update", net, "BRIDGE=br7", 1)
    assert strict.body("image", image).findtext("TEMPLATE/TEAM") == "a"
    assert strict.body("datastore", store).findtext("TEMPLATE/COLOUR") == "red"
