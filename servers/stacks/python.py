"""What the subjects on others' Python stacks need: packages that the project itself does without (extra `stacks`)."""

from __future__ import annotations

from rtbench.subjects import Requirement, needs_package

REMEDY = "make stacks (outside a checkout: pip install 'rtbench[stacks]')"


def needs(*modules: str) -> tuple[Requirement, ...]:
    """These packages. A subject's file imports them when it serves, so that it can be listed without them."""
    return tuple(needs_package(module, REMEDY) for module in modules)
