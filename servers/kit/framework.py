"""A web framework that is imported at its first use, so that listing subjects imports no framework.

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
    """Stands for the module `name`. It looks up an attribute once and then keeps it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value
