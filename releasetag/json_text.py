"""Parse JSON that others wrote: configurations, answers of helpers, engines and registries."""

import json
import math
import re

MAX_DEPTH = 100
"""The most levels of a document: few enough to walk one recursively, as ``json.dumps`` does."""

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89A-Fa-f]")


class InvalidJsonError(ValueError):
    """Why a text is no usable JSON: ``is not JSON (line 1, column 2)``. Quotes nothing of it."""


def parse_json(text: bytes | str) -> object:
    """Parse a document.

    Raises:
        InvalidJsonError: it is not JSON, is nested more than ``MAX_DEPTH`` levels deep, or has
            strings that are not Unicode, which could be neither printed nor sent.
    """
    # Raised outside the handlers: a JSONDecodeError carries the whole document, secrets included.
    fault = ""
    value: object = None
    try:
        decoded = text if isinstance(text, str) else text.decode(json.detect_encoding(text))
        decoded.encode()
        value = json.loads(decoded, parse_float=_finite, parse_constant=_finite)
        if _ESCAPED_SURROGATE.search(decoded):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        fault = f"is not JSON (line {error.lineno}, column {error.colno})"
    except UnicodeError:
        fault = "is not JSON in Unicode"
    except RecursionError:
        fault = "is nested too deeply"
    except ValueError:  # NaN, or a number that is too large
        fault = "is not JSON"
    if not fault and _is_deeper(value, MAX_DEPTH):
        fault = "is nested too deeply"
    if fault:
        raise InvalidJsonError(fault)
    return value


def _finite(text: str) -> float:
    """Parse a number; Python reads NaN and writes Infinity, neither of which is JSON."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _is_deeper(value: object, depth: int) -> bool:
    level = [value]
    while level and depth:
        level = [child for item in level for child in _children(item)]
        depth -= 1
    return bool(level)


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
