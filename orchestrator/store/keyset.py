"""Conditions that an index can answer: the rows behind a place in a list, the ids that are or begin with some text.

Leaving rows out by their number would read them all; a condition on the sort key begins where the last page ended.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, and_, false, literal, tuple_


def below(key: tuple[Column[Any], ...], place: tuple[Any, ...]) -> ColumnElement[bool]:
    """The rows after `place` in a list that is sorted by `key`, greatest first."""
    values = [literal(value, column.type) for column, value in zip(key, place, strict=True)]
    condition: ColumnElement[bool] = tuple_(*key) < tuple_(*values)
    return condition


def called(connection: Connection, column: Column[Any], text: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The rows whose `column`, an id, is `text`; and those where it begins with it, letter by letter."""
    if not (text and text.isascii() and text.isprintable()):
        return false(), false()  # no id is, and not every such text can be asked for
    if connection.dialect.name != "sqlite":
        return column == text, column.startswith(text, autoescape=True)
    # Its LIKE takes large letters for small ones, and so no index. It sorts by bytes: a range says the same.
    return column == text, and_(column >= text, column < text[:-1] + chr(ord(text[-1]) + 1))
