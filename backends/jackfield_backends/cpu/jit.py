"""What numba has to know: kinds are its types, operations its intrinsics, routines its functions.

Imported only where a kernel is compiled. Vectors have ``+ - * /`` with another of their kind or a scalar, and integers
``& | ^``; what each does is in ``emit.Value``.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import config
from numba.core.codegen import get_host_cpu_features
from numba.core.compiler import Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, infer_global, make_intrinsic_template, signature
from numba.core.typing.typeof import typeof_impl
from numba.extending import lower_builtin, models, register_model

from jackfield.errors import BackendError
from jackfield_backends.cpu import isa
from jackfield_backends.cpu.cache import ObjectCode
from jackfield_backends.cpu.emit import F32, I8, I16, I32, I64, Value, lanes_of
from jackfield_backends.cpu.isa import Target
from jackfield_backends.cpu.kernel import Kernel, Routine
from jackfield_backends.cpu.operation import Kind, Operation

__all__ = ["compile_kernel"]

SAFE_FASTMATH = {"contract", "nsz"}  # NaN and infinity keep their meaning, and sums their order
OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "fastmath": SAFE_FASTMATH}
PARAMETERS = (types.int64, types.int64, types.int64)

if config.CPU_FEATURES is None and (unnoticed := isa.unnoticed_features()):
    noticed = get_host_cpu_features()
    config.CPU_FEATURES = ",".join(
        ([noticed] if noticed else []) + [f"+{name}" for name in sorted(unnoticed)]
    )

# ---- kinds ---------------------------------------------------------------------------------------

ELEMENTS = {"i8": I8, "i16": I16, "i32": I32, "f32": F32}
SCALARS = {
    "nothing": types.void, "i32": types.int32, "i64": types.int64, "f32": types.float32, "f64": types.float64,
}  # fmt: skip


class Vector(types.Type):  # type: ignore[misc]  # numba has no types
    """The numba type of ``count`` lanes of ``element``."""

    def __init__(self, kind: Kind) -> None:
        self.lanes = lanes_of(ELEMENTS[kind.element], kind.count)
        super().__init__(name=str(kind))


@register_model(Vector)  # type: ignore[untyped-decorator]
class VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """A vector is an LLVM vector wherever it is."""

    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, vector.lanes)


@functools.cache
def _type_of(kind: Kind) -> Any:
    return SCALARS[kind.element] if kind.count == 1 else Vector(kind)


# ---- operators -----------------------------------------------------------------------------------


def _number(value: Value, like: Value) -> Value:
    """Bring a scalar operand to the vector's element."""
    if value.count > 1 or value.type == like.element:
        return value
    if like.element == F32:
        if isinstance(value.type, ir.IntType):
            return value.new(value.b.sitofp(value.v, F32))
        return value.new(value.b.fptrunc(value.v, F32))
    return value.signed(like.element)


def _operator(function: Any) -> None:
    @infer_global(function)
    class VectorOperator(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) != 2 or not any(isinstance(a, Vector) for a in args):
                return None
            kind = next(a for a in args if isinstance(a, Vector))
            fits = all(a == kind or isinstance(a, types.Number) for a in args)
            return signature(kind, *args) if fits else None

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        x, y = (Value(builder, value) for value in values)
        like = x if x.count > 1 else y
        x, y = _number(x, like).splat(like.count), _number(y, like).splat(like.count)
        return function(x, y).v

    for first, second in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(function, first, second)(lower)


for _function in (
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.and_,
    operator.or_,
    operator.xor,
):
    _operator(_function)


@infer_global(operator.neg)
class VectorNegative(AbstractTemplate):  # type: ignore[misc]
    """Types ``-x``."""

    def generic(self, args: Any, kws: Any) -> Any:
        """Return the signature for vectors."""
        return signature(args[0], args[0]) if isinstance(args[0], Vector) else None


@lower_builtin(operator.neg, Vector)  # type: ignore[untyped-decorator]
def _negative(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return (-Value(builder, values[0])).v


# ---- operations and routines ---------------------------------------------------------------------


@typeof_impl.register(Operation)  # type: ignore[untyped-decorator]
def _type_of_operation(operation: Operation, context: Any) -> Any:
    return _function_type(operation)


@functools.cache
def _function_type(operation: Operation) -> Any:
    template = make_intrinsic_template(operation, _definition(operation), operation.generator.__name__)
    return types.Function(template)


def _definition(operation: Operation) -> Callable[..., Any]:
    """Return a function from operands' types to a signature and what writes the code, as numba asks for it."""

    def define(typing_context: Any, *arguments: Any) -> Any:
        if operation.signature is None:
            return arguments[0](*[arguments[0]] * len(arguments)), write
        result, parameters = operation.signature
        return _type_of(result)(*map(_type_of, parameters)), write

    def write(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        operands = [Value(builder, value) for value in values] or [builder]
        result = operation.generator(*operands)
        return context.get_dummy_value() if result is None else result.v

    named = inspect.signature(operation.generator).parameters
    names = ["typing_context", *(named if operation.signature is None or operation.signature[1] else ())]
    define.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    return define


@typeof_impl.register(Routine)  # type: ignore[untyped-decorator]
def _type_of_routine(routine: Routine[..., Any], context: Any) -> Any:
    return types.Dispatcher(_dispatcher(routine, isa.target()))


@functools.cache
def _dispatcher(routine: Routine[..., Any], target: Target) -> Any:
    """Return a routine as numba has it, which keeps the code for one target."""
    return njit(**OPTIONS)(routine.function)


# ---- kernels -------------------------------------------------------------------------------------


def compile_kernel(kernel: Kernel) -> ObjectCode:
    """Compile one kernel here.

    Raises:
        BackendError: numba or LLVM refuses it.
    """
    try:
        return _compile(kernel)
    except Exception as error:
        raise BackendError(
            f"kernel {kernel.spec} does not compile: {type(error).__name__}: {error}"
        ) from error


@global_compiler_lock  # type: ignore[untyped-decorator]
def _compile(kernel: Kernel) -> ObjectCode:
    flags = Flags()
    cpu_target.options.parse_as_flags(flags, {"nopython": True, **OPTIONS})
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = flags.no_compile = True
    typing, target = cpu_target.typing_context, cpu_target.target_context
    code = target.codegen().create_library(kernel.spec.name)
    code.enable_object_caching()
    compiled = compile_extra(
        typing, target, kernel.function, PARAMETERS, types.void, flags, locals={}, library=code
    )
    symbol = f"{compiled.fndesc.llvm_func_name}.entry"
    code.add_ir_module(_entry(compiled.fndesc, symbol))
    code.get_pointer_to_function(symbol)
    return ObjectCode(symbol, code._get_compiled_object())


def _entry(compiled: Any, symbol: str) -> Any:
    """Return a module with the function that the table calls.

    What numba would make asks the interpreter to report errors; kernels raise none, and their code needs neither
    numba nor Python when it is loaded.
    """
    target = cpu_target.target_context
    module = target.create_module(symbol)
    inner = ir.Function(
        module, target.call_conv.get_function_type(types.void, PARAMETERS), compiled.llvm_func_name
    )
    outer = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * len(PARAMETERS)), symbol)
    builder = ir.IRBuilder(outer.append_basic_block("entry"))
    target.call_conv.call_function(builder, inner, types.void, PARAMETERS, outer.args)
    builder.ret_void()
    return module
