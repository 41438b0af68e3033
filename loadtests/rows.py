"""Rows of whole numbers in one flat array, row after row; columns by the names of the table.

A row is identified by its place, which stays the same when rows are added. Invariant: every row has all columns of its
table, in their order. The recorder adds a row for each message, so adding is the array's own method.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.records.tables import TABLES


class Rows:
    """The rows of a table of `kind` (`rtbench.records.tables`) that consists of int64 columns."""

    def __init__(self, kind: str) -> None:
        self._names = list(TABLES[kind])
        self._width = len(self._names)
        self._offset = {name: offset for offset, name in enumerate(self._names)}
        self._data = array("q")
        self.append = self._data.extend
        """Add a row, a tuple with a number for each column."""
        self.place = self._data.__len__
        """The place of the next row."""

    def __len__(self) -> int:
        return len(self._data) // self._width

    def put(self, place: int, column: str, value: int) -> None:
        """Change one number of the row at `place`."""
        self._data[place + self._offset[column]] = value

    def fill(self, first: int, end: int, column: str, value: int) -> None:
        """Set a column of every row from the place `first` to before the place `end`."""
        count = (end - first) // self._width
        self._data[first + self._offset[column] : end : self._width] = array("q", (value,)) * count

    def clear(self) -> None:
        """Drop all rows."""
        del self._data[:]

    def columns(self, first: int = 0) -> dict[str, npt.NDArray[np.int64]]:
        """The table from its row number `first` on; a copy."""
        table: Any = np.frombuffer(self._data, dtype=np.int64).reshape(-1, self._width)[first:].copy()
        return {name: table[:, offset] for name, offset in self._offset.items()}
