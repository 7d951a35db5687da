"""How a name is forwarded and a warning raised: the one mechanism.

Every deprecation of the library goes through `warn_deprecated`, with the code of its row in
`triton_kernels.moves`.  A warning is attributed to the first line outside this package, whatever
lies between (import machinery, dataclass methods), so a person can act on it.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from types import FrameType

from triton_kernels import TritonKernelsDeprecationWarning, moves

_PACKAGE_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_IMPORT_MACHINERY = os.path.dirname(os.path.abspath(importlib.__file__)) + os.sep


def warn_deprecated(code: str) -> None:
    """Warn, once for each place in the caller's code, that the old form `code` was used."""
    move = moves.BY_CODE[code]
    text = f"{move.old_text} is deprecated ({code}). {move.advice} "
    if move.codemod is moves.Codemod.REPORTS:
        text += f"`{moves.MIGRATE_COMMAND} --explain {code}` says more; "
    else:
        text += f"`{moves.MIGRATE_COMMAND} PATH` rewrites it; "
    text += f"the old form goes in version {moves.REMOVED_IN}."
    warn_once_per_place(
        TritonKernelsDeprecationWarning(text, code=code, old=move.old_text, new=move.new)
    )


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
        module=frame.f_globals.get("__name__"),
        registry=registry,
        source=None,
    )
    registry[(str(warning), type(warning), line)] = True


def resolve(path: str) -> object:
    """The object at a dotted path `package.module.name`, importing the module."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _first_frame_outside() -> FrameType:
    """The innermost frame that is neither this package's nor the import machinery's."""
    frame = innermost = sys._getframe(1)
    while _is_internal(frame):
        if frame.f_back is None:
            return innermost
        frame = frame.f_back
    return frame


def _is_internal(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    return (
        filename.startswith((_PACKAGE_FOLDER, _IMPORT_MACHINERY, "<frozen importlib"))
        # The methods that dataclasses generates have no file.
        or filename == "<string>"
        and frame.f_globals.get("__name__", "").startswith("triton_kernels.")
    )
