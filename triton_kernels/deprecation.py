"""How a name is forwarded and a warning raised: the one mechanism.

Every deprecation of the library goes through `warn_deprecated`, with the code of its row in
`triton_kernels.moves`.  A warning is attributed to the first line of the program itself, whatever
lies between (import machinery, pickle, mock, torch, the methods that dataclasses generates), so a
person can act on it.  `old_attribute` is the whole of a facade, `accept_assignments` lets old code
monkeypatch it.

Where the filters of `warnings` are out of reach, the environment variable
`TRITON_KERNELS_DEPRECATIONS` stands above them: `error` raises at each use, `always` shows each
use, `once` shows each message once, `ignore` none.  Unset or empty, the filters decide, and each
place is told once while they stay as they are.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import os
import sys
import warnings
from collections import Counter
from types import FrameType, ModuleType
from typing import NamedTuple

from triton_kernels import TritonKernelsDeprecationWarning, moves

ENVIRONMENT = "TRITON_KERNELS_DEPRECATIONS"
_BEHAVIOURS = ("error", "once", "always", "ignore")

_PACKAGES_PASSED_THROUGH = (f"{__name__.rpartition('.')[0]}.", "torch.", "triton.")

_LIBRARY = os.path.dirname(os.path.abspath(os.__file__))
_FILES_PASSED_THROUGH = (
    "<frozen importlib",
    os.path.join(_LIBRARY, "importlib", ""),
    *(
        os.path.join(_LIBRARY, *path.split("/"))
        for path in (
            "contextlib.py",
            "copy.py",
            "dataclasses.py",
            "inspect.py",
            "pickle.py",
            "pkgutil.py",
            "unittest/mock.py",
        )
    ),
)
"""Files of the standard library that look up names or attributes for somebody else."""


class Use(NamedTuple):
    """One place that used an old form."""

    code: str
    file: str
    line: int


_uses: Counter[Use] | None = None
_shown_once: set[str] = set()


def record_uses() -> Counter[Use]:
    """From now on, how often each place uses an old form, whatever becomes of the warnings.

    Returns the counter itself, which grows with every use.
    """
    global _uses
    if _uses is None:
        _uses = Counter()
    return _uses


def warn_deprecated(code: str, text: str = "") -> None:
    """Warn, once for each place in the caller's code, that the old form `code` was used.

    text: what to say instead of what the row says.
    Raises ValueError where `TRITON_KERNELS_DEPRECATIONS` holds something that it cannot mean.
    """
    usual, old, new = _message(code)
    warning = TritonKernelsDeprecationWarning(text or usual, code=code, old=old, new=new)
    frame = _first_frame_outside()
    file, line = frame.f_code.co_filename, frame.f_lineno
    if _uses is not None:
        _uses[Use(code, file, line)] += 1
    behaviour = os.environ.get(ENVIRONMENT, "")
    if not behaviour:
        _warn_once_at(frame, warning)
    elif behaviour == "error":
        raise warning
    elif behaviour == "always" or (behaviour == "once" and str(warning) not in _shown_once):
        _shown_once.add(str(warning))
        warnings.showwarning(warning, type(warning), file, line)
    elif behaviour not in _BEHAVIOURS:
        expected = ", ".join(_BEHAVIOURS[:-1])
        raise ValueError(
            f"{ENVIRONMENT}: expected {expected} or {_BEHAVIOURS[-1]}, got {behaviour!r}"
        )


@functools.cache
def _message(code: str) -> tuple[str, str, str]:
    """(text, old form, new form) of the warning; kept, as making it costs half of a warning."""
    move = moves.BY_CODE[code]
    gone = move.form is moves.Form.NAME and not move.served
    text = f"{move.old_text} is {'gone' if gone else 'deprecated'} ({code}). {move.advice} "
    if move.codemod is moves.Codemod.REWRITES:
        text += f"`{moves.MIGRATE_COMMAND} PATH` rewrites it"
    else:
        text += f"`{moves.MIGRATE_COMMAND} --explain {code}` says more"
    text += "." if gone else f"; the old form goes in version {moves.REMOVED_IN}."
    return text, move.old_text, move.new


def warn_once_per_place(warning: Warning) -> None:
    """Raise `warning` at the caller's line, once there while the filters stay as they are."""
    _warn_once_at(_first_frame_outside(), warning)


