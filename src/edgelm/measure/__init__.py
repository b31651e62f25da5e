"""What a model reaches on a device: the run, its report, and the report as a page."""

from edgelm.measure.run import measure

__all__ = ["measure"]
