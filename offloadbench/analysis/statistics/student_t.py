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


def noncentrality(degrees: float, t: float, probability: float) -> float:
    """The noncentrality with which less than `t` has this probability."""
    from scipy import special

    return float(special.nctdtrinc(degrees, probability, t))


def median_variance(degrees: float) -> float:
    """The median of an estimated variance over the true one: 0.45 with one degree of freedom, near 1 with many."""
    from scipy import special

    return float(special.chdtri(degrees, 0.5)) / degrees


def above_f(ratio: float, degrees: float, below_degrees: float) -> float:
    """The probability of more than this ratio of two estimates of one variance."""
    from scipy import special

    return float(special.fdtrc(degrees, below_degrees, ratio))
