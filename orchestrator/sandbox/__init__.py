"""The sandbox: Cekura, Pipecat Cloud, its runner and Daily on one port, with a speed knob and faults by name.

It stands apart on purpose. It shares no model with the product: a misread wire shape would otherwise be misread twice.
Importing this package is light; the web server is imported when a `Sandbox` starts.
"""

from __future__ import annotations

from orchestrator.sandbox.faults import UnknownFault, list_faults
from orchestrator.sandbox.server import Sandbox
from orchestrator.sandbox.settings import SandboxSettings

__all__ = ["Sandbox", "SandboxSettings", "UnknownFault", "list_faults"]
