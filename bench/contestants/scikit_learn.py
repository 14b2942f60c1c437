"""scikit-learn's `MLPRegressor`."""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPRegressor

from bench.contestants.base import Contestant
from bench.work import RELU, STEPS_PER_EPOCH, Work


class ScikitLearn(Contestant):
    """A `partial_fit` an epoch.

    Its loss of a batch is the summed squared error / (4 · batch size), of which the code takes
    the gradient without the average over the two outputs: difference / batch size. The update is
    the others' with 2 · batch size times their learning rate.
    """

    activations = RELU
    note = (
        "`MLPRegressor`, since the loss of `MLPClassifier` is another, the cross-entropy; "
        "ReLU in all three layers, since it has one activation for all, and checked against "
        "a reference with ReLU; learning rate times 2 · batch size, which gives the same update"
    )

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.x, self.target = (values.astype("float32") for values in work.data)
        self.model = MLPRegressor(
            hidden_layer_sizes=(work.width,) * 3,
            activation="relu",
            solver="sgd",
            alpha=0.0,
            batch_size=work.batch_size,
            learning_rate="constant",
            learning_rate_init=2 * work.batch_size * work.learning_rate,
            shuffle=False,
            momentum=0.0,
            nesterovs_momentum=False,
            random_state=0,
        )
        self.model.partial_fit(self.x, self.target)  # makes the parameters, in float32
        own = [*self.model.coefs_, *self.model.intercepts_]
        for parameter, values in zip(
            own, [*work.parameters[::2], *work.parameters[1::2]], strict=True
        ):
            assert parameter.dtype == np.float32
            parameter[...] = values

    def train(self, epochs: int) -> float:
        for _ in range(epochs):
            self.model.partial_fit(self.x, self.target)
        return float(self.model.loss_) * 4 * self.work.batch_size * STEPS_PER_EPOCH
