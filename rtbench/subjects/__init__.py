"""Subjects: their model, their requirements and their registry.

A subject's file imports `Subject`, `Program`, … from here; `rtbench.servers.kit` is the kit for one's own servers. To
look subjects up, use `rtbench.subjects.registry`.
"""

from rtbench.subjects.model import CAPABILITIES, CLAIMS, FEED, NOBODY, Launch, Post, Program, Subject
from rtbench.subjects.requirements import Requirement, needs_file, needs_package, needs_program

__all__ = [
    "CAPABILITIES",
    "CLAIMS",
    "FEED",
    "NOBODY",
    "Launch",
    "Post",
    "Program",
    "Requirement",
    "Subject",
    "needs_file",
    "needs_package",
    "needs_program",
]
