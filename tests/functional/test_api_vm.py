"""What a VM's template becomes: disks, NICs, context, the two templates; waiting for images, being placed."""
from __future__ import annotations

from api_bodies import end, vector
from api_calls import ACTION, AUTHORIZATION, NO_EXISTS, RPC_API, refused
from cloud_process import Cloud, template, unique, until, vm_template

# -- what a template becomes

def test_disks(cloud: Cloud) -> None:
    """Ids in order, targets by prefix around those that are given, sizes, images by name, what images say."""
    image = cloud.make_image(size=64, DEV_PREFIX="sd", DRIVER="raw", FORMAT="qcow2")
    kept = cloud.make_image(size=32)
    cd = cloud.make_image(TYPE="CDROM", PATH="/some/cd.iso")
    cloud.client.call("one.image.persistent", kept, True)
    name = cloud.body("image", image).findtext("NAME")
    vm = cloud.make_vm(DISK=[{"IMAGE": name, "SIZE": 100}, {"IMAGE_ID": kept},
                             {"TYPE": "fs", "SIZE": 7, "TARGET": "vda"}, {"TYPE": "swap", "SIZE": 3},
                             {"IMAGE_ID": cd}, {"IMAGE": name, "IMAGE_UNAME": "oneadmin"}],
                       CONTEXT={"A": "b"})
    body = cloud.body("vm", vm)
    disks = [vector(body, "TEMPLATE/DISK", number) for number in range(6)]
    assert [d["DISK_ID"] for d in disks] == list("012345")
    assert [d["TARGET"] for d in disks] == ["sda", "vdb", "vda", "vdc", "hda", "sdb"]
    context = vector(body, "TEMPLATE/CONTEXT")
    assert (context["TARGET"], context["DISK_ID"]) == ("hdb", "6")
    assert [d["SIZE"] for d in disks] == ["100", "32", "7", "3", "64", "64"]
    assert [(d["CLONE"], d["SAVE"], d["TYPE"]) for d in disks[:2]] == [("YES", "NO", "FILE"), ("NO", "YES", "FILE")]
    assert (disks[0]["IMAGE_ID"], disks[0]["FORMAT"], disks[0]["DRIVER"]) == (str(image), "qcow2", "raw")
    assert disks[0]["ORIGINAL_SIZE"] == "64" and disks[0]["SOURCE"] == f"dummy-{image}"
    assert disks[4]["TYPE"] == "CDROM" and disks[4]["READONLY"] == "YES"
    assert [d["TYPE"] for d in disks[2:4]] == ["fs", "swap"]
    assert [cloud.body("image", i).findtext("STATE") for i in (image, kept, cd)] == ["2", "8", "2"]
    assert [e.text for e in cloud.body("image", image).iterfind("VMS/ID")] == [str(vm)]
    assert "in use" in refused(cloud.client, RPC_API, "one.vm.allocate", vm_template("second", kept))
    end(cloud, vm)
    assert [cloud.body("image", i).findtext("STATE") for i in (image, kept, cd)] == ["1", "1", "1"]
    end(cloud, cloud.make_vm(image=kept))


