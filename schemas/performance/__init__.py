"""Measured performance: what homes used in a DR event against what they would have used. Pure rules, without I/O.

The terms: an *interval* is a piece of local wall-clock time of 5, 15 or 60 minutes. A *slot* is five minutes of UTC,
numbered from 1970, the finest energy that a baseline uses of past days. The docstrings have the formulas.
"""
