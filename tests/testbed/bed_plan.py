"""What everything of a test-bed is called: pure names and numbers, from the bed's number."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEDS = Path("/var/tmp")
NUMBERS = range(41)


@dataclass(frozen=True, slots=True)
class Plan:
    """A bed's number and sizes; memory_mb 0 shows the machine's own memory."""
    number: int
    nodes: int = 0
    memory_mb: int = 0
    disk_mb: int = 4096
    tcp: bool = False

    @property
    def directory(self) -> Path:
        """Where all its files are."""
        return BEDS / f"onecore-bed-{self.number}"

    @property
    def lock(self) -> Path:
        """Locked (flock) by the process that owns the bed."""
        return BEDS / f"onecore-bed-{self.number}.lock"

    @property
    def management(self) -> str:
        """The first three numbers of the management network."""
        return f"10.{100 + self.number}.0"

    @property
    def guests(self) -> str:
        """The first three numbers of the guests' network."""
        return f"10.{150 + self.number}.0"

    @property
    def bridges(self) -> tuple[tuple[str, str], ...]:
        """The front-end's bridges with their addresses: management, guests."""
        return (f"ob{self.number}", f"{self.management}.1/24"), (f"obv{self.number}", f"{self.guests}.1/24")

    def cables(self, index: int) -> tuple[tuple[str, str, str, str], ...]:
        """A node's network cards: front-end's end, its bridge, the node's end, MAC (fixed: ARP outlives a crash)."""
        mac = f"02:{100 + self.number:02x}:00:00:00:{index:02x}"
        return ((f"ob{self.number}n{index}", f"ob{self.number}", "eth0", mac),
                (f"obv{self.number}n{index}", f"obv{self.number}", "eth1", mac.replace("02:", "06:", 1)))
