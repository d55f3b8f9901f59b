"""Many trials: what to try, when to stop, where it runs, who wins.

The package is also the function: ``from automl_img import search`` gives this module, and calling
it starts a search (see ``automl_img.search.study.search``). A function of the same name in the
parent would be replaced by this module as soon as anything in it is imported.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from automl_img.search import study

        return study.search(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
