"""Proxies in front of a subject: one file each, as shipped and tuned for streams (rtbench.subjects.proxies)."""
