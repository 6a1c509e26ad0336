"""The settings of onesched: etc/sched.conf (TOML) as a frozen value.  An unknown key is an error that names it."""
from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from scheduler.ranks import Policy, policy

DAY = 86400.0
LIMITS: dict[str, tuple[float, float]] = {
    "parallel_calls": (1, 64), "poll_seconds": (1, 60), "refresh_seconds": (1, DAY), "retry_seconds": (0.01, DAY),
    "retry_most_seconds": (0.01, DAY), "message_seconds": (0, DAY), "messages_per_second": (1, DAY),
    "call_seconds": (1, DAY), "read_batch": (1, 5000), "moves_per_host": (1, 100)}
WORDS = {str: "a text", int: "a whole number", float: "a number"}
LIVE, LIVE_ELSE_SAVE, SAVE = RESCHEDS = ("live", "live-else-save", "save")
LEVELS = ("debug", "info", "warning", "error")


class ConfigError(ValueError):
    """The settings cannot be used; the message names file and key."""


@dataclass(frozen=True, slots=True)
class Config:
    """One field a key of etc/sched.conf."""

    endpoint: str = ""
    """The URL of oned; empty: ONE_XMLRPC or OpenNebula's default."""
    policy: str = "striping"
    """How hosts are ranked for VMs without SCHED_RANK: a word of ranks.HOST_POLICIES or its number."""
    rank: str = ""
    """The rank of a host with policy custom."""
    datastore_policy: str = "striping"
    """How system datastores are ranked for VMs without SCHED_DS_RANK: a word of ranks.STORE_POLICIES or its number."""
    datastore_rank: str = ""
    """The rank of a system datastore with datastore_policy custom."""
    rescheds: str = "live-else-save"
    """How running VMs that are marked RESCHED are moved: a word of RESCHEDS."""
    moves_per_host: int = 2
    """The most migrations that a host takes part in at the same time."""
    parallel_calls: int = 4
    """Deploys sent at the same time, and as many migrations."""
    poll_seconds: int = 30
    """How long a call for events may wait for one."""
    refresh_seconds: float = 30.0
    """How old the monitored figures of hosts and datastores may become."""
    retry_seconds: float = 0.5
    """The pause of a VM whose deploy was refused; doubles each time."""
    retry_most_seconds: float = 60.0
    """The longest such pause, and how often VMs that fit nowhere are looked at even if nothing has changed."""
    message_seconds: float = 10.0
    """The least time between two SCHED_MESSAGEs of one VM; doubles while the text keeps changing."""
    messages_per_second: int = 50
    """The most SCHED_MESSAGEs written in a second."""
    call_seconds: float = 30.0
    """How long a call may take before oned counts as away."""
    read_batch: int = 500
    """The most VMs read in one call."""
    log: str = "sched.log"
    """The log file, relative to HOME/log; `-` is standard error."""
    log_level: str = "info"
    """debug, info, warning or error."""

    def ranks(self) -> Policy:
        """The policies as expressions; raises ConfigError."""
        try:
            return policy(self.policy, self.rank, self.datastore_policy, self.datastore_rank)
        except ValueError as error:
            raise ConfigError(f"policy: {error}") from None


def load(path: Path | None) -> Config:
    """The settings in the file PATH, all defaults without one; raises ConfigError."""
    if path is None:
        return Config()
    try:
        return build(tomllib.loads(path.read_text()), str(path))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def build(values: dict[str, Any], source: str) -> Config:
    """The settings of these values; SOURCE is named in errors.  Raises ConfigError."""
    known = {one.name: type(one.default) for one in fields(Config)}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{source}: unknown key {key!r}")
        values[key] = _checked(f"{source}: {key}", key, value, known[key])
    config = Config(**values)
    if config.log_level not in LEVELS:
        raise ConfigError(f"{source}: log_level is none of {', '.join(LEVELS)}")
    if config.rescheds not in RESCHEDS:
        raise ConfigError(f"{source}: rescheds is none of {', '.join(RESCHEDS)}")
    config.ranks()
    return config


def _checked(where: str, key: str, value: Any, kind: type[Any]) -> Any:
    if key in ("policy", "datastore_policy") and type(value) is int:
        return str(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} is not {WORDS[kind]}")
    least, most = LIMITS.get(key, (None, None))
    if least is not None and most is not None and not least <= value <= most:
        raise ConfigError(f"{where} is not from {least:g} to {most:g}")
    return value
