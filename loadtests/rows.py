"""Rows of whole numbers in one flat array, row after row; columns by the names of the table.

A row is identified by its place, which stays the same when rows are added, and when the oldest go to a file (`spill`):
in a long trial a load process keeps a bounded number of them in memory. The file has no name, so that nothing is left
of it however the process ends. Invariant: every row has all columns of its table, in their order, and `pieces` gives
the same rows wherever they are. The recorder adds a row for each message, so adding is the array's own method.
"""

from __future__ import annotations

import os
import struct
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rtbench.records.tables import TABLES

_BYTES = 8
SPILL_NUMBERS = 2**14
"""So many numbers go to the file at once: 128 KiB."""


class Rows:
    """The rows of a table of `kind` (`rtbench.records.tables`) that consists of int64 columns."""

    def __init__(self, kind: str) -> None:
        self._names = list(TABLES[kind])
        self._width = len(self._names)
        self._offset = {name: offset for offset, name in enumerate(self._names)}
        self._data = array("q")
        self._file = -1
        self._spilled = 0
        """The numbers in the file, which come before those in memory."""
        self.append = self._data.extend
        """Add a row, a tuple with a number for each column."""
        self.place: Callable[[], int] = self._data.__len__
        """The place of the next row."""

    def __len__(self) -> int:
        return self.place() // self._width

    def put(self, place: int, column: str, value: int) -> None:
        """Change one number of the row at `place`."""
        at = place + self._offset[column] - self._spilled
        if at >= 0:
            self._data[at] = value
        else:
            os.pwrite(self._file, struct.pack("=q", value), (at + self._spilled) * _BYTES)

    def fill(self, first: int, end: int, column: str, value: int) -> None:
        """Set a column of every row from the place `first` to before the place `end`; they are still in memory."""
        count = (end - first) // self._width
        first, end = first - self._spilled, end - self._spilled
        self._data[first + self._offset[column] : end : self._width] = array("q", (value,)) * count

    def clear(self) -> None:
        """Drop all rows in memory."""
        del self._data[:]

    def spill(self, folder: Path) -> None:
        """Move the rows to a file in `folder`, if there are enough of them. OSError (a full disk) keeps them here."""
        if len(self._data) < SPILL_NUMBERS:
            return
        if self._file < 0:
            with tempfile.TemporaryFile(dir=folder) as file:
                self._file = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._file)
            self.place = self._place
        left, at = memoryview(self._data).cast("B"), self._spilled * _BYTES
        with left:
            done = 0
            while done < len(left):  # again from its start after a failure: `_spilled` is what counts
                done += os.pwrite(self._file, left[done:], at + done)
        self._spilled += len(self._data)
        del self._data[:]

    def _place(self) -> int:
        return self._spilled + len(self._data)

    def columns(self, first: int = 0) -> dict[str, npt.NDArray[np.int64]]:
        """The table from its row number `first` on; a copy. The rows must be in memory."""
        table: Any = np.frombuffer(self._data, dtype=np.int64).reshape(-1, self._width)[first:].copy()
        return self._named(table)

    def pieces(self, most: int) -> Iterator[dict[str, npt.NDArray[np.int64]]]:
        """The whole table, `most` rows at a time; one piece at least."""
        memory: Any = np.frombuffer(self._data, dtype=np.int64)
        size, total = most * self._width, self.place()
        for start in range(0, max(total, 1), size):
            end, parts = min(start + size, total), [memory[:0]]
            if start < self._spilled:
                held = os.pread(self._file, (min(end, self._spilled) - start) * _BYTES, start * _BYTES)
                parts.append(np.frombuffer(held, dtype=np.int64))
            if end > self._spilled:
                parts.append(memory[max(start - self._spilled, 0) : end - self._spilled])
            yield self._named(np.concatenate(parts).reshape(-1, self._width))

    def _named(self, table: Any) -> dict[str, npt.NDArray[np.int64]]:
        return {name: table[:, offset] for name, offset in self._offset.items()}
