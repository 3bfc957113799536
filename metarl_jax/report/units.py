"""Numbers and times as people read them."""

import math

MINUS = "\N{MINUS SIGN}"
_UNITS = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


def count(value: float) -> str:
    """Three digits and a unit: 950, 17.2 k, 2.40 M."""
    for size, unit in _UNITS:
        if abs(value) >= size * 0.9995:  # 999,600 rounds to 1.00 M, not to 1000 k
            return _three_digits(value / size) + unit
    return f"{value:.0f}"


def round_count(value: float) -> str:
    """`count` without trailing zeros, for the ticks of an axis: 500 k, 2.4 M."""
    number, _, unit = count(value).partition(" ")
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number} {unit}".rstrip()


def _three_digits(value: float) -> str:
    magnitude = abs(value)
    return f"{value:.{2 if magnitude < 9.995 else 1 if magnitude < 99.95 else 0}f}"


def quantity(value: float) -> str:
    """A return or a loss, with as many decimals as its size deserves: -98.3, 6.62, 0.041."""
    value = float(value) + 0.0  # turns -0.0 into 0.0
    magnitude = abs(value)
    if not math.isfinite(value):
        return str(value)
    if magnitude >= 1000:
        return f"{value:,.0f}"
    if magnitude >= 20:
        return f"{value:.1f}"
    if magnitude >= 0.9995 or magnitude == 0:  # not 1.000 beside 1.00
        return f"{value:.2f}"
    return f"{value:.3f}" if magnitude >= 0.01 else f"{value:.1e}".replace("e-0", "e-")


def duration(seconds: float) -> str:
    """The two largest units: 8 s, 7 min 12 s, 1 h 05 min, 2 d 04 h."""
    if not math.isfinite(seconds):
        return "?"
    seconds = max(0, round(seconds))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24:02d} h"
    if hours:
        return f"{hours} h {minutes % 60:02d} min"
    if minutes:
        return f"{minutes} min {seconds % 60:02d} s"
    return f"{seconds} s"


def roughly(seconds: float) -> str:
    """One unit, two digits: 8 s, 7.2 min, 18 min, 1.1 h, 2.2 d."""
    if not math.isfinite(seconds):
        return "?"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 0.995 * size:
            amount = seconds / size
            return f"{amount:.{1 if amount < 9.95 else 0}f} {unit}"
    return f"{max(0, seconds):.0f} s"


def with_interval(mean: float, width: float | None) -> str:
    """The mean to the second digit of its uncertainty, as far as that is within four decimals."""
    if width is None or not math.isfinite(width) or width <= 0:
        return number(mean)
    decimals = min(4, max(0, 1 - math.floor(math.log10(width))))
    mean = round(mean, decimals) + 0.0  # turns -0.0 into 0.0
    return f"{mean:,.{decimals}f} ± {width:,.{decimals}f}".replace("-", MINUS)


def number(value: float) -> str:
    """`quantity` without exponents, and with a minus sign as wide as the plus."""
    text = f"{value:.4f}" if 0 < abs(value) < 0.01 else quantity(value)
    return text.replace("-", MINUS)


def between(value: float, ends: tuple[float, float] | None) -> str:
    """A value with its 95% interval where there is one, as in "7.00, 6.50 to 7.20"."""
    if ends is None or not all(map(math.isfinite, ends)):  # one task has no interval
        return number(value)
    return f"{number(value)}, {number(ends[0])} to {number(ends[1])}"


def plain_name(name: str) -> str:
    """The name of an argument or a measure in words: "arms" for "num_arms"."""
    return name.removeprefix("num_").replace("_", " ")
