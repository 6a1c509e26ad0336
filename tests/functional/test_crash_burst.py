"""kill -9 in the middle of many calls: what was acknowledged is there, nothing is there twice."""
from __future__ import annotations

import random
import signal
import threading
import time
from xml.etree import ElementTree

from cloud_process import Cloud, until, vm_template
from crash_ground import check_books
from makers import MakeCloud

from onecore.wire.client import Client, ClientError

KILLS, CLIENTS = 5, 8


class Allocator(threading.Thread):
    """Allocates VMs with a disk and a NIC, each under a name of its own, and keeps what was acknowledged."""

    def __init__(self, cloud: Cloud, number: int, image: int, network: int) -> None:
        super().__init__(daemon=True)
        self.made: dict[int, str] = {}
        self.asked = 0
        self.refused: list[str] = []
        self._client = Client(cloud.endpoint, ":".join(cloud.credentials()), 20.0)
        self._number, self._image, self._network = number, image, network
        self._ended = threading.Event()

    def run(self) -> None:
        """Until `end`; a call that was cut off is not repeated."""
        while not self._ended.is_set():
            self.asked += 1
            name = f"burst-{self._number}-{self.asked}"
            try:
                self.made[self._client.number("one.vm.allocate", vm_template(name, self._image, self._network))] = name
            except ClientError as error:
                if error.code:
                    self.refused.append(str(error))
                time.sleep(0.02)

    def end(self) -> None:
        """No further call."""
        self._ended.set()
        self.join(25)


def test_acknowledged_allocations_survive(make_cloud: MakeCloud) -> None:
    """8 clients allocate while oned is killed 5 times at random moments."""
    cloud = make_cloud()
    image, network = cloud.make_image(), cloud.make_network(size=60000)
    clients = [Allocator(cloud, number, image, network) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    dice = random.Random(7)
    for _ in range(KILLS):
        time.sleep(dice.uniform(0.05, 0.4))
        cloud.kill()
        cloud.start()
    for client in clients:
        client.end()
    assert not [text for client in clients for text in client.refused]
    _check(cloud, clients)
    check_books(cloud)


def _check(cloud: Cloud, clients: list[Allocator]) -> None:
    pool = ElementTree.fromstring(cloud.client.text("one.vmpool.info", -2, -1, -1, -1))
    names = {int(vm.findtext("ID", "")): vm.findtext("NAME") for vm in pool}
    made = {oid: name for client in clients for oid, name in client.made.items()}
    assert len(made) == sum(len(client.made) for client in clients) > 0, "an id was given twice"
    assert {oid: names.get(oid) for oid in made} == made
    assert len(set(names.values())) == len(names), "a call was done twice"
    unheard = len(names) - len(made)
    assert unheard <= KILLS * CLIENTS, "more was made than calls were cut off"


def test_the_match_maker_is_killed_and_outlives_oned(make_cloud: MakeCloud) -> None:
    """Killed while it places VMs: the next one places the rest, none twice.  It goes on with another oned, too."""
    cloud = make_cloud()
    cloud.add_hosts(3)
    cloud.dummy(delay={"tm.prolog": 0.2})
    cloud.start_scheduler()
    vms = [cloud.make_vm() for _ in range(40)]
    until(10.0, "some to be placed", lambda: any(cloud.vm_state(oid) != "PENDING" for oid in vms))
    cloud.stop_scheduler(signal.SIGKILL)
    vms += [cloud.make_vm() for _ in range(10)]
    cloud.start_scheduler()
    for oid in vms:
        cloud.wait_vm(oid, "RUNNING")
    check_books(cloud)
    cloud.kill()
    cloud.start()
    after = cloud.make_vm()
    cloud.wait_vm(after, "RUNNING", 5.0)
    assert cloud.scheduler is not None and cloud.scheduler.poll() is None
    check_books(cloud)
