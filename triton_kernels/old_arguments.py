"""Arguments that a function no longer takes, or takes by another name, told apart from new ones.

Decorators for the functions that old code calls.  A call in today's form passes through them at
the price of one comparison; an old form warns, with the code of its row, and is translated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from triton_kernels.deprecation import resolve, warn_deprecated

__all__ = ["another_function", "dropped_argument", "known_signatures", "renamed_arguments"]

P = ParamSpec("P")
R = TypeVar("R")


def dropped_argument(
    name: str, position: int, *, by_keyword: str, by_position: str, releases: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Drop the bool argument `name`, which once stood at `position`, with a warning.

    What stands at that position now is never a bool, so the type tells them apart.
    by_keyword, by_position: codes of the two old forms.
    releases: the releases that had it, for the error about a call that is neither form.
    """
    known = f"{name} is taken too, {_ordinal(position)} as a bool, as in {releases}"

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            rest = args
            if len(args) > position and isinstance(args[position], bool):
                warn_deprecated(by_position)
                rest = (*args[:position], *args[position + 1 :])  # type: ignore[assignment]
            elif name in kwargs:
                warn_deprecated(by_keyword)
                del kwargs[name]
            try:
                return function(*rest, **kwargs)
            except TypeError as error:
                if _came_from_inside(error):
                    raise
                raise TypeError(f"{error}; {known}") from None

        return call

    return decorate


def renamed_arguments(code: str, **new_names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Take keywords by their old names too: `renamed_arguments("TKM009", old="new")`.

    code: the row to warn with; "" takes them silently, where the name is another release's and
        not an old one.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if kwargs and any(old in kwargs for old in new_names):  # torch.compile traces this
                if code:
                    warn_deprecated(code)
                for old, new in new_names.items():
                    if old in kwargs:
                        if new in kwargs:
                            raise TypeError(
                                f"{function.__name__}() got {new!r} twice, as {old!r} as well"
                            )
                        kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def another_function(
    code: str, old: str, is_old: Callable[[tuple[Any, ...], dict[str, Any]], bool]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let `old`, a dotted path, answer the calls that `is_old` tells apart, with a warning."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if not is_old(args, kwargs):
                return function(*args, **kwargs)
            warn_deprecated(code)
            answer: Callable[..., R] = resolve(old)  # type: ignore[assignment]
            return answer(*args, **kwargs)

        return call

    return decorate


def known_signatures(*signatures: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Name the signatures that releases had where a call fits none: a TypeError that helps.

    signatures: as "3.4 and 3.5: (logits, n_expts_act)".
    """
    known = "signatures known: " + "; ".join(signatures)

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                if _came_from_inside(error):
                    raise
                raise TypeError(f"{error}; {known}") from None

        return call

    return decorate


def _came_from_inside(error: TypeError) -> bool:
    """Whether the function was entered, so that its call was not what failed."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is not None


def _ordinal(position: int) -> str:
    return ("first", "second", "third", "fourth", "fifth", "sixth")[position]
