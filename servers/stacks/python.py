"""Requirements of the subjects on others' Python stacks: packages that only they need (extra `stacks`)."""

from __future__ import annotations

from rtbench.subjects import Requirement, needs_package

REMEDY = "make stacks (outside a checkout: pip install 'rtbench[stacks]')"


def needs(*modules: str) -> tuple[Requirement, ...]:
    """Require these packages. A subject imports them only when it serves, so that it can be listed without them."""
    return tuple(needs_package(module, REMEDY) for module in modules)
