"""How modules look: small, named after nouns, and without a net that catches everything."""

import ast

import pytest

from orchestrator.domain import errors

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
GRAB_BAGS = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc", "base"}
# Where everything is caught, and why. Everywhere else an error that nobody expected must be seen.
SUPERVISED = {
    "engine/driver.py": "the supervisor of a batch: a defect of ours must not leave sessions behind",
    "engine/reaper.py": "the supervisor of teardown: a defect in one round must not stop all others",
    "engine/dispatcher.py": "the supervisor of all driving: whatever ended it, the rows say what is left",
    "engine/scheduler.py": "the supervisor of schedules: a defect met by one must not stop the others",
    "engine/pools.py": "the supervisor of pools: a defect in one must not end the others",
    "engine/notifier.py": "the supervisor of notices: a defect met by one must not stop the others",
    "store/writer.py": "a unit's own failure belongs to its caller; the other units of its commit go on",
    "api/edge.py": "the edge of HTTP: a defect, too, is answered, and its text goes nowhere",
    "cli/edge.py": "the edge of the process: a defect, too, ends with a sentence and an exit code",
}


def test_a_module_has_at_most_400_lines(modules):
    assert {
        module.name: module.text.count("\n") for module in modules if module.text.count("\n") > LONGEST_MODULE
    } == {}


def test_a_function_has_at_most_60_lines(modules):
    """Migrations are left out: each is one statement of what was done to a schema, and is never read for its rules."""
    functions = [
        (module.name, node.name, (node.end_lineno or 0) - node.lineno + 1)
        for module in modules
        if not module.is_migration
        for node in module.nodes(ast.FunctionDef, ast.AsyncFunctionDef)
    ]
    assert [one for one in functions if one[2] > LONGEST_FUNCTION] == []


def test_no_module_is_a_grab_bag(modules):
    named = {part.removesuffix(".py") for module in modules for part in module.name.split("/")}
    assert not named & GRAB_BAGS


def test_every_module_says_why_it_exists(modules):
    silent = [module.name for module in modules if not module.is_migration and not ast.get_docstring(module.tree)]
    assert silent == []


def test_everything_is_caught_only_at_the_supervised_boundaries(modules):
    assert {module.name for module in modules if any(nets(module.tree))} == set(SUPERVISED)


def nets(tree):
    """Whatever catches every error and keeps it; what gives something back and raises again is no net."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            last = node.body[-1]
            yield catches_all(node.type) and not (isinstance(last, ast.Raise) and last.exc is None)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"suppress", "contextlib.suppress"}:
            yield any(map(catches_all, node.args))


def catches_all(caught):
    named = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(one is None or ast.unparse(one) in {"Exception", "BaseException"} for one in named)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("try: pass\nexcept Exception: pass", True),
        ("try: pass\nexcept: pass", True),
        ("try: pass\nexcept (OSError, BaseException) as error: print(error)", True),
        ("try: pass\nexcept Exception as error: raise ValueError from error", True),
        ("with suppress(Exception): pass", True),
        ("try: pass\nexcept BaseException:\n close()\n raise", False),
        ("try: pass\nexcept (OSError, ValueError): pass", False),
        ("with suppress(OSError): pass", False),
    ],
)
def test_a_net_is_recognised(code, found):
    assert any(nets(ast.parse(code))) == found


@pytest.mark.parametrize(
    "name", [name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)]
)
def test_every_error_is_raised_or_answered_somewhere(modules, name):
    users = [
        module.name
        for module in modules
        if module.name != "domain/errors.py"
        and any(isinstance(node, ast.Name) and node.id == name for node in module.nodes(ast.Name))
    ]
    assert users


def test_the_domain_awaits_nothing_and_asks_neither_clock_nor_chance(modules):
    """import-linter keeps foreign libraries out; this keeps out what the standard library offers."""
    pure = [module for module in modules if module.name.startswith("domain/")]
    assert pure
    for module in pure:
        imported = {library for node in module.nodes(ast.Import, ast.ImportFrom) for library in module.imported(node)}
        assert not imported & {"time", "random", "secrets", "uuid", "os", "pathlib", "socket", "asyncio", "logging"}
        assert not module.nodes(ast.Await, ast.AsyncFunctionDef)
        calls = {node.func.attr for node in module.nodes(ast.Call) if isinstance(node.func, ast.Attribute)}
        assert not calls & {"now", "utcnow", "today"}, module.name


def test_only_the_edges_read_the_environment(modules):
    """Settings are passed in; who reads the environment itself is settings and the command line."""
    readers = {
        module.name
        for module in modules
        if any(node.attr in {"environ", "getenv"} for node in module.nodes(ast.Attribute))
    }
    allowed = {name for name in readers if name == "settings.py" or name.startswith("cli/")}
    assert readers == allowed
