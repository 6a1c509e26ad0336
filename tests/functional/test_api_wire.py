"""The rules of the wire that clients depend on, for every method and every kind: elements, types, templates, bits."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from api_calls import ALLOCATE, INTERNAL, NO_EXISTS, RPC_API, call_xml, post, refused
from cloud_process import Cloud, unique
from minimal_calls import MINIMAL, NEVER

from onecore.api import TABLE
from onecore.wire import xmlrpc
from onecore.wire.template import parse, to_xml

pytestmark = pytest.mark.surface

BITS = ("OWNER_U", "OWNER_M", "OWNER_A", "GROUP_U", "GROUP_M", "GROUP_A", "OTHER_U", "OTHER_M", "OTHER_A")
OWNED = ("vm", "image", "vn", "template", "datastore", "secgroup", "vmgroup", "document")
CHANGED = (*OWNED, "host", "cluster", "user", "group")
"""The kinds whose template anything may be in."""


@pytest.fixture(scope="module")
def estate(shared_cloud: Cloud) -> dict[str, int]:
    """An object of each kind."""
    cloud, number = shared_cloud, shared_cloud.client.number
    return {"vm": cloud.make_vm(hold=True), "image": cloud.make_image(), "vn": cloud.make_network(),
            "template": cloud.make_template(), "host": cloud.add_hosts(1)[0], "user": cloud.make_user()[0],
            "datastore": number("one.datastore.allocate", f"NAME={unique('ds')}\nTM_MAD=dummy\nDS_MAD=dummy", -1),
            "secgroup": number("one.secgroup.allocate", f"NAME={unique('sg')}"),
            "vmgroup": number("one.vmgroup.allocate", f"NAME={unique('vmg')}\nROLE=[NAME=a]"),
            "document": number("one.document.allocate", f"NAME={unique('doc')}", 100),
            "cluster": number("one.cluster.allocate", unique("cluster")),
            "group": number("one.group.allocate", unique("group"))}


def typed(value: Any, word: str) -> str:
    """An argument as XML, an integer as <WORD>."""
    if isinstance(value, bool):
        return f"<boolean>{int(value)}</boolean>"
    if isinstance(value, int):
        return f"<{word}>{value}</{word}>"
    if isinstance(value, list):
        return f"<array><data>{''.join(f'<value>{typed(v, word)}</value>' for v in value)}</data></array>"
    return f"<string>{escape(value)}</string>"


def answer(cloud: Cloud, method: str, *values: str) -> list[Any]:
    """The array of an answer; asserts what is so for all."""
    status, raw = post(cloud, call_xml(method, ":".join(cloud.credentials()), *values))
    found = xmlrpc.decode_answer(raw)
    assert status == 200 and isinstance(found, list) and isinstance(found[0], bool), raw
    assert not re.search(rb"<value>[^<]", raw) and b"<value></value>" not in raw, "every value has a type"
    if found[0]:
        assert len(found) == 3 and found[2] == 0 and found[1] not in ("", None), found
        assert isinstance(found[1], int | str)
    else:
        assert len(found) == 5 and re.search(rb"<value><i8>-?\d+</i8></value></data>", raw), raw
        assert found[1].startswith(f"[{method}] ") and found[2] != INTERNAL, found
        assert isinstance(found[3], int)
    return found


@pytest.mark.parametrize("method", MINIMAL)
def test_elements_and_types(cloud: Cloud, method: str) -> None:
    """Each method, integers as <int>, <i4> and <i8>, always the same kind of answer; with all arguments and more."""
    for word, more in (("int", ()), ("i4", ()), ("i8", ()), ("int", ("surplus", 9, True))):
        given = [a.replace("{new}", unique("new")) if isinstance(a, str) else a for a in MINIMAL[method]]
        rest = [p.default for p in TABLE[method].parameters[len(given):]] if more else []
        found = answer(cloud, method, *(typed(a, word) for a in (*given, *rest, *more)))
        assert found[0] is (4711 not in given and method not in NEVER), found
        if method == "one.acl.addrule":  # the same rule is not added twice
            cloud.client.call("one.acl.delrule", found[1])
        if not found[0]:
            assert found[2] == (ALLOCATE if method in NEVER else NO_EXISTS)
            assert method in NEVER or "4711" in found[1]


def test_the_list_is_complete() -> None:
    """Every `one.` method of the table is called above, or is this release's own."""
    listed = (Path(__file__).parents[1] / "golden" / "methods.txt").read_text().split()
    assert {name for name in listed if name.startswith("one.")} == set(MINIMAL)


