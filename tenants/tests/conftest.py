"""What the tests of limits and sessions share."""

from tenants.tests.clock import clock

__all__ = ["clock"]
