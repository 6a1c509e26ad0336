"""Tables from record classes, plus the core's own: meta (schema version, epoch, last sequence) and the change log."""
from __future__ import annotations

import typing
from functools import cache

import sqlalchemy as sa

from onecore.pool.record import Record, columns

VERSION = 7
"""The schema's number; migrations.py leads to it."""

_TYPES: dict[object, type[sa.types.TypeEngine[typing.Any]]] = {
    int: sa.BigInteger, float: sa.Float, str: sa.Text, bytes: sa.LargeBinary}

LOG_COLUMNS = ("seq", "n", "time", "kind", "oid", "what", "old", "new", "keys", "uid", "method", "rid",
               "why", "client")


@cache
def metadata(classes: tuple[type[Record], ...]) -> sa.MetaData:
    """The whole schema.  No constraint but the primary keys: the core is what keeps it right."""
    made = sa.MetaData()
    sa.Table("meta", made, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.BigInteger))
    sa.Table("log", made,
             sa.Column("seq", sa.BigInteger, primary_key=True), sa.Column("n", sa.Integer, primary_key=True),
             sa.Column("time", sa.BigInteger), sa.Column("kind", sa.Text), sa.Column("oid", sa.BigInteger),
             sa.Column("what", sa.Text), sa.Column("old", sa.Text), sa.Column("new", sa.Text),
             sa.Column("keys", sa.Text),
             sa.Column("uid", sa.BigInteger), sa.Column("method", sa.Text), sa.Column("rid", sa.Text),
             sa.Column("why", sa.Text), sa.Column("client", sa.Text))
    for cls in classes:
        hints = typing.get_type_hints(cls)
        sa.Table(cls.TABLE, made, *(
            sa.Column(name, _TYPES[hints[name]], primary_key=name in cls.KEY, autoincrement=False)
            for name in columns(cls)))
    return made


def all_sql(cls: type[Record]) -> str:
    """SELECT of all columns of all records of a class."""
    names = ", ".join(f'"{name}"' for name in columns(cls))
    return f'SELECT {names} FROM "{cls.TABLE}"'


@cache
def upsert_sql(table: sa.Table, paramstyle: str, rows: int = 1) -> str:
    """INSERT of ROWS rows … ON CONFLICT DO UPDATE, a placeholder a value; understood by SQLite and PostgreSQL."""
    names = [f'"{c.name}"' for c in table.columns]
    keys = [f'"{c.name}"' for c in table.primary_key.columns]
    rest = [n for n in names if n not in keys]
    then = "DO UPDATE SET " + ", ".join(f"{n} = excluded.{n}" for n in rest) if rest else "DO NOTHING"
    return (f'INSERT INTO "{table.name}" ({", ".join(names)}) VALUES {_tuples(len(names), rows, paramstyle)} '
            f'ON CONFLICT ({", ".join(keys)}) {then}')


@cache
def delete_sql(table: sa.Table, paramstyle: str, rows: int = 1) -> str:
    """DELETE of ROWS rows by primary key."""
    keys = [f'"{c.name}"' for c in table.primary_key.columns]
    return f'DELETE FROM "{table.name}" WHERE ({", ".join(keys)}) IN (VALUES {_tuples(len(keys), rows, paramstyle)})'


def _tuples(width: int, rows: int, paramstyle: str) -> str:
    one = "(" + ", ".join(["?" if paramstyle == "qmark" else "%s"] * width) + ")"
    return ", ".join([one] * rows)
