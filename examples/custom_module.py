"""A module of one's own: its formula, its derivative, and the check that they belong together.

Run: python examples/custom_module.py
"""

import minidl
from minidl.backend import Array, namespace
from minidl.nn import check_array, check_floating, saved


class SiLU(minidl.Module):
    """x ↦ x · σ(x) with σ(x) = 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2."""

    def forward(self, x: Array) -> Array:
        check_floating(self, "x", x)
        sigmoid = (1 + namespace(x).tanh(x / 2)) / 2
        self.saved = x, sigmoid
        return x * sigmoid

    def backward(self, grad_output: Array) -> Array:
        """The derivative is σ(x) + x · σ(x) · (1 - σ(x))."""
        x, sigmoid = saved(self)
        check_array(self, "grad_output", grad_output, x, x.shape)
        return grad_output * (sigmoid + x * sigmoid * (1 - sigmoid))


def main() -> None:
    x, target = minidl.disk(1000, rng=0)
    x = minidl.Standardizer.fit(x)(x)

    error = minidl.gradcheck(SiLU(), x[:10, ...])
    print(f"SiLU: backward and finite differences agree to {error:.0e}")

    model = minidl.Sequential(minidl.Linear(2, 25, rng=1), SiLU(), minidl.Linear(25, 2, rng=2))
    print(model)
    history = minidl.fit(
        model,
        minidl.MSE("mean"),
        minidl.SGD(model.parameters(), learning_rate=0.5),
        (x, target),
        epochs=100,
        batch_size=50,
        rng=3,
    )
    error = minidl.classification_error(model(x), target)
    print(f"loss {history['loss'][0]:.2f} to {history['loss'][-1]:.2f}, training error {error:.1%}")


if __name__ == "__main__":
    main()
