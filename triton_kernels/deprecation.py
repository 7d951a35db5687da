"""How a name is forwarded and a warning raised: the one mechanism.

Every deprecation of the library goes through `warn_deprecated`, with the code of its row in
`triton_kernels.moves`.  A warning is attributed to the first line of the program itself, whatever
lies between (import machinery, pickle, mock, torch, the methods that dataclasses generates), so a
person can act on it.  `old_attribute` is the whole of a facade.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import os
import sys
import warnings
from types import FrameType

from triton_kernels import TritonKernelsDeprecationWarning, moves

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


def warn_deprecated(code: str) -> None:
    """Warn, once for each place in the caller's code, that the old form `code` was used."""
    text, old, new = _message(code)
    warn_once_per_place(TritonKernelsDeprecationWarning(text, code=code, old=old, new=new))


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
    """Raise `warning` at the caller's line, at most once there while the filters stay as they are.

    Python itself keeps to once a place only under the filter "default"; under "always", which is
    what pytest sets, a loop would warn each time round.  So the place is entered into the caller's
    warning registry whatever the filter was.  Python empties that registry when the filters
    change, hence `pytest.warns` and `catch_warnings` see the warning again.
    """
    frame = _first_frame_outside()
    filename, line = frame.f_code.co_filename, frame.f_lineno
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        warning,
        type(warning),
        filename,
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
    and pickles hold across both.  AttributeError for a name that the module never had (it offers
    the closest ones) or that nothing serves any more (it says why and what to do; the warning
    says so too, because Python drops the text of an AttributeError in `from module import name`).
    """
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    move = moves.BY_OLD_NAME.get(f"{module}.{name}")
    if move is None:
        known = (old.rpartition(".") for old in moves.BY_OLD_NAME)
        close = difflib.get_close_matches(name, [own for of, _, own in known if of == module])
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise AttributeError(f"deprecated module {module!r} has no attribute {name!r}{hint}")
    warn_deprecated(move.code)
    if not move.served:
        raise AttributeError(
            f"module {module!r} no longer has {name!r} ({move.code}): {move.why} {move.advice}"
        )
    return resolve(move.served)


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