def _warn_once_at(frame: FrameType, warning: Warning) -> None:
    """Raise `warning` at the line that `frame` is in, once.

    Python itself keeps to once a place only under the filter "default"; under "always", which is
    what pytest sets, a loop would warn each time round.  So the place is entered into the caller's
    warning registry whatever the filter was.  Python empties that registry when the filters
    change, hence `pytest.warns` and `catch_warnings` see the warning again.
    """
    line = frame.f_lineno
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        warning,
        type(warning),
        frame.f_code.co_filename,
        line,
        # Python drops a warning without a module, which is what code run by a bare exec() has.
        module=frame.f_globals.get("__name__") or "<string>",
        registry=registry,
        source=None,
    )
    registry[(str(warning), type(warning), line)] = True


def resolve(path: str) -> object:
    """The object at a dotted path `package.module.name`, importing the module."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def old_attribute(module: str, name: str) -> object:
    """The object that the old `module` had under `name`, for the `__getattr__` of its facade.

    Warns once for each place.  The object is the very one at its new home, so `is`, `isinstance`
    and pickles hold across both.  An old module inside the old one is imported, as it once came
    with it.
    AttributeError for a name that the module never had (it offers the closest ones) or that
    nothing serves any more (it says why and what to do; the warning says so too, because Python
    drops the text of an AttributeError in `from module import name`).
    """
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    if f"{module}.{name}" in moves.BY_OLD_MODULE:
        return importlib.import_module(f"{module}.{name}")
    move = moves.BY_OLD_NAME.get(f"{module}.{name}")
    if move is None:
        close = difflib.get_close_matches(name, _names_of(module))
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        deprecated = "deprecated " if module in moves.BY_OLD_MODULE else ""
        raise AttributeError(f"{deprecated}module {module!r} has no attribute {name!r}{hint}")
    warn_deprecated(move.code)
    if not move.served:
        raise AttributeError(
            f"module {module!r} no longer has {name!r} ({move.code}): {move.why} {move.advice}"
        )
    return resolve(move.served)


def _names_of(module: str) -> list[str]:
    """What a name of `module` may have been meant to be."""
    old = [path.rpartition(".") for path in moves.BY_OLD_NAME]
    loaded = getattr(sys.modules.get(module), "__all__", ())
    return [name for of, _, name in old if of == module] + list(loaded)


class _OldModule(ModuleType):
    """A facade whose names old code may assign, as it does to patch them.

    What is assigned shadows the name for whoever asks the facade, and `patched` finds it.
    Assigning the original, or deleting the name, ends that: a facade's dict holds patches alone.
    A name that nothing serves can be assigned too, with a warning that says why nothing asks it.
    """

    def __setattr__(self, name: str, value: object) -> None:
        move = moves.BY_OLD_NAME.get(f"{self.__name__}.{name}")
        if move is not None:
            if _is_original(move, value):
                vars(self).pop(name, None)
                return
            no_effect = "" if move.served else _no_effect(move)
            warn_deprecated(move.code, no_effect)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        # What was patched with the original is no longer there when the patch is undone.
        if name in vars(self) or f"{self.__name__}.{name}" not in moves.BY_OLD_NAME:
            super().__delattr__(name)


def _is_original(move: moves.Move, value: object) -> bool:
    """Whether `value` is what the facade serves; its home is not imported to find out."""
    home = move.served.rpartition(".")[0]
    return home in sys.modules and value is resolve(move.served)


def _no_effect(move: moves.Move) -> str:
    return (
        f"Assigning {move.old} has no effect, since nothing calls it ({move.code}). "
        f"{move.why} {move.advice}"
    )


def accept_assignments(module: str) -> None:
    """Let old code assign the names of the facade `module`; see `_OldModule`."""
    sys.modules[module].__class__ = _OldModule


def patched(module: str, name: str) -> object | None:
    """What old code has put in the place of `name` of the facade `module`; None if nothing."""
    facade = sys.modules.get(module)
    return None if facade is None else vars(facade).get(name)


def _first_frame_outside() -> FrameType:
    """The innermost frame that belongs to the program, or the innermost of all if none does."""
    frame = innermost = sys._getframe(1)
    while _is_passed_through(frame):
        if frame.f_back is None:
            return innermost
        frame = frame.f_back
    return frame


def _is_passed_through(frame: FrameType) -> bool:
    code = frame.f_code
    module = f"{frame.f_globals.get('__name__')}."
    return (
        module.startswith(_PACKAGES_PASSED_THROUGH)
        or code.co_filename.startswith(_FILES_PASSED_THROUGH)
        # Methods that dataclasses generates for a class of the program.
        or (code.co_filename == "<string>" and code.co_name.startswith("__"))
    )
