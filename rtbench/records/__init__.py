"""The typed files of a results folder: one definition for writers and readers."""
