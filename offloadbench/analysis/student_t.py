"""Student's t distribution: scipy's, imported when a figure first needs it, since that takes a quarter of a second."""

from __future__ import annotations


def below(degrees: float, t: float) -> float:
    """The probability of less than `t`."""
    from scipy import special

    return float(special.stdtr(degrees, t))


def quantile(degrees: float, probability: float) -> float:
    """The t that is not reached with this probability."""
    from scipy import special

    return float(special.stdtrit(degrees, probability))
