"""The fixtures of this room: the program's commands, in this process and in one of its own."""

from __future__ import annotations

from cli_program import call, here, program

__all__ = ["call", "here", "program"]
