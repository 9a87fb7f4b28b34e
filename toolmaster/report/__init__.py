"""Trajectories for people: a self-contained HTML report and a terminal viewer."""

from toolmaster.report.page import write_report
from toolmaster.report.viewer import show_trajectory

__all__ = ["show_trajectory", "write_report"]
