"""Shortcuts through numba, for loops that need little of it.

They reach into parts of numba that have no public name. Without them (`ds2.compilation` goes on
where this module cannot be imported) the same code is compiled, only more slowly.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import IRLegalization


class _InsideLibrary(JITCodeLibrary):
    """The code of a function that goes into what calls it.

    numba would optimise and emit it by itself, and once more with each of its callers. So only the
    functions that Python calls are optimised, with all that is in them.
    """

    def _optimize_functions(self, ll_module: Any) -> None:
        pass

    def finalize(self) -> None:
        """Nothing else is linked in: who calls this function links what it calls, too."""
        self._finalized = True

    @property
    def linked(self) -> list[Any]:
        """The code of what this function calls."""
        return list(self._linking_libraries)

    def get_pointer_to_function(self, _name: str) -> int:
        """None, for there is no machine code; numba says so by 0."""
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        """For the one who would tell the machine code where its globals are."""
        return SimpleNamespace(set_env=lambda *_: None)


class _OutsideLibrary(JITCodeLibrary):
    """The code of a function that Python calls, and of all that it calls, directly or not."""

    def finalize(self) -> None:
        """Link, optimise and emit."""
        for library in self._linking_libraries:  # grows while it is gone through
            if isinstance(library, _InsideLibrary):
                known = self._linking_libraries
                known += [other for other in library.linked if other not in known]
        super().finalize()


class _Begin(LoweringPass):
    """Gives a function its library, before numba would."""

    _name = "begin"
    library: Any

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Nothing of the function changes, so False."""
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        return False


@register_pass(mutates_CFG=False, analysis_only=True)
class _BeginInside(_Begin):
    """For what compiled code calls."""

    library = _InsideLibrary


@register_pass(mutates_CFG=False, analysis_only=True)
class _BeginOutside(_Begin):
    """For what Python calls."""

    library = _OutsideLibrary

    def run_pass(self, state: Any) -> bool:
        """Its code is to be kept on disk."""
        super().run_pass(state)
        state.library.enable_object_caching()
        return False


_NEEDLESS = (
    "WithLifting",
    "InlineClosureLikes",
    "RewriteDynamicRaises",
    "MakeFunctionToJitFunction",
    "InlineInlinables",
    "FindLiterallyCalls",
    "LiteralUnroll",
    "LiteralPropagationSubPipelinePass",
    "InlineOverloads",
    "RewriteSemanticConstants",
    "DeadBranchPrune",
    "NopythonRewrites",
)
"""Steps of numba's for what our loops do not hold: closures, `with`, errors, whole arrays."""


class _Rules:
    """numba's typing rules, each asked once.

    numba goes through dozens of rules for every `+` and every `[...]`. The answer depends on the
    function and on the types of its arguments alone, and most have been asked for before.
    """

    def __init__(self, rules: Any) -> None:
        self._rules = rules
        self._known: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rules, name)

    def resolve_function_type(self, function: Any, args: Any, named: Any) -> Any:
        """The signature of a function for these types. What has to be compiled is asked anew."""
        if named or isinstance(function, types.Dispatcher):
            return self._rules.resolve_function_type(function, args, named)
        asked = (function, args)
        if asked not in self._known:
            self._known[asked] = self._rules.resolve_function_type(function, args, named)
        return self._known[asked]


_rules_of = cache(_Rules)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Compiling makes many objects and few circles: looking for these takes a tenth of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Shortcuts(CompilerBase):
    """numba's steps, less those that we do not need, with our libraries and rules."""

    begin: type[_Begin]

    def define_pipelines(self) -> list[Any]:
        """The one pipeline."""
        self.state.typingctx = _rules_of(self.state.typingctx)
        steps = DefaultPassBuilder.define_nopython_pipeline(self.state)
        steps.passes = [step for step in steps.passes if step[0].__name__ not in _NEEDLESS]
        steps.add_pass_after(self.begin, IRLegalization)
        steps.finalize()
        return [steps]


class Outside(_Shortcuts):
    """Compiles what Python calls, and with it what that calls."""

    begin = _BeginOutside

    def compile_extra(self, func: Any) -> Any:
        """Compile a function."""
        with _without_collecting():
            return super().compile_extra(func)


class Inside(_Shortcuts):
    """Compiles what compiled code calls."""

    begin = _BeginInside
