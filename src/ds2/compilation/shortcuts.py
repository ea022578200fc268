"""Shortcuts through numba, for loops that need little of it.

They use parts of numba that have no public name. If the import of this module fails,
`ds2.compilation` compiles the same code without it, only more slowly.
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
    """The code of a function that becomes part of its callers.

    numba would optimise and emit it by itself, and again with each of its callers. Here only the
    functions that Python calls are optimised, with everything inside them.
    """

    def _optimize_functions(self, ll_module: Any) -> None:
        pass

    def finalize(self) -> None:
        """Link nothing: the callers of this function also link the functions that it calls."""
        self._finalized = True

    @property
    def linked(self) -> list[Any]:
        """The code of the functions that this function calls."""
        return list(self._linking_libraries)

    def get_pointer_to_function(self, _name: str) -> int:
        """Return 0, which means to numba that there is no machine code."""
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        """Takes the place of the code that would tell machine code where its globals are."""
        return SimpleNamespace(set_env=lambda *_: None)


class _OutsideLibrary(JITCodeLibrary):
    """The code of a function that Python calls, and of all that it calls, directly or not."""

    def finalize(self) -> None:
        """Link, optimise and emit."""
        for library in self._linking_libraries:  # it grows during the loop
            if isinstance(library, _InsideLibrary):
                known = self._linking_libraries
                known += [other for other in library.linked if other not in known]
        super().finalize()


class _Begin(LoweringPass):
    """Gives a function its library before numba does."""

    _name = "begin"
    library: Any

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Return False: nothing in the function changes."""
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        return False


@register_pass(mutates_CFG=False, analysis_only=True)
class _BeginInside(_Begin):
    """For functions that compiled code calls."""

    library = _InsideLibrary


@register_pass(mutates_CFG=False, analysis_only=True)
class _BeginOutside(_Begin):
    """For functions that Python calls."""

    library = _OutsideLibrary

    def run_pass(self, state: Any) -> bool:
        """Also keep the code on disk."""
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
"""Steps of numba for things that our loops lack: closures, `with`, errors, whole arrays."""


class _Rules:
    """numba's typing rules, with a memory of their answers.

    numba tries dozens of rules for every `+` and every `[...]`. The answer depends only on the
    function and on the types of its arguments, and most questions come again and again.
    """

    def __init__(self, rules: Any) -> None:
        self._rules = rules
        self._known: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rules, name)

    def resolve_function_type(self, function: Any, args: Any, named: Any) -> Any:
        """The signature of a function for these types. Compiled functions are never remembered."""
        if named or isinstance(function, types.Dispatcher):
            return self._rules.resolve_function_type(function, args, named)
        asked = (function, args)
        if asked not in self._known:
            self._known[asked] = self._rules.resolve_function_type(function, args, named)
        return self._known[asked]


_rules_of = cache(_Rules)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Switch off garbage collection: it takes a tenth of the time of compiling and finds little."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Shortcuts(CompilerBase):
    """numba's steps without those that we do not need, with our libraries and rules."""

    begin: type[_Begin]

    def define_pipelines(self) -> list[Any]:
        """The only pipeline."""
        self.state.typingctx = _rules_of(self.state.typingctx)
        steps = DefaultPassBuilder.define_nopython_pipeline(self.state)
        steps.passes = [step for step in steps.passes if step[0].__name__ not in _NEEDLESS]
        steps.add_pass_after(self.begin, IRLegalization)
        steps.finalize()
        return [steps]


class Outside(_Shortcuts):
    """Compiles functions that Python calls, together with all functions that these call."""

    begin = _BeginOutside

    def compile_extra(self, func: Any) -> Any:
        """Compile a function."""
        with _without_collecting():
            return super().compile_extra(func)


class Inside(_Shortcuts):
    """Compiles functions that compiled code calls."""

    begin = _BeginInside