def test_nics_and_context(cloud: Cloud) -> None:
    """Addresses from the leases, settings of the network, ETHx_* for the guest."""
    net = cloud.make_network(ip="10.4.0.2", VLAN_ID=7, PHYDEV="eth9", NETWORK_ADDRESS="10.4.0.0", GATEWAY="10.4.0.1",
                             NETWORK_MASK="255.255.0.0", DNS="10.4.0.3 10.4.0.4", SEARCH_DOMAIN="example.org",
                             GUEST_MTU=1400, SECURITY_GROUPS="0")
    plain = cloud.make_network(ip="10.3.0.2")
    name = cloud.body("vn", net).findtext("NAME")
    vm = cloud.make_vm(NIC=[{"NETWORK": name}, {"NETWORK_ID": plain, "IP": "10.3.0.77", "MODEL": "e1000"},
                            {"NETWORK": name, "NETWORK_UNAME": "oneadmin", "MAC": "02:00:0a:04:00:09"}],
                       NIC_DEFAULT={"MODEL": "rtl8139"}, CONTEXT={"NETWORK": "YES"})
    body = cloud.body("vm", vm)
    first, second, third = (vector(body, "TEMPLATE/NIC", number) for number in range(3))
    wanted = {"NIC_ID": "0", "NETWORK_ID": str(net), "NETWORK": name, "IP": "10.4.0.2", "MAC": "02:00:0a:04:00:02",
              "AR_ID": "0", "VN_MAD": "dummy", "BRIDGE": f"onebr{net}", "VLAN_ID": "7", "PHYDEV": "eth9",
              "MODEL": "rtl8139", "TARGET": f"one-{vm}-0", "SECURITY_GROUPS": "0", "NAME": "NIC0"}
    assert first | wanted == first
    assert (second["IP"], second["MODEL"], third["IP"]) == ("10.3.0.77", "e1000", "10.4.0.9")
    context = vector(body, "TEMPLATE/CONTEXT")
    wanted = {"ETH0_IP": "10.4.0.2", "ETH0_MAC": "02:00:0a:04:00:02", "ETH0_MASK": "255.255.0.0",
              "ETH0_NETWORK": "10.4.0.0", "ETH0_GATEWAY": "10.4.0.1", "ETH0_DNS": "10.4.0.3 10.4.0.4",
              "ETH0_SEARCH_DOMAIN": "example.org",
              "ETH0_MTU": "1400", "ETH0_VLAN_ID": "7", "ETH1_IP": "10.3.0.77", "ETH1_MASK": "255.255.255.0",
              "ETH1_NETWORK": "10.3.0.0", "ETH2_IP": "10.4.0.9", "NETWORK": "YES"}
    assert context | wanted == context and "ETH1_GATEWAY" not in context
    leases = {vector(cloud.body("vn", net), "AR_POOL/AR/LEASES/LEASE", n)["IP"] for n in range(2)}
    assert leases == {"10.4.0.2", "10.4.0.9"}
    assert cloud.body("vn", net).findtext("AR_POOL/AR/LEASES/LEASE/VM") == str(vm)
    end(cloud, vm)
    assert cloud.body("vn", net).findtext("USED_LEASES") == "0"


def test_variables(cloud: Cloud) -> None:
    """$NAME of the VM, of its template, its user, its networks and images; $$ is a dollar."""
    net = cloud.make_network(name="a net", ip="10.2.0.2", DNS="10.2.0.9")
    image = cloud.make_image(DESCRIPTION="of mine")
    cloud.client.call("one.user.update", 0, 'SSH_PUBLIC_KEY="ssh-rsa AAAA me@here"', 1)
    given = {"A": "$NAME-$VMID", "B": "$UNAME $UID $GID", "C": "$USER[SSH_PUBLIC_KEY]", "D": "$TEMPLATE[FLAVOUR]",
             "E": '$NETWORK[DNS, NETWORK="a net"]', "F": f"$NETWORK[DNS, NETWORK_ID={net}]",
             "G": "$NIC[IP, NIC_ID=1]", "H": f"$IMAGE[DESCRIPTION, IMAGE_ID={image}]", "I": "$DISK[TARGET, DISK_ID=0]",
             "J": "5$$ $", "K": "$FLAVOUR", "L": "$NOTHING.", "M": "$NETWORK[DNS]", "_FILES_DS": "[0]"}
    text = vm_template("vars", image, FLAVOUR="red", NIC=[{"NETWORK_ID": net}] * 2)
    vm = cloud.client.number("one.vm.allocate", text + template({"CONTEXT": given}))
    found = vector(cloud.body("vm", vm), "TEMPLATE/CONTEXT")
    assert "_FILES_DS" not in found
    assert {key: found[key] for key in given if key in found} == {
        "A": f"vars-{vm}", "B": "oneadmin 0 0", "C": "ssh-rsa AAAA me@here", "D": "red", "E": "10.2.0.9",
        "F": "10.2.0.9", "G": "10.2.0.3", "H": "of mine", "I": "vda", "J": "5$ $", "K": "red", "L": ".",
        "M": "10.2.0.9"}
    end(cloud, vm)


def test_files_of_the_context(cloud: Cloud) -> None:
    """By id, by name, in OpenNebula's own form; one that the user may not use is refused."""
    first, second = (cloud.make_image(datastore=2, TYPE="CONTEXT", PATH="/some/file") for _ in range(2))
    name = cloud.body("image", second).findtext("NAME")
    for text in (f"{first} {name}", f'$FILE[IMAGE_ID={first}] $FILE[IMAGE="{name}", IMAGE_UNAME=oneadmin]'):
        vm = cloud.make_vm(CONTEXT={"FILES_DS": text})
        assert f"[{first}, {second}]" in str(vector(cloud.body("vm", vm), "TEMPLATE/CONTEXT"))
        end(cloud, vm)
    refused(cloud.client, NO_EXISTS, "one.vm.allocate", vm_template("no", CONTEXT={"FILES_DS": "$FILE[IMAGE=nowhere]"}))
    _, user = cloud.make_user()
    refused(user, AUTHORIZATION, "one.vm.allocate", vm_template("no", CONTEXT={"FILES_DS": first}))


