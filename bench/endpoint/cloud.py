"""The objects that VMs of a benchmark need, their templates, and what can be read from pool bodies without a parser."""
from __future__ import annotations

import re
import sys
import time

from bench.endpoint.clients import Answer, Call, CallError, Std
from bench.endpoint.options import Options

BARE = 'NAME="b{name}"\nCPU=0.1\nMEMORY=64\n'
FULL = ('NAME="{name}"\nCPU=0.1\nVCPU=1\nMEMORY=64\nDISK=[IMAGE="bimg{net}"]\nNIC=[NETWORK="bnet{net}"]\n'
        'GRAPHICS=[TYPE="VNC",LISTEN="0.0.0.0"]\n'
        'CONTEXT=[NETWORK="YES",SSH_PUBLIC_KEY="ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 bench"]\n'
        'OS=[ARCH="x86_64",BOOT=""]\nLOGO="images/logos/linux.png"\nDESCRIPTION="bench vm"\n')
SYSTEM_STORE = "NAME=bsys\nTYPE=SYSTEM_DS\nTM_MAD={tm}\n"
IMAGE_STORE = "NAME=bimgds\nDS_MAD={ds}\nTM_MAD={tm}\n"
IMAGE = "NAME=bimg{net}\nTYPE=OS\nPATH=/etc/hostname\nSIZE=100\nFORMAT=raw\nDEV_PREFIX=vd\n"
NETWORK = "NAME=bnet{net}\nVN_MAD={vn}\nBRIDGE=br{net}\nAR=[TYPE=IP4,IP=10.{net}.0.2,SIZE=65000]\n"
NO_FILTER = ("one.datastorepool.info", "one.hostpool.info")
ALL, ANY_STATE, PENDING, ACTIVE = -2, -1, 1, 3
ROOM_TRIES, ROOM_PAUSE = 120, 0.5


def vm_template(kind: str, i: int, nets: int) -> str:
    """The template of VM I: `bare`, or `full` with disk, NIC and context on one of NETS networks and images."""
    return BARE.format(name=i) if kind == "bare" else FULL.format(name=f"f{i}", net=i % nets)


def as_text(answer: Answer) -> str:
    """The body in an answer of either client."""
    text = answer.decode() if isinstance(answer, bytes) else str(answer)
    return text.replace("&lt;", "<").replace("&gt;", ">")


def ids(answer: Answer, tag: str) -> list[int]:
    """Ids of the elements TAG of a pool."""
    return [int(one) for one in re.findall(rf"<{tag}><ID>(\d+)</ID>", as_text(answer))]


def vm_ids(call: Call) -> list[int]:
    """Ids of all VMs that are not DONE."""
    return ids(call("one.vmpool.info", ALL, -1, -1, ANY_STATE), "VM")


def find(call: Call, method: str, name: str, tag: str) -> int | None:
    """The id of the object NAME in a pool."""
    answer = call(method) if method in NO_FILTER else call(method, ALL, -1, -1)
    pattern = rf"<{tag}><ID>(\d+)</ID>(?:(?!<ID>).){{0,600}}?<NAME>(?:<!\[CDATA\[)?{name}(?:\]\]>)?</NAME>"
    found = re.search(pattern, as_text(answer), re.S)
    return int(found.group(1)) if found else None


def counts(call: Call) -> tuple[int, int, int]:
    """How many VMs are (PENDING, RUNNING, ACTIVE), by two filtered pools."""
    pending = as_text(call("one.vmpool.info", ALL, -1, -1, PENDING))
    active = as_text(call("one.vmpool.info", ALL, -1, -1, ACTIVE))
    return pending.count("<VM><ID>"), active.count("<LCM_STATE>3</LCM_STATE>"), active.count("<VM><ID>")


def make(call: Call, pool: str, tag: str, name: str, *arguments: object) -> int:
    """The id of the object NAME, which is allocated with these arguments when it is not there."""
    found = find(call, f"{pool}pool.info", name, tag)
    return int(call(f"{pool}.allocate", *arguments)) if found is None else found


def make_image(call: Call, net: int, store: int) -> int:
    """An image; waits for the first report of a new datastore, which has no known room until then."""
    for left in reversed(range(ROOM_TRIES)):
        try:
            return make(call, "one.image", "IMAGE", f"bimg{net}", IMAGE.format(net=net), store)
        except CallError as error:
            if "not enough space" not in str(error).lower() or not left:
                raise
            time.sleep(ROOM_PAUSE)
    raise AssertionError("the last try raises")


def make_network(call: Call, net: int, driver: str) -> int:
    """A network of 65,000 addresses."""
    return make(call, "one.vn", "VNET", f"bnet{net}", NETWORK.format(net=net, vn=driver), -1)


def setup(options: Options) -> dict[str, int | None]:
    """Datastores, images, networks and a template, those that are not there; ids of the last of each.

    OpenNebula keeps every lease and VM id in the body of its network and image: several of them, as a real cloud has.
    """
    call = Std(options.endpoint, options.auth)
    system = make(call, "one.datastore", "DATASTORE", "bsys", SYSTEM_STORE.format(tm=options.tm), -1)
    store = make(call, "one.datastore", "DATASTORE", "bimgds", IMAGE_STORE.format(ds=options.ds, tm=options.tm), -1)
    try:
        call("one.datastore.enable", 0, False)
    except CallError as error:
        print(f"datastore 0 stays as it is: {error}", file=sys.stderr)
    image = network = None
    for net in range(options.nets):
        image = make_image(call, net, store)
        network = make_network(call, net, options.vn)
    template = make(call, "one.template", "VMTEMPLATE", "btpl", FULL.format(name="btpl", net=0))
    return {"sysds": system, "imgds": store, "image": image, "vnet": network, "template": template}
