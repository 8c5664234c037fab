"""TLS verification is switched off nowhere, and nothing offers to."""

import ast

SWITCHES = {"CERT_NONE", "CERT_OPTIONAL", "_create_unverified_context", "_create_default_https_context"}
KEYWORDS = {"verify", "verify_ssl", "ssl", "check_hostname", "verify_mode"}


def names(node):
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.alias):
        yield node.name


def switched_off(node):
    """A keyword or an assignment that hands a falsy constant to something that decides on verification."""
    if isinstance(node, ast.keyword):
        yield node.arg, node.value
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            yield from ((name, node.value) for name in names(target))


def test_no_line_switches_verification_off(modules):
    found = [
        (module.name, node.lineno)
        for module in modules
        for node in ast.walk(module.tree)
        if SWITCHES & set(names(node))
        or any(
            name in KEYWORDS and isinstance(value, ast.Constant) and not value.value
            for name, value in switched_off(node)
        )
    ]
    assert found == []


def test_no_setting_or_option_speaks_of_it(modules):
    words = ("insecure", "skip_verify", "no_verify", "verify_tls", "tls_verify", "verify_ssl", "ssl_verify")
    places = [
        module for module in modules if module.name == "settings.py" or module.name.startswith(("cli/", "plans/"))
    ]
    assert places
    spoken = [(module.name, word) for module in places for word in words if word in module.text.replace("-", "_")]
    assert spoken == []
