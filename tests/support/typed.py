"""What can be typed, and whether what a document shows of it exists."""

import shlex

import typer

from orchestrator.cli.main import app


def leaves(command, path=()):
    """Every command with the words that lead to it."""
    children = getattr(command, "commands", None)
    if not children:
        return {path: command}
    return {words: leaf for name, child in children.items() for words, leaf in leaves(child, (*path, name)).items()}


TYPED = leaves(typer.main.get_command(app))


def options():
    """Every option that any command has."""
    return {option for command in TYPED.values() for parameter in command.params for option in parameter.opts}


def unknown_in(line):
    """What is wrong with a shown command that begins with `orchestrator`: its name, or options it does not have."""
    words = shlex.split(line)[1:]
    found = [path for path in TYPED if tuple(words[: len(path)]) == path]
    if not found:
        return {" ".join(words)}
    known = {option for parameter in TYPED[found[0]].params for option in parameter.opts}
    return {word for word in words if word.startswith("-")} - known
