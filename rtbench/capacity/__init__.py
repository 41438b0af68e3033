"""Capacity: the bracket in which a service level stops to hold (R19). Every probe is a trial of a results folder."""
