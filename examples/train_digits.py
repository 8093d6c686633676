"""Read handwritten digits
=======================

This trains a small convolutional network to read handwritten digits, with NumPy and gemmconv alone.

Run it with::

    python examples/train_digits.py digits.png

It takes some ten seconds, and shows its progress on standard error. At the end it prints how well it reads digits that
it has not seen before::

    test accuracy: 99.4% (2 of 355 misread)

The plot shows the loss and the accuracy during training, the filters of the first layer, and the digits of which the
network was least sure. The digits are 1797 pictures of 8x8 pixels, which come with scikit-learn
(``pip install ".[examples]"``).

A *layer* computes ``y = f(x, parameters)``. The *loss* is a number that says how wrong the y of the last layer is.
``grad_output`` is the gradient of the loss with respect to the y of a layer: how fast the loss grows with each element
of y. From ``grad_output`` a layer computes, by the chain rule,

* the gradients with respect to its parameters, which say how to change them so that the loss becomes smaller;
* the gradient with respect to x. Since x is the y of the layer before, this is the ``grad_output`` of that layer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import gemmconv

Array = np.ndarray
BATCH = 32
RATE = 0.05
MOMENTUM = 0.9


class Convolution:
    """Every output is a weighted sum of one patch of the input, plus a bias. All patches share the weights."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, ...], **options: int) -> None:
        # With weights of this spread, the signal neither fades nor grows from layer to layer (He et al., 2015).
        weight = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        self.parameters = [weight, np.zeros(shape[0], np.float32)]
        self.options = options

    def forward(self, x: Array) -> Array:
        """Return K @ P + bias: K is the weights as a matrix, the columns of P are the patches of x."""
        self.x = x  # the gradient of a weight depends on what the weight was multiplied by
        weight, bias = self.parameters
        return gemmconv.conv2d(x, weight, bias, **self.options)

    def parameter_gradients(self, grad_output: Array) -> list[Array]:
        """Return grad_output @ P.T, the gradient of K: for each weight, a sum over all patches."""
        kernel_size = self.parameters[0].shape[2:]
        return [
            gemmconv.conv_weight_gradient(grad_output, self.x, kernel_size, **self.options),
            gemmconv.conv_bias_gradient(grad_output),
        ]

    def input_gradient(self, grad_output: Array) -> Array:
        """Return K.T @ grad_output, the gradient of P, with each patch added back to where it was taken from."""
        weight, _ = self.parameters
        return gemmconv.conv_input_gradient(grad_output, weight, self.x.shape[2:], **self.options)


class Rectifier:
    """Negative numbers become zero (ReLU). Without it, two convolutions in a row would be a single convolution."""

    parameters: tuple[Array, ...] = ()

    def forward(self, x: Array) -> Array:
        """Return max(x, 0)."""
        self.positive = x > 0
        return np.maximum(x, 0)

    def parameter_gradients(self, _: Array) -> list[Array]:
        """Return nothing: there are no parameters."""
        return []

    def input_gradient(self, grad_output: Array) -> Array:
        """Return the gradient where x was positive, and zero elsewhere: there a small change of x changes nothing."""
        return grad_output * self.positive


