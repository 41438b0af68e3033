"""A caveat as values, and the one place where it becomes a sentence: for the page, Markdown, JSON and the terminal.

Invariant: what caveats may differ in and still say the same (trials, subjects, metrics, numbers) is a value here, so
that they are grouped by it (`condense`) before anything is written. Made by `caveats` and `several`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rtbench.analysis import format
from rtbench.analysis.metrics import catalogue


@dataclass(frozen=True, slots=True)
class Names:
    """What a sentence is about, at one place of it."""

    kind: Literal["subject", "metric"]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """A number and its digits; the unit is a word of the sentence."""

    value: float
    digits: str


@dataclass(frozen=True, slots=True)
class Amounts:
    """The numbers at one place of a sentence."""

    amounts: tuple[Amount, ...]

    def listed(self) -> str:
        """`40, 126`."""
        return ", ".join(dict.fromkeys(one.digits for one in self.amounts))

    def spanned(self) -> str:
        """`1.1 to 12.5`."""
        low, high = (end(self.amounts, key=lambda one: one.value) for end in (min, max))
        return low.digits if low.value == high.value else f"{low.digits} to {high.digits}"


@dataclass(frozen=True, slots=True)
class Agreeing:
    """A word that depends on whether the sentence's first names are one or several."""

    one: str
    several: str


Part = str | Names | Amounts | Agreeing
Text = tuple[Part, ...]


def subject(name: str) -> Names:
    return Names("subject", (name,))


def number(value: float, form: str = ",.0f") -> Amounts:
    return Amounts((Amount(value, f"{value:{form}}"),))


def quantity(value: float, unit: str) -> Text:
    """`8.71 ms`: its digits are the number, the rest is a word."""
    digits, name = format.parts(value, unit)
    return Amounts((Amount(value, digits),)), f" {name}".rstrip()


@dataclass(frozen=True, slots=True)
class Caveat:
    """One line: `grave` ones change what may be concluded, the others only how it is to be read."""

    kind: str
    text: Text
    remedy: str
    grave: bool
    trials: tuple[tuple[int, str], ...] = ()
    """Number and subject of the trials that it is about; empty when it is not about trials."""
    status: str = ""
    """What those trials are, `invalid` or `failed`; empty when they count."""
    spoils: tuple[str, ...] = ()
    """The metrics that are not believed because of it."""

    @property
    def message(self) -> str:
        """The sentence."""
        return f"{self.short} (spoils {', '.join(self.spoils)})" if self.spoils else self.short

    @property
    def short(self) -> str:
        """The sentence without the metrics that it spoils: for a terminal."""
        text = written(self.text, spans=len(self.trials) > 1)
        if not self.trials:
            return text
        if len(self.trials) == 1:
            (number_, name) = self.trials[0]
            return f"trial {number_}, {name}{f', is {self.status}' if self.status else ''}: {text}"
        of: dict[str, list[str]] = {}
        for number_, name in self.trials:
            of.setdefault(name, []).append(str(number_))
        which = "; ".join(f"{', '.join(numbers)} of {name}" for name, numbers in of.items())
        count = len({number_ for number_, _ in self.trials})
        are = f" {'are' if count > 1 else 'is'} {self.status}" if self.status else ""
        return f"{count} trial{'s' * (count > 1)}{are} ({which}): {text}"

    def row(self) -> dict[str, Any]:
        """The row of report.json."""
        return {"kind": self.kind, "message": self.message, "remedy": self.remedy, "metrics": []}


def written(text: Text, *, spans: bool = False) -> str:
    """The sentence; several numbers at one place as a list, or, with `spans`, from the smallest to the largest."""
    several = next((len(part.names) > 1 for part in text if isinstance(part, Names)), False)
    words = []
    for part in text:
        if isinstance(part, Names):
            words.append(", ".join(part.names))
        elif isinstance(part, Amounts):
            words.append(part.spanned() if spans else part.listed())
        elif isinstance(part, Agreeing):
            words.append(part.several if several else part.one)
        else:
            words.append(part)
    return "".join(words)


def recorded(message: str, subjects: Sequence[str]) -> Text:
    """A sentence that is on disk already, taken apart: a reason of a manifest, a warning of campaign.json.

    Those hold text alone, so this is the one place that reads sentences: names of metrics and `subjects` in it, and its
    numbers, become values; everything else is a word. `written` gives the same sentence back.
    """
    names = {"metric": [metric.name for metric in catalogue()], "subject": list(subjects)}
    either = "|".join(
        f"(?P<{kind}>{'|'.join(sorted(map(re.escape, of), key=len, reverse=True))})" for kind, of in names.items() if of
    )
    found: list[Part] = []
    end = 0
    for match in re.finditer(rf"(?<![\w@+-])(?:{either})(?![\w@+-])|(?<!\w){_DIGITS}", message):
        found.append(message[end : match.start()])
        end = match.end()
        if match.lastgroup == "metric":
            found.append(Names("metric", (match[0],)))
        elif match.lastgroup == "subject":
            found.append(Names("subject", (match[0],)))
        else:
            found.append(Amounts((Amount(float(match[0].replace(",", "")), match[0]),)))
    return tuple(part for part in (*found, message[end:]) if part != "")


_DIGITS = r"\d+(?:,\d{3})*(?:\.\d+)?"
