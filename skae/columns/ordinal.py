"""Levels with an order: ordered categories, or the values of a number, each with a probability."""

from dataclasses import dataclass
from typing import ClassVar

from .histogram import Histogram


@dataclass(frozen=True, kw_only=True)
class Ordinal(Histogram):
    """Values in intervals of their own."""

    chosen_for: ClassVar[str | None] = "ordered"
    single: ClassVar[bool] = True


COLUMN = Ordinal
