"""Range check of the fields that this end writes."""


def require(name: str, value: int, lowest: int, highest: int) -> None:
    """Raise ValueError unless `value` is within `lowest` to `highest`, both allowed."""
    if not lowest <= value <= highest:
        raise ValueError(f"{name}: got {value}, expected {lowest}..{highest}")
