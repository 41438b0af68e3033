"""The computer: its description, the kernel's counters, and whether it can measure."""
