"""A server that speaks as much of Neptune's protocol as its client needs for models and their versions.

Own code after the client's behaviour: what a real server would refuse besides is not known here.
"""

from __future__ import annotations

from neptune_server.server import FOREVER, NeptuneServer

__all__ = ["FOREVER", "NeptuneServer"]
