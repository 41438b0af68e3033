"""What is compared: the model of a subject, what it needs on this machine, and where it is found.

`from rtbench.subjects import Subject, Program, …` is what a subject's file needs; the kit for servers of one's own is
`rtbench.servers.kit`. Whoever looks subjects up asks `rtbench.subjects.registry`.
"""

from rtbench.subjects.model import CAPABILITIES, FEED, NOBODY, Launch, Post, Program, Subject
from rtbench.subjects.requirements import Requirement, needs_file, needs_package, needs_program

__all__ = [
    "CAPABILITIES",
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
