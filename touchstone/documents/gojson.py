"""How does Go write a value as JSON?"""

from __future__ import annotations

import json
from decimal import Decimal
from operator import itemgetter
from typing import Any


def dumps(value: Any) -> str:
    """Compact JSON with sorted keys; numbers as encoding/json and protobuf's JSON write them.

    Raises:
        ValueError: a number is infinite or no number.
    """
    if isinstance(value, dict):
        pairs = sorted(((str(name), item) for name, item in value.items()), key=itemgetter(0))
        return f"{{{','.join(f'{dumps(name)}:{dumps(item)}' for name, item in pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(dumps, value))}]"
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """2 for 2.0, 0.00001 for 1e-05; with an exponent below 1e-6 and from 1e21."""
    shortest = json.dumps(float(value), allow_nan=False)
    if value and not 1e-6 <= abs(value) < 1e21:
        return shortest.replace("e-0", "e-")
    return f"{Decimal(shortest):f}".removesuffix(".0")
