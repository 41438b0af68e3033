"""A web framework that is imported at its first use, so that listing subjects imports none of them.

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = Framework("aiohttp.web")
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Framework"]


class Framework:
    """Stands for the module `name`. An attribute is looked up in it once, then it is this object's own."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value