class Network:
    """Layers, one after the other."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.layers = [
            Convolution(rng, (32, 1, 3, 3), padding=1),  # (1, 8, 8) -> (32, 8, 8)
            Rectifier(),
            Convolution(rng, (64, 32, 3, 3), padding=1, stride=2),  # -> (64, 4, 4)
            Rectifier(),
            Convolution(rng, (64, 64, 3, 3), padding=1),  # -> (64, 4, 4)
            Rectifier(),
            # A kernel as large as its input has one patch, the whole input: this is a dense layer.
            Convolution(rng, (10, 64, 4, 4)),  # -> (10, 1, 1)
        ]

    def parameters(self) -> list[Array]:
        """Return the arrays to be learnt, first layer first."""
        return [parameter for layer in self.layers for parameter in layer.parameters]

    def forward(self, pictures: Array) -> Array:
        """Return the scores (N, 10) of the ten digits for pictures (N, 1, 8, 8)."""
        x = pictures
        for layer in self.layers:
            x = layer.forward(x)
        return x.reshape(len(x), 10)

    def backward(self, grad_scores: Array) -> list[Array]:
        """Return the gradients of all parameters for the last `forward`, computed from the gradient of the scores."""
        grad_output = grad_scores.reshape(-1, 10, 1, 1)
        gradients: list[Array] = []
        for layer in reversed(self.layers):
            gradients = layer.parameter_gradients(grad_output) + gradients
            if layer is not self.layers[0]:  # the gradient of the pictures is not needed
                grad_output = layer.input_gradient(grad_output)
        return gradients


def cross_entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    """Return the mean of -log(probability of the right digit), and its gradient with respect to the scores."""
    scores = scores - scores.max(axis=1, keepdims=True)  # this changes no probability, and keeps exp from overflowing
    log_probability = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    right = np.arange(len(labels)), labels
    # The gradient is the computed probabilities minus the right ones, which are 1 for the right digit and 0 elsewhere.
    gradient = np.exp(log_probability)
    gradient[right] -= 1
    return -float(log_probability[right].mean()), gradient / len(labels)


def split(labels: Array) -> tuple[Array, Array]:
    """Return the indices of the training pictures and of the test pictures: always the same fifth of every digit."""
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    test = [indices[: len(indices) // 5] for indices in shuffled]
    return np.setdiff1d(np.arange(len(labels)), np.concatenate(test)), np.concatenate(test)


def jiggle(pictures: Array, rng: np.random.Generator) -> Array:
    """Return the pictures, each moved by a fraction of a pixel, so that no picture is ever seen twice."""
    n, _, height, width = pictures.shape
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    moved = windows[np.arange(n), :, rng.integers(3, size=n), rng.integers(3, size=n)]
    return pictures + rng.random((n, 1, 1, 1), np.float32) * (moved - pictures)


def train(network: Network, pictures: Array, labels: Array, epochs: int, rng: np.random.Generator) -> Iterator[float]:
    """Train by gradient descent, one batch per step; yield the loss of each step."""
    velocities = [np.zeros_like(parameter) for parameter in network.parameters()]
    for epoch in range(epochs):
        rate = RATE * (1 - epoch / epochs)  # large steps at first, small steps at the end
        for batch in np.array_split(rng.permutation(len(labels)), len(labels) // BATCH):
            loss, grad_scores = cross_entropy(network.forward(jiggle(pictures[batch], rng)), labels[batch])
            gradients = network.backward(grad_scores)
            for parameter, velocity, gradient in zip(network.parameters(), velocities, gradients):
                velocity *= MOMENTUM  # steps in the same direction become longer
                velocity -= rate * gradient
                parameter += velocity
            yield loss


def show_progress(step: int, steps: int, text: str, epoch_ends: bool) -> None:
    """Draw a bar on a terminal; elsewhere, for example in a log file, write one line per epoch."""
    if sys.stderr.isatty():
        bar = "#" * (30 * step // steps)
        print(f"\r[{bar:.<30}] {text}", end="\n" if step == steps else "", file=sys.stderr, flush=True)
    elif epoch_ends:
        print(f"[{step}/{steps}] {text}", file=sys.stderr, flush=True)


def plot(path: str, losses: list[float], accuracies: list[float], filters: Array, test: tuple[Array, ...]) -> None:
    """Draw the loss and the accuracy, the filters of the first layer, and the test digits that were hardest to read."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    (left, right), (lower_left, lower_right) = figure.subfigures(2, 2)
    epochs = np.arange(1, len(accuracies) + 1)
    per_epoch = len(losses) // len(epochs)
    axes = left.subplots()
    axes.semilogy(losses, color="0.8")
    axes.semilogy((epochs - 0.5) * per_epoch, np.reshape(losses, (-1, per_epoch)).mean(axis=1))
    axes.set(title="loss of each step, and its mean over each epoch", xlabel="step")
    axes = right.subplots()
    axes.plot(epochs, 100 * np.array(accuracies), marker=".")
    axes.set(title="test digits read correctly, in percent", xlabel="epoch")
    axes.grid(alpha=0.3)

    lower_left.suptitle("filters of the first layer: red adds, blue subtracts")
    reach = np.abs(filters).max()
    for axes, kernel in zip(lower_left.subplots(4, 8).flat, filters[:, 0]):
        axes.imshow(kernel, cmap="RdBu_r", vmin=-reach, vmax=reach)
        axes.axis("off")

    lower_right.suptitle("the digits of which it was least sure")
    pictures, labels, scores = test
    right_one = np.arange(10) == labels[:, np.newaxis]
    lead = scores[right_one] - np.where(right_one, -np.inf, scores).max(axis=1)  # negative where another digit won
    for axes, index in zip(lower_right.subplots(2, 4).flat, lead.argsort()):
        axes.imshow(pictures[index, 0], cmap="gray_r")
        axes.set_title(f"{labels[index]}, read as {scores[index].argmax()}", fontsize="small")
        axes.axis("off")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train the network, test it, and plot the results."""
    parser = argparse.ArgumentParser(description="Teach a convolutional network to read handwritten digits.")
    parser.add_argument("output", metavar="OUT", help="where to write the plot; the ending tells the format")
    parser.add_argument("--epochs", type=int, default=30, help="how often to see every picture; default: 30")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights, the order, the moves; default: 0")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, not {options.epochs}")
    if Path(options.output).suffix[1:].lower() not in Figure().canvas.get_supported_filetypes():
        parser.error(f"matplotlib writes no plots whose names end like that of {options.output!r}")
    if not Path(options.output).parent.is_dir():
        parser.error(f"there is no folder {str(Path(options.output).parent)!r}")

    digits = load_digits()
    pictures, labels = (digits.images[:, np.newaxis] / 16).astype(np.float32), digits.target
    learnt, test = split(labels)
    rng = np.random.default_rng(options.seed)
    network = Network(rng)
    losses, accuracies = [], []
    per_epoch = len(learnt) // BATCH
    for loss in train(network, pictures[learnt], labels[learnt], options.epochs, rng):
        losses.append(loss)
        epoch_ends = len(losses) % per_epoch == 0
        if epoch_ends:
            scores = network.forward(pictures[test])
            accuracies.append(np.mean(scores.argmax(axis=1) == labels[test]))
        text = f"loss {loss:.3f}" + "".join(f", test accuracy {accuracy:.1%}" for accuracy in accuracies[-1:])
        show_progress(len(losses), options.epochs * per_epoch, text, epoch_ends)

    misread = np.count_nonzero(scores.argmax(axis=1) != labels[test])
    print(f"test accuracy: {accuracies[-1]:.1%} ({misread} of {len(test)} misread)")
    plot(options.output, losses, accuracies, network.layers[0].parameters[0], (pictures[test], labels[test], scores))


if __name__ == "__main__":
    main()
