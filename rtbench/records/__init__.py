"""The typed files of a results folder: one definition for whoever writes and whoever reads them."""
