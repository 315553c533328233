"""A range of time as a range of guids: those of runs are UUIDv7."""

import uuid
from datetime import datetime


def since(at: datetime) -> uuid.UUID:
    """The least guid (UUIDv7) that a run of this moment can have: a range of time is a range of the index."""
    return uuid.UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62))
