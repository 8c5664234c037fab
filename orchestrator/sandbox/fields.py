"""What single fields of a submission may hold, and the texts that refuse them.

The texts are the usual ones of Django REST framework; Cekura's own are not documented. A rule answers the texts against
a value, none where it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

REQUIRED: Final = "This field is required."
NOT_NULL: Final = "This field may not be null."
BLANK: Final = "This field may not be blank."
NOT_AN_INTEGER: Final = "A valid integer is required."
NOT_A_STRING: Final = "Not a valid string."
NOT_A_LIST: Final = "Expected a list of items but got another type."
NOT_A_MAP: Final = "Invalid data. Expected a dictionary."
EMPTY: Final = "This list may not be empty."
NOT_SUPPORTED: Final = "This field is not supported."

Rule = Callable[[Any], list[str]]


class FieldErrors(ValueError):
    """A body that Cekura refuses; `errors` is the answer's JSON: texts by field, or a bare list of texts."""

    def __init__(self, errors: Mapping[str, Any] | list[str]) -> None:
        super().__init__("the submission has field errors")
        self.errors = errors


def is_integer(value: Any) -> bool:
    """Whether it is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def no_such(key: Any) -> str:
    """The text against an id of nothing."""
    return f'Invalid pk "{key}" - object does not exist.'


def nullable(rule: Rule) -> Rule:
    """The rule, and null besides."""
    return lambda value: [] if value is None else rule(value)


def integer(*, at_least: int | None = None, at_most: int | None = None) -> Rule:
    """A whole number between the two."""

    def check(value: Any) -> list[str]:
        if value is None:
            return [NOT_NULL]
        if not is_integer(value):
            return [NOT_AN_INTEGER]
        if at_least is not None and value < at_least:
            return [f"Ensure this value is greater than or equal to {at_least}."]
        if at_most is not None and value > at_most:
            return [f"Ensure this value is less than or equal to {at_most}."]
        return []

    return check


def text(*, longest: int | None = None) -> Rule:
    """A string, of at most so many characters."""

    def check(value: Any) -> list[str]:
        if value is None:
            return [NOT_NULL]
        if not isinstance(value, str):
            return [NOT_A_STRING]
        if longest is not None and len(value) > longest:
            return [f"Ensure this field has no more than {longest} characters."]
        return []

    return check


def choice(*allowed: str) -> Rule:
    """One of these words."""
    return lambda value: [] if value in allowed else [f'"{value}" is not a valid choice.']


def list_of(rule: Rule, *, empty: bool = True) -> Rule:
    """A list whose items keep the rule; a text that several items earn is said once."""

    def check(value: Any) -> list[str]:
        if value is None:
            return [NOT_NULL]
        if not isinstance(value, list):
            return [NOT_A_LIST]
        if not value and not empty:
            return [EMPTY]
        return list(dict.fromkeys(said for item in value for said in rule(item)))

    return check


def map_of(rules: Mapping[str, Rule]) -> Rule:
    """An object that has only these keys, each under its rule."""

    def check(value: Any) -> list[str]:
        if not isinstance(value, Mapping):
            return [NOT_A_MAP]
        strange = [f"{name}: {NOT_SUPPORTED}" for name in value if name not in rules]
        return strange + [f"{name}: {said}" for name in rules if name in value for said in rules[name](value[name])]

    return check


def anything(_: Any) -> list[str]:
    """Any JSON."""
    return []


def refusals(body: Mapping[str, Any], rules: Mapping[str, Rule], *, required: Sequence[str] = ()) -> dict[str, Any]:
    """The texts by field against a body; fields without a rule are passed over."""
    errors: dict[str, Any] = {name: [REQUIRED] for name in required if name not in body}
    errors |= {name: said for name, rule in rules.items() if name in body and (said := rule(body[name]))}
    return errors
