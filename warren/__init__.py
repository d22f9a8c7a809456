"""Hyperparameter tuning over a queue: a grid goes out in chunks, workers cross-validate.

::

    from lightgbm import LGBMClassifier
    from sklearn.datasets import load_breast_cancer
    from xgboost import XGBClassifier

    from warren import local_stack, submit

    X, y = load_breast_cancer(return_X_y=True)
    grid = {
        "estimator": [XGBClassifier(), LGBMClassifier()],
        "max_depth": [2, 3, 4],
        "n_estimators": [50, 100, 200],
    }
    with local_stack(workers=2, data_dir=".warren"):
        study = submit(None, grid, X, y, cv=5, scoring="roc_auc", name="quickstart").wait()
        print(study.results().nlargest(3, "mean_test_score"))

The names are those of `producer`, imported when they are first used. The modules below hold what
`producer` and `worker` share: settings, messages, storage, encoding, safety, libraries and
networks.
"""

__all__ = [
    "Cluster",
    "GridSearchCV",
    "KerasModel",
    "RandomizedSearchCV",
    "Study",
    "local_stack",
    "split_params",
    "submit",
]


def __getattr__(name: str) -> object:
    # The stub next to this file has the types of the names.
    import importlib
    from pathlib import Path

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    producer = importlib.import_module("producer")
    found, ours = Path(producer.__file__ or "").resolve(), Path(__file__).resolve().parents[1]
    if ours not in found.parents:
        raise ImportError(
            f"{found} hides Warren's package 'producer': rename it, or run Python in another folder",
            name="producer",
            path=str(found),
        )
    return getattr(producer, name)


def __dir__() -> list[str]:
    return __all__
