"""What many returns come to: means with intervals, and what outliers do not move."""

import math
from collections.abc import Callable

import numpy as np

NORMAL_QUANTILE = 1.96
"""The 0.975 quantile of the normal distribution."""


def confidence_half_width(samples: np.ndarray) -> np.ndarray:
    """1.96 s / √N over axis 0, with s the sample standard deviation; NaN for one sample."""
    samples = np.asarray(samples, np.float64)
    if samples.shape[0] < 2:
        return np.full(samples.shape[1:], np.nan)
    deviation = np.asarray(np.std(samples, axis=0, ddof=1))
    return np.asarray(NORMAL_QUANTILE * deviation / np.sqrt(samples.shape[0]))


def seeds_half_width(values: np.ndarray) -> np.ndarray:
    """Half-width of the 95% interval of a mean over few agents: t s / √S over axis 0.

    With t the 0.975 quantile of Student's distribution of S - 1 degrees of freedom, and s the
    sample standard deviation; NaN for one agent.

    Args:
        values: [S, ...].
    """
    from scipy.special import stdtrit

    return confidence_half_width(values) * (stdtrit(len(values) - 1, 0.975) / NORMAL_QUANTILE)


def bootstrap_interval(
    values: np.ndarray, statistic: Callable[[np.ndarray], float], resamples: int = 500
) -> tuple[float, float]:
    """95% interval of a statistic that has no formula for one: percentiles over resamples.

    Args:
        values: [N]; of fewer than two the interval is NaN.
        statistic: [N] -> a number.
        resamples: of N values each, drawn with replacement from a fixed seed.

    Returns:
        (low, high).

    Reference:
        Efron (1979), "Bootstrap methods: another look at the jackknife", section 3.
    """
    if len(values) < 2:
        return math.nan, math.nan
    generator = np.random.default_rng(0)
    indices = (generator.integers(len(values), size=len(values)) for _ in range(resamples))
    low, high = np.percentile([statistic(values[i]) for i in indices], [2.5, 97.5])
    return float(low), float(high)


def percentile_20(values: np.ndarray) -> float:
    """What a fifth of [N] numbers fall short of."""
    return float(np.percentile(values, 20))


def with_control(samples: np.ndarray, control: np.ndarray) -> np.ndarray:
    """Samples of the same mean and less variance: x - β c, with β = cov(x, c) / var(c).

    β is fitted to the samples, which moves the mean by O(1/N).

    Args:
        samples: [N, ...].
        control: [N] of mean 0 by what is known of it, whatever its sample mean.

    Returns:
        [N, ...] float64.

    Reference:
        Owen (2013), "Monte Carlo theory, methods and examples", section 8.9.
    """
    samples = np.asarray(samples, np.float64)
    spread = np.asarray(control, np.float64) - np.mean(control, dtype=np.float64)
    variance = np.mean(spread**2)
    if variance == 0:
        return samples
    slope = np.tensordot(spread, samples, axes=1) / (len(samples) * variance)
    return samples - np.multiply.outer(np.asarray(control, np.float64), slope)


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half of [N] numbers; those on its edges count for their part.

    Reference:
        Agarwal, Schwarzer, Castro, Courville, Bellemare (2021), "Deep reinforcement learning at the
        edge of the statistical precipice", section 4.2.
    """
    number = len(values)
    rank = np.arange(number)
    inside = np.minimum(rank + 1, 0.75 * number) - np.maximum(rank, 0.25 * number)
    return float(np.average(np.sort(values), weights=inside.clip(0)))