def test_surplus_arguments(cloud: Cloud, estate: dict[str, int]) -> None:
    """Are ignored, whatever they are, of calls that read and calls that change."""
    more = ("<string>more</string>", "<i8>9</i8>", "<boolean>1</boolean>", "<struct></struct>", "<double>1.5</double>")
    for method, values in (("one.vm.info", (estate["vm"], False)), ("one.vn.rename", (estate["vn"], unique("a"))),
                           ("one.template.update", (estate["template"], "A=1", 1)), ("one.system.version", ()),
                           ("one.image.chmod", (estate["image"], *[-1] * 9)), ("one.system.config", ()),
                           ("one.hostpool.info", ()), ("one.datastorepool.info", ()), ("one.clusterpool.info", ()),
                           ("one.vnpool.info", (-2, -1, -1))):
        assert answer(cloud, method, *(typed(v, "i4") for v in values), *more)[0] is True, method


@pytest.mark.parametrize("method", [m for m, given in MINIMAL.items() if m.endswith(".allocate") and "=" in given[0]])
def test_objects_of_xml(cloud: Cloud, method: str) -> None:
    """A template is text or XML, wherever something is made of one."""
    text, *rest = MINIMAL[method]
    xml = to_xml(parse(text.replace("{new}", unique("new"))), "VMTEMPLATE")
    assert xml.startswith("<VMTEMPLATE>")
    assert answer(cloud, method, typed(xml, "int"), *(typed(v, "int") for v in rest))[0] is (method not in NEVER)


@pytest.mark.parametrize("kind", CHANGED)
def test_templates_of_text_and_xml(cloud: Cloud, estate: dict[str, int], kind: str) -> None:
    """Both are taken for what they say, merged or in place of what was; what is neither is refused with the place."""
    where = "USER_TEMPLATE" if kind == "vm" else "TEMPLATE"

    def reads(path: str) -> str | None:
        return cloud.body(kind, estate[kind]).findtext(f"{where}/{path}")
    for append in (1, 0):
        cloud.client.call(f"one.{kind}.update", estate[kind], 'A="<b> & c"\nV=[X="1",Y="z"]', append)
        assert (reads("A"), reads("V/X")) == ("<b> & c", "1")
        xml = "<TEMPLATE><A><![CDATA[d & <e>]]></A><V><X>2</X></V></TEMPLATE>"
        cloud.client.call(f"one.{kind}.update", estate[kind], xml, append)
        assert (reads("A"), reads("V/X"), reads("V/Y")) == ("d & <e>", "2", None)
    assert "line 1" in refused(cloud.client, RPC_API, f"one.{kind}.update", estate[kind], "A=[", 1)


@pytest.mark.parametrize("kind", OWNED)
def test_nine_bits(cloud: Cloud, estate: dict[str, int], kind: str) -> None:
    """Each of its own; -1 leaves one as it is; eight are not enough, and 2 is no bit."""
    def bits() -> list[int]:
        body = cloud.body(kind, estate[kind])
        return [int(body.findtext(f"PERMISSIONS/{name}") or "") for name in BITS]
    call, method = cloud.client.call, f"one.{kind}.chmod"
    call(method, estate[kind], *[0] * 9)
    for place in range(9):
        call(method, estate[kind], *(1 if at == place else -1 for at in range(9)))
        assert bits() == [1] * (place + 1) + [0] * (8 - place)
    refused(cloud.client, RPC_API, method, estate[kind], *[1] * 8)
    refused(cloud.client, RPC_API, method, estate[kind], *[1] * 8, 2)
    assert bits() == [1] * 9
