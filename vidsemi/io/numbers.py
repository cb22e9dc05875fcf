"""Numbers as people write them."""

import re
from decimal import Decimal

SCIENTIFIC = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)[eE][+-]?\d{1,3}")


def scientific(text: str) -> int | float | None:
    """A number with an exponent, such as `1e6`, which YAML takes for a text; None for anything else.

    >>> scientific("1e6"), scientific("2.5e-4"), scientific("a1e6")
    (1000000, 0.00025, None)
    """
    if not SCIENTIFIC.fullmatch(text.strip()):
        return None
    exact = Decimal(text.strip().replace("_", ""))
    return int(exact) if exact.adjusted() < 18 and exact == exact.to_integral_value() else float(exact)