def test_context_of_ipv6(cloud: Cloud) -> None:
    """Static and from a prefix; a mask that is none is left to the guest."""
    text = (f'NAME="{unique("six")}"\nVN_MAD=dummy\nNETWORK_MASK=none\n'
            "AR=[TYPE=IP4_6_STATIC,IP=10.0.5.1,IP6=2001:db8::10,PREFIX_LENGTH=56,SIZE=5]\n"
            "AR=[TYPE=IP6,GLOBAL_PREFIX=2001:db8:1::/64,ULA_PREFIX=fd00::,SIZE=5,MAC=02:00:00:00:00:01]")
    net = cloud.client.number("one.vn.allocate", text, -1)
    vm = cloud.make_vm(NIC=[{"NETWORK_ID": net, "AR_ID": ar} for ar in (0, 1)], CONTEXT={"NETWORK": "YES"})
    context = vector(cloud.body("vm", vm), "TEMPLATE/CONTEXT")
    wanted = {"ETH0_IP": "10.0.5.1", "ETH0_IP6": "2001:db8::10", "ETH0_IP6_PREFIX_LENGTH": "56",
              "ETH0_MASK": "none", "ETH1_IP6": "2001:db8:1::ff:fe00:1", "ETH1_IP6_ULA": "fd00::ff:fe00:1"}
    assert context | wanted == context and "ETH1_IP" not in context
    end(cloud, vm)


def test_the_two_templates(cloud: Cloud) -> None:
    """What the core knows goes to TEMPLATE, the rest to USER_TEMPLATE; nobody sets what the core says."""
    vm = cloud.make_vm(name="mine", VCPU=3, CPU="0.25", LABELS="a", SCHED_RANK="FREE_CPU", ERROR="mine", VMID="99",
                       GRAPHICS={"TYPE": "VNC"}, HYPERVISOR="kvm", CPU_MODEL={"MODEL": "host-model"})
    body = cloud.body("vm", vm)
    wanted = {"CPU": "0.25", "MEMORY": "64", "VCPU": "3", "VMID": str(vm)}
    assert {key: body.findtext(f"TEMPLATE/{key}") for key in wanted} == wanted
    assert body.findtext("TEMPLATE/GRAPHICS/PORT") == str(5900 + vm)
    users = [leaf.tag for leaf in body.iterfind("USER_TEMPLATE/*")]
    assert users == ["LABELS", "SCHED_RANK", "HYPERVISOR", "CPU_MODEL"]
    assert body.findtext("NAME") == "mine"
    unnamed = cloud.client.number("one.vm.allocate", "CPU=1\nMEMORY=64")
    assert cloud.body("vm", unnamed).findtext("NAME") == f"one-{unnamed}"
    end(cloud, vm, unnamed)


def test_instances_of_a_template(cloud: Cloud) -> None:
    """Named after it and their id unless named; what is given on top wins; persistent ones are of copies."""
    image = cloud.make_image()
    source = cloud.make_template(name="forge", image=image, FLAVOUR="red")
    first = cloud.client.number("one.template.instantiate", source, "", True)
    second = cloud.client.number("one.template.instantiate", source, "own", True, "MEMORY=128\nFLAVOUR=blue", False)
    assert [cloud.body("vm", vm).findtext("NAME") for vm in (first, second)] == [f"forge-{first}", "own"]
    assert [cloud.body("vm", vm).findtext("TEMPLATE/MEMORY") for vm in (first, second)] == ["64", "128"]
    assert [cloud.body("vm", vm).findtext("USER_TEMPLATE/FLAVOUR") for vm in (first, second)] == ["red", "blue"]
    assert cloud.body("vm", first).findtext("TEMPLATE/TEMPLATE_ID") == str(source)
    assert cloud.vm_state(first) == "HOLD"
    third = cloud.client.number("one.template.instantiate", source, "kept", False, "FLAVOUR=green", True)
    cloud.wait_vm(third, "PENDING")
    disk = vector(cloud.body("vm", third), "TEMPLATE/DISK")
    assert disk["IMAGE"] == "kept-disk-0" and disk["SAVE"] == "YES" and disk["IMAGE_ID"] != str(image)
    assert cloud.body("image", int(disk["IMAGE_ID"])).findtext("STATE") == "8"
    copy = int(cloud.body("vm", third).findtext("TEMPLATE/TEMPLATE_ID", ""))
    assert copy != source and cloud.body("template", copy).findtext("NAME") == "kept"
    assert cloud.body("vm", third).findtext("USER_TEMPLATE/FLAVOUR") == "green"
    end(cloud, first, second, third)
    cloud.client.call("one.template.delete", copy, True)
    until(5, "the copy to go", lambda: "kept-disk-0" not in cloud.client.text("one.imagepool.info", -2, -1, -1))


