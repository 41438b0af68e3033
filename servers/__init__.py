"""The subjects under test: one hub, one publisher, one file per subject. This folder is what is measured."""
