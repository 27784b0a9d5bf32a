"""Photos in, photos out: picture files, tiling, and how close a result is to its target.

`mapjax.restore(image)` is short for `mapjax.restore.restore(image)`.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mapjax.restore.blind import BlindMeasures as BlindMeasures
    from mapjax.restore.blind import measure_blind as measure_blind
    from mapjax.restore.errors import PictureError as PictureError
    from mapjax.restore.evaluation import Evaluation as Evaluation
    from mapjax.restore.evaluation import evaluate as evaluate
    from mapjax.restore.export import export_restore as export_restore
    from mapjax.restore.measures import Measures as Measures
    from mapjax.restore.measures import measure as measure
    from mapjax.restore.networks import RestorationModel as RestorationModel
    from mapjax.restore.networks import load_model as load_model
    from mapjax.restore.networks import load_models as load_models
    from mapjax.restore.photo import Photo as Photo
    from mapjax.restore.reading import read_photo as read_photo
    from mapjax.restore.restorer import restore as restore
    from mapjax.restore.writing import write_photo as write_photo

_HOMES = {
    "BlindMeasures": "blind",
    "Evaluation": "evaluation",
    "Measures": "measures",
    "Photo": "photo",
    "PictureError": "errors",
    "RestorationModel": "networks",
    "evaluate": "evaluation",
    "export_restore": "export",
    "load_model": "networks",
    "load_models": "networks",
    "measure": "measures",
    "measure_blind": "blind",
    "read_photo": "reading",
    "restore": "restorer",
    "write_photo": "writing",
}
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    # PEP 562: reading a picture does not wait for JAX, restoring an array not for Pillow.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _CallableModule(types.ModuleType):
    # `mapjax.restore` is this package, by the rules of import, and also the function that users
    # call: `mj.restore(image)` works whichever of the two was named first.
    def __call__(self, image, **options):
        """`mapjax.restore.restore`."""
        return __getattr__("restore")(image, **options)


sys.modules[__name__].__class__ = _CallableModule
