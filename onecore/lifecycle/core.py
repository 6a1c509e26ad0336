"""The parts that kinds work with, built once by app.py and handed down."""
from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onecore.auth.guesses import Guesses
from onecore.auth.password import Passwords
from onecore.auth.sessions import Sessions
from onecore.config import Config
from onecore.lifecycle.clock import Clock
from onecore.lifecycle.dispatcher import Dispatcher
from onecore.lifecycle.operations import Operations
from onecore.log import Log
from onecore.pool.changelog import ChangeLog
from onecore.pool.database import Database
from onecore.pool.series import Series
from onecore.pool.store import Store


@dataclass
class Core:
    """Everything a method or an event may use."""

    config: Config
    home: Path
    database: Database
    store: Store
    clock: Clock
    log: Log
    dispatcher: Dispatcher
    changelog: ChangeLog
    series: Series
    passwords: Passwords
    sessions: Sessions
    random: random.Random
    operations: Operations
    guesses: Guesses
    epoch: int = 0
    whole: bool = True
    """False while memory is less than what SQL has: a load is under way, or failed."""
    kinds: dict[str, Any] = field(default_factory=dict)
    """kind name -> its state in memory beyond the records (indexes, samples, caches), typed by the kind."""

    def now(self) -> int:
        """Unix time in whole seconds."""
        return int(self.clock.time())
