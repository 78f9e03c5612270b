"""The error that a person's mistake raises, anywhere in the library."""


class UserError(Exception):
    """A mistake in what the library was given: a config, a list file, a video, a checkpoint.

    Its message says what was given, what was expected and what to do next. The command line prints the message alone,
    without a traceback, and exits with status 2.
    """