def test_clusters_of_images_and_networks(cloud: Cloud) -> None:
    """Where they are is where the VM may run; with none in common it cannot be."""
    cluster = cloud.client.number("one.cluster.allocate", unique("cluster"))
    text = f'NAME="{unique("far")}"\nVN_MAD=dummy\nAR=[TYPE=IP4,IP=10.1.0.1,SIZE=9]'
    net = cloud.client.number("one.vn.allocate", text, cluster)
    vm = cloud.make_vm(network=net)
    assert cloud.body("vm", vm).findtext("TEMPLATE/AUTOMATIC_REQUIREMENTS") == f"(CLUSTER_ID = {cluster})"
    assert "cluster" in refused(cloud.client, 0x4000, "one.vm.allocate", vm_template("no", cloud.make_image(), net))
    end(cloud, vm)


# -- waiting, placing

def test_a_vm_waits_for_its_images(cloud: Cloud) -> None:
    """CLONING until the last is there, then PENDING or HOLD."""
    cloud.hold("ds.mkfs")
    images = [cloud.client.number("one.image.allocate", f'NAME="{unique("late")}"\nSIZE=8', 1) for _ in range(2)]
    cloud.client.call("one.image.persistent", images[0], True)
    vm, held = cloud.make_vm(DISK=[{"IMAGE_ID": i} for i in images]), cloud.make_vm(image=images[1], hold=True)
    assert [cloud.vm_state(v) for v in (vm, held)] == ["CLONING", "CLONING"]
    assert [cloud.body("image", i).findtext("STATE") for i in images] == ["10", "9"]
    refused(cloud.client, ACTION, "one.vm.deploy", vm, cloud.add_hosts(1)[0])
    cloud.dummy()
    cloud.wait_vm(vm, "PENDING")
    cloud.wait_vm(held, "HOLD")
    assert [cloud.body("image", i).findtext("STATE") for i in images] == ["8", "2"]
    end(cloud, vm, held)


def test_a_vm_whose_image_failed(cloud: Cloud) -> None:
    """CLONING_FAILURE says why; when the image is enabled the VM goes on."""
    for held in (False, True):
        cloud.hold("ds.mkfs", fail="no room")
        image = cloud.client.number("one.image.allocate", f'NAME="{unique("late")}"\nSIZE=8', 1)
        vm = cloud.make_vm(image=image, hold=held)
        cloud.dummy(rules=[{"action": "ds.mkfs", "fail": "no room"}])
        cloud.wait_vm(vm, "CLONING_FAILURE")
        cloud.dummy()
        assert "no room" in cloud.body("vm", vm).findtext("USER_TEMPLATE/ERROR", "")
        refused(cloud.client, ACTION, "one.vm.recover", vm, 2)
        cloud.client.call("one.vm.recover", vm, 0)
        assert cloud.vm_state(vm) == "CLONING_FAILURE"
        cloud.client.call("one.image.enable", image, True)
        assert cloud.vm_state(vm) == ("HOLD" if held else "PENDING")
        assert cloud.body("image", image).findtext("STATE") == "2"
        end(cloud, vm)


def test_hold_and_release(cloud: Cloud) -> None:
    """By action, by argument, by attribute."""
    vm, by_argument = cloud.make_vm(), cloud.make_vm(hold=True)
    by_attribute = cloud.make_vm(SUBMIT_ON_HOLD="YES")
    cloud.client.call("one.vm.action", "hold", vm)
    for oid in (vm, by_argument, by_attribute):
        assert cloud.vm_state(oid) == "HOLD"
        refused(cloud.client, ACTION, "one.vm.action", "hold", oid)
        cloud.client.call("one.vm.action", "release", oid)
        assert cloud.vm_state(oid) == "PENDING"
    end(cloud, vm, by_argument, by_attribute)


