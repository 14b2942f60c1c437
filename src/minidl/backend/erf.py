"""The complementary error function, which the standard lacks and most libraries have."""

from __future__ import annotations

import importlib

from minidl.backend.arrays import constant, dtype_name, library, namespace
from minidl.backend.base import Array

_SPECIAL = {"jax": "jax.scipy.special", "cupy": "cupyx.scipy.special"}


def erfc(x: Array) -> Array:
    """1 - erf(x) = 2/√π ∫ₓ^∞ exp(-t²) dt, whose digits are kept where erf(x) is near 1."""
    lib = library(x)
    name = lib.__name__.partition(".")[0]
    if name == "torch":
        return lib.special.erfc(x)
    if name not in _SPECIAL:
        return _erfc(x)
    y = importlib.import_module(_SPECIAL[name]).erfc(x)
    return namespace(x).astype(y, x.dtype, copy=False)  # CuPy widens float16


def _erfc(x: Array) -> Array:
    """By the rational approximations of Moshier, Methods and programs for mathematical functions,
    1989, in the Cephes library:

        erf(x)  = x T(x²) / U(x²)       where |x| < 1,
        erfc(x) = exp(-x²) P(x) / Q(x)  where 1 ≤ x < 8,
        erfc(x) = exp(-x²) R(x) / S(x)  where 8 ≤ x,

    and erfc(-x) = 2 - erfc(x). The relative error is that of exp(-x²), which magnifies the rounding
    of x²: in float64 at most 1e-14 up to x = 8, and 2e-13 where erfc(x) underflows.
    """
    xp = namespace(x)
    if dtype_name(x) == "float16":  # in which the polynomials overflow
        return xp.astype(_erfc(xp.astype(x, xp.float32)), x.dtype)
    lib = library(x)
    x = lib.minimum(lib.maximum(x, constant(-30, (), x)), constant(30, (), x))  # x⁸ is finite
    size, square = xp.abs(x), x * x
    low = 1 - x * _quotient(square, _T, _U)
    ratio = lib.where(size < 8, _quotient(size, _P, _Q), _quotient(size, _R, _S))
    tail = xp.exp(-square) * ratio
    return lib.where(size < 1, low, lib.where(x < 0, 2 - tail, tail))


def _quotient(x: Array, above: tuple[float, ...], below: tuple[float, ...]) -> Array:
    """A polynomial by another one, by Horner's rule; the coefficients begin with the highest."""
    a, b = above[0], below[0]
    for coefficient in above[1:]:
        a = a * x + coefficient
    for coefficient in below[1:]:
        b = b * x + coefficient
    return a / b


_T = (
    9.60497373987051638749, 90.0260197203842689217, 2232.00534594684319226,
    7003.32514112805075473, 55592.3013010394962768,
)  # fmt: skip
_U = (
    1.0, 33.5617141647503099647, 521.357949780152679795, 4594.32382970980127987,
    22629.0000613890934246, 49267.3942608635921086,
)  # fmt: skip
_P = (
    2.46196981473530512524e-10, 0.564189564831068821977, 7.46321056442269912687,
    48.6371970985681366614, 196.520832956077098242, 526.445194995477358631,
    934.528527171957607540, 1027.55188689515710272, 557.535335369399327526,
)  # fmt: skip
_Q = (
    1.0, 13.2281951154744992508, 86.7072140885989742329, 354.937778887819891062,
    975.708501743205489753, 1823.90916687909736289, 2246.33760818710981792,
    1656.66309194161350182, 557.535340817727675546,
)  # fmt: skip
_R = (
    0.564189583547755073984, 1.27536670759978104416, 5.01905042251180477414,
    6.16021097993053585195, 7.40974269950448939160, 2.97886665372100240670,
)  # fmt: skip
_S = (
    1.0, 2.26052863220117276590, 9.39603524938001434673, 12.0489539808096656605,
    17.0814450747565897222, 9.60896809063285878198, 3.36907645100081516050,
)  # fmt: skip
