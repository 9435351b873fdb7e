"""The one exception that a user is meant to see."""


class UserError(Exception):
    """Bad input. The message is one line that names the culprit and the mend; the CLI prints it and exits with 2."""


def did_you_mean(name: str, choices: list[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest of ``choices``, or an empty string when none is near."""
    import difflib

    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""
