"""A study of networks over learning rate and hidden layers, on MNIST or scikit-learn's digits.

python examples/mnist.py --workers 2                      small digits, private servers and workers
python examples/mnist.py --workers 2 --source data/mnist  MNIST's four files, in a folder or at https://
python examples/mnist.py                                  on the servers in AMQP_URL and MONGO_URL

Workers need TensorFlow: pip install 'warren[tensorflow]'.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext

from digits import load_digits_images, load_mnist

from warren import KerasModel, local_stack, submit

GRID = {
    "learning_rate": [3e-2, 3e-3, 3e-4],
    "hidden_layers": [(32,), (64, 32)],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, and test the best network on the digits that were held out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="folder or address of MNIST's files; without it, scikit-learn's digits")
    parser.add_argument("--rows", type=int, help="train on this many images only")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="start servers and this many workers on this machine")
    options = parser.parse_args(arguments)

    digits = load_mnist(options.source) if options.source else load_digits_images()
    X, y = digits.X_train[: options.rows], digits.y_train[: options.rows]
    network = KerasModel(epochs=options.epochs, batch_size=64, scale=float(X.max()), random_state=0)

    with local_stack(workers=options.workers) if options.workers else nullcontext():
        study = submit(network, GRID, X, y, cv=options.folds, name=f"mnist, {len(X):,} images")
        study.wait()
        columns = ["param_learning_rate", "param_hidden_layers", "mean_test_score", "std_test_score", "fit_seconds"]
        results = study.results().sort_values("mean_test_score", ascending=False)
        print(results[[name for name in columns if name in results]].to_string(index=False))
        best = study.best_model()  # a worker trains it on all images
        print(f"{best.score(digits.X_test, digits.y_test):.3f} of the digits that were held out are right")


if __name__ == "__main__":
    main()
