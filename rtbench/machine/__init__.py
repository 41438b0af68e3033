"""This computer: what it is, what the kernel says of it, and whether it can measure."""
