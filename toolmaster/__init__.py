"""toolmaster: language models that try unfamiliar tools safely first, then do the job."""

__version__ = "0.1.0"