def test_deploy_within_capacity(cloud: Cloud) -> None:
    """Enforced: up to MAX_* of the host, which RESERVED_* lowers; by hand: beyond it."""
    host = cloud.add_hosts(1)[0]
    cloud.client.call("one.host.update", host, "RESERVED_CPU=1500\nRESERVED_MEM=50%", 1)
    share = cloud.body("host", host).find("HOST_SHARE")
    assert share is not None
    assert (share.findtext("TOTAL_CPU"), share.findtext("MAX_CPU")) == ("1600", "100")
    assert int(share.findtext("MAX_MEM", "")) * 2 == int(share.findtext("TOTAL_MEM", ""))
    one, half, more = cloud.make_vm(CPU="0.6"), cloud.make_vm(CPU="0.4", hold=True), cloud.make_vm(CPU="0.1")
    for vm in (one, half):
        cloud.client.call("one.vm.deploy", vm, host, True)
        cloud.wait_vm(vm, "RUNNING")
    assert "0 free" in refused(cloud.client, ACTION, "one.vm.deploy", more, host, True)
    cloud.client.call("one.vm.deploy", more, host, False)
    body = cloud.body("host", host)
    assert (body.findtext("HOST_SHARE/CPU_USAGE"), body.findtext("HOST_SHARE/RUNNING_VMS")) == ("110", "3")
    assert body.findtext("HOST_SHARE/MEM_USAGE") == str(3 * 64 * 1024)
    cloud.wait_vm(more, "RUNNING")
    end(cloud, one, half, more)
    assert cloud.body("host", host).findtext("HOST_SHARE/CPU_USAGE") == "0"
    cloud.client.call("one.host.delete", host)


def test_deploy_where_it_can_be(cloud: Cloud) -> None:
    """On hosts that are on or disabled; into a system datastore of the host's cluster that is enabled."""
    host, vm = cloud.add_hosts(1)[0], cloud.make_vm()
    cloud.client.call("one.host.status", host, 2)
    assert "OFFLINE" in refused(cloud.client, ACTION, "one.vm.deploy", vm, host)
    cloud.client.call("one.host.status", host, 1)
    other = cloud.client.number("one.datastore.allocate", f'NAME="{unique("ds")}"\nTYPE=SYSTEM_DS\nTM_MAD=dummy', -1)
    cloud.deploy(vm, host, other)
    assert cloud.body("vm", vm).findtext("HISTORY_RECORDS/HISTORY/DS_ID") == str(other)
    assert "VMs" in refused(cloud.client, RPC_API, "one.datastore.delete", other)
    assert "VMs" in refused(cloud.client, RPC_API, "one.host.delete", host)
    refused(cloud.client, ACTION, "one.vm.deploy", vm, host)
    end(cloud, vm)
    cloud.client.call("one.datastore.delete", other)
    cloud.client.call("one.host.delete", host)


# -- names and texts

def test_names(cloud: Cloud) -> None:
    """VMs may share a name; rename answers the id; the short body follows."""
    first, second = cloud.make_vm(name="twin"), cloud.make_vm(name="twin")
    assert cloud.client.call("one.vm.rename", first, "a & <b> ]]> é") == first
    assert cloud.body("vm", first).findtext("NAME") == "a & <b> ]]> é"
    assert "<NAME><![CDATA[a & <b> ]]]]><![CDATA[> é]]></NAME>" in cloud.client.text("one.vmpool.info", -2, -1, -1, -1)
    end(cloud, first, second)


def user_template(cloud: Cloud, vm: int) -> dict[str, str]:
    """USER_TEMPLATE's plain values."""
    return {leaf.tag: leaf.text or "" for leaf in cloud.body("vm", vm).iterfind("USER_TEMPLATE/*")}


def test_update(cloud: Cloud) -> None:
    """Replace (0) or merge (1); as text or XML; quotes, lines and markup come back as given."""
    vm = cloud.make_vm(LABELS="a", NOTE="x")
    for text, append, wanted in (
            ("NOTE=y\nMORE=1", 1, {"LABELS": "a", "NOTE": "y", "MORE": "1"}),
            ('A="1"', 0, {"A": "1"}),
            ("<T><B><![CDATA[<x>&]]></B></T>", 1, {"A": "1", "B": "<x>&"}),
            ('C="say \\"hi\\"\nand bye"', 0, {"C": 'say "hi"\nand bye'}),
            ("D=1\nD=2", 1, {"C": 'say "hi"\nand bye', "D": "2"}),
            ("", 1, {"C": 'say "hi"\nand bye', "D": "2"}),
            ("", 0, {})):
        assert cloud.client.call("one.vm.update", vm, text, append) == vm
        assert user_template(cloud, vm) == wanted, text
    cloud.client.call("one.vm.update", vm, "E=[F=1,G=2]")
    assert vector(cloud.body("vm", vm), "USER_TEMPLATE/E") == {"F": "1", "G": "2"}
    end(cloud, vm)
