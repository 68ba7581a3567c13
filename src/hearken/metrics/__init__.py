"""Yardsticks: of sound (intrusive, blind), of agreement, of timed spans, of words; and tables.

Nothing here is a reward: the training loops' rewards cannot import this package.
"""
