"""The subjects under test: one hub, one publisher, one file per subject. What is measured."""
