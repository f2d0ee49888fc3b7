"""What may go wrong. Each message says what was wrong, where, and what to do."""


class LogError(Exception):
    """Any of these."""


class NoLog(LogError):
    """There is no log, or not the part that was asked for."""


class Unsupported(LogError):
    """Of a newer format, or what this reader lacks a module for."""


class Corrupt(LogError):
    """Bytes that were on the disk once are bad or gone."""


class MissingSchema(LogError):
    """The folder does not explain the events, or not in a way that can be read."""
