"""`onevm recover`: out of a failure, or a state that does not end; with --interactive by looking and asking."""

from __future__ import annotations

import click

from cli.command import command, ids_argument
from cli.errors import CliError
from cli.ids import each, ids_of
from cli.kind import Kind
from cli.session import Session

FORCE = "warning: what its host shows is not asked for, or not believed"
_HELP = {
    "success": "Go on as if the driver had succeeded; refused when its host shows otherwise.",
    "failure": "Go on as if it had failed.",
    "retry": "Try the failed step again.",
    "delete": "Clean up on the host, then delete.",
    "recreate": "Clean up, then place it anew.",
    "delete-db": "Forget it, whatever is left on the host.",
}


def recover(kind: Kind) -> click.Command:
    """The command `recover`."""
    from onecore.wire.states import RECOVER

    def run(session: Session, kind: Kind, ids: str, interactive: bool, force: bool, **asked: bool) -> int:
        """Bring VMs out of a failure or a state that does not end.  Takes exactly one of the options.

        With --interactive (and --retry, or nothing) shows what happened to each VM, and asks what to do.
        """
        chosen = [name for name in RECOVER if asked[name.replace("-", "_")]]
        if interactive and chosen in ([], ["retry"]):
            from cli.vm.recover_asking import ask

            return max([ask(session, kind, oid, force) for oid in ids_of(session, kind, ids)])
        if len(chosen) != 1 or interactive:
            raise CliError("recover takes one of " + ", ".join(f"--{name}" for name in RECOVER) + ", or --interactive")
        return each(session, kind, ids, lambda oid: call(session, oid, chosen[0], force), f"recover {chosen[0]}")

    return command(
        kind,
        "recover",
        run,
        ids_argument(kind),
        *(click.Option([f"--{name}"], is_flag=True, help=_HELP[name]) for name in RECOVER),
        click.Option(["--interactive"], is_flag=True, help="Show what happened and ask what to do."),
        click.Option(
            ["--force"], is_flag=True, help="--success whatever its host shows; --delete whatever is not saved."
        ),
        examples=["recover web --retry", "recover 3..9 --failure", "recover web --interactive"],
    )


def call(session: Session, oid: int, how: str, force: bool) -> object:
    """Recover VM OID as HOW (a name of states.RECOVER); FORCE: whatever its host shows."""
    from onecore.wire.states import RECOVER

    if force:
        session.fail(FORCE)
    return session.call("one.vm.recover", oid, RECOVER[how], *((True,) if force else ()))
