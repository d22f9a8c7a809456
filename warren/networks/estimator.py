"""The estimator: the description of a network, with scikit-learn's conventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, Tags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_array, check_consistent_length, check_is_fitted

from warren.errors import InputError
from warren.libraries.keras import PARAMETERS, check_optimizer, check_parameter
from warren.networks.backend import graphs_freed, keras_library, on_device, retracing_unreported, seeded
from warren.networks.inputs import dense_rows
from warren.networks.output_layer import Head
from warren.networks.training import Rows, assembled, held_out, outputs, scaling_of, train

_SEEDS = 2**31 - 1


def _classifies(model: KerasModel) -> bool:
    return model.task == "classification"


class KerasModel(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network as an estimator: Keras builds and trains it from names and numbers.

    It is sent to the workers like any other estimator, and can be in a grid, a pipeline or a search
    together with others. TensorFlow is needed where it is trained or predicts, but not where it is
    described.

    Parameters
    ----------
    builder : str, default="mlp"
        The architecture: ``"mlp"``, ``"cnn"``, or one that an installed package registers under the
        entry point group ``warren.builders``.
    builder_params : dict, default=None
        The builder's own parameters; for ``"cnn"``: ``filters``, ``kernel_size``, ``pool_size`` and
        ``image_shape``.
    hidden_layers : sequence of int, default=(64,)
        Width of each dense layer; empty for a linear model.
    activation : str, default="relu"
        Keras' name of the activation of hidden layers.
    dropout : float, default=0.0
        Share of each hidden layer's outputs that a training step drops.
    batch_norm : bool, default=False
        Whether to normalise each hidden layer's outputs before its activation.
    l2 : float, default=0.0
        Penalty on squared weights.
    optimizer : str, default="adam"
        Keras' name, in lower case.
    optimizer_params : dict, default=None
        Numbers and bools for the optimizer besides its learning rate, by Keras' names:
        ``{"momentum": 0.9, "nesterov": True}`` for ``"sgd"``, ``{"weight_decay": 0.01}`` for any. A
        parameter that only other optimizers have is an error. None for Keras' defaults.
    learning_rate : float, default=1e-3
        The optimizer's learning rate.
    loss : str, default=None
        Keras' name. None for cross entropy with classes, and the squared error with numbers.
    metrics : sequence of str, default=()
        Further values in `history_` besides the loss: ``"accuracy"``, for two classes also
        ``"auc"``, ``"precision"`` and ``"recall"``; for numbers ``"mean_absolute_error"`` and so
        on. They do not affect training.
    epochs : int, default=10
        Passes over the training rows, at most.
    batch_size : int, default=32
        Rows of a training step.
    validation_split : float, default=0.0
        Share of the rows of a fit that it holds out: all are shuffled with `random_state`, and the
        last ``n - floor(n * (1 - validation_split))`` are used to watch, not to train.
    patience : int, default=None
        Stop after so many epochs in a row without improvement, and restore the best weights; judged
        by the loss of the held-out rows, or of the training rows if there are none. None trains all
        epochs.
    scale : None, "standard" or float, default=None
        How to scale X first: "standard" with each column's mean and standard deviation in the
        training rows (for images, one of each per channel); a number to divide by, such as
        ``255.0`` for bytes.
    deterministic : bool, default=False
        Whether to use only operations that give the same bits each time; slower. It applies to the
        process from then on.
    random_state : int, default=None
        Seeds initial weights, the order of rows, dropout and the choice of held-out rows. None
        draws a seed from NumPy's global generator, which a worker seeds for each trial.
    task : {"classification", "regression"}, default="classification"
        Whether y contains labels or numbers.
    device : {"cpu", "gpu"}, default="cpu"
        Where it is trained and predicts. "cpu" never uses a GPU; "gpu" uses the first one, or the
        CPU if there is none.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, for classification.
    history_ : dict of str to list of float
        Loss and metrics of each epoch, with ``val_loss`` and so on if rows are held out.
    n_iter_ : int
        Epochs that were trained.
    best_epoch_ : int or None
        The epoch of its weights, counted from 1; None if no weights were restored.
    n_features_in_ : int
        Columns of X; for images, their height.
    feature_names_in_ : ndarray of str
        Names of columns, if X was a frame with names.
    input_shape_ : tuple of int
        Shape of a row.

    Notes
    -----
    A fitted model is copied, pickled and stored as arrays of weights. To predict, the network is
    built again from its description, so no code is stored with it.
    """

    def __init__(
        self,
        builder: str = "mlp",
        *,
        builder_params: Mapping[str, Any] | None = None,
        hidden_layers: Sequence[int] = (64,),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        l2: float = 0.0,
        optimizer: str = "adam",
        optimizer_params: Mapping[str, Any] | None = None,
        learning_rate: float = 1e-3,
        loss: str | None = None,
        metrics: Sequence[str] = (),
        epochs: int = 10,
        batch_size: int = 32,
        validation_split: float = 0.0,
        patience: int | None = None,
        scale: str | float | None = None,
        deterministic: bool = False,
        random_state: int | None = None,
        task: str = "classification",
        device: str = "cpu",
    ) -> None:
        self.builder = builder
        self.builder_params = builder_params
        self.hidden_layers = hidden_layers
        self.activation = activation
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.l2 = l2
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
        self.learning_rate = learning_rate
        self.loss = loss
        self.metrics = metrics
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_split = validation_split
        self.patience = patience
        self.scale = scale
        self.deterministic = deterministic
        self.random_state = random_state
        self.task = task
        self.device = device

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, callbacks: Sequence[Any] = ()) -> Self:
        """Build the network and train it.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Dense numbers, none missing; trained on as float32. Images have shape
            (n_samples, height, width) or (n_samples, height, width, channels).
        y : array-like of shape (n_samples,), or (n_samples, n_outputs) for regression
            Labels of any kind, or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row in the loss, including held-out rows.
        callbacks : sequence of keras.callbacks.Callback, default=()
            Further callbacks, in addition to the estimator's own.

        Returns
        -------
        KerasModel
            This estimator.

        Raises
        ------
        InputError
            A parameter is invalid, the optimizer does not accept one of `optimizer_params`, the
            builder does not exist here, or X can't be used; a ``ValueError``.
        ImportError
            TensorFlow is not installed.
        """
        params = self.get_params(deep=False)
        for name in PARAMETERS:
            check_parameter(name, params[name], f"{type(self).__name__}({name}=...)")
        check_optimizer(self.optimizer, self.optimizer_params, f"{type(self).__name__}(optimizer_params=...)")
        self._forget()
        X = dense_rows(self, X, first=True)
        labels, n_outputs = self._labels(X, y)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float32)
        head = Head.of(
            n_classes=len(self.classes_) if _classifies(self) else None,
            n_outputs=n_outputs,
            loss=self.loss,
            metrics=self.metrics,
        )
        keras = keras_library()
        draw = check_random_state(self.random_state)
        rows, watched = held_out(Rows(X, head.targets(labels), weight), self.validation_split, draw)
        seed = int(draw.randint(_SEEDS)) if self.random_state is None else int(self.random_state)
        self.input_shape_ = X.shape[1:]
        self._scaling = scaling_of(self.scale, rows.X)
        self._flat = labels.ndim == 1
        self._described = params | {"units": head.units}
        # Remove what earlier fits left: names, and memory that no model in use needs.
        keras.backend.clear_session()
        with (
            on_device(self.device),
            seeded(keras, seed, deterministic=self.deterministic),
            graphs_freed(),
            retracing_unreported(),
        ):
            self._model = assembled(keras, params, head, self.input_shape_, self._scaling)
            trained = train(keras, self._model, params, head, rows, watched, callbacks, seed=seed)
        self.history_, self.best_epoch_, self._earlier = trained
        self.n_iter_ = len(self.history_["loss"])
        return self

    def _forget(self) -> None:
        """Remove the results of an earlier fit, which may have had other parameters."""
        for name in ("_model", "_weights", "_earlier", "classes_", "history_"):
            if hasattr(self, name):
                delattr(self, name)

    def _labels(self, X: NDArray[np.float32], y: Any) -> tuple[NDArray[Any], int]:
        """Return codes of classes, or numbers, and their number of columns; store the classes."""
        if y is None:
            raise InputError("y=None: a network requires y to be passed, but the target y is None")
        check_consistent_length(X, y)
        if not _classifies(self):
            found = check_array(y, dtype=np.float32, ensure_2d=False, input_name="y")
            if found.ndim > 2:
                raise InputError(f"y has {found.ndim} dimensions: pass one number per row, or one per column")
            return found, 1 if found.ndim == 1 else found.shape[1]
        array = np.asarray(y)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array.ravel()
        if array.ndim != 1:
            raise InputError(
                f"y has shape {array.shape}: a classifying network takes one label per row; for several use "
                "sklearn.multioutput.MultiOutputClassifier(KerasModel(...))"
            )
        check_classification_targets(array)
        classes, codes = np.unique(array, return_inverse=True)
        if len(classes) < 2:
            raise InputError(f"y has only one class, {classes.tolist()[0]!r}: a classifier needs at least two")
        self.classes_ = classes
        return codes, 1

    @property
    def model_(self) -> Any:
        """The trained ``keras.Model``.

        It scales X itself, and ends with probabilities or numbers.
        """
        check_is_fitted(self)
        if not hasattr(self, "_model"):
            # It may come from a file, so check the parameters again from which Keras creates
            # objects.
            for name, value in self._described.items():
                if name != "units":
                    check_parameter(name, value, f"stored KerasModel({name}=...)")
            keras = keras_library()
            with seeded(keras, 0, deterministic=False):
                model = assembled(keras, self._described, self._head(), self.input_shape_, self._scaling)
            model.set_weights(self._weights)
            self._model = model
            del self._weights
        return self._model

    def _head(self) -> Head:
        return Head.of(
            n_classes=len(self.classes_) if hasattr(self, "classes_") else None,
            n_outputs=self._described["units"],
            loss=self._described["loss"],
            metrics=(),
        )

    def _outputs(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self)
        checked = dense_rows(self, X, first=False)
        with on_device(self._described.get("device", "cpu")):  # a model of an earlier version has none
            return outputs(self.model_, checked)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return labels, or numbers.

        Parameters
        ----------
        X : array-like
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_outputs) if y had columns
            A network whose loss became NaN predicts the first class, or NaN.
        """
        found = self._outputs(X)
        if not hasattr(self, "classes_"):
            return found.ravel() if self._flat else found
        codes = (found[:, 0] > 0.5).astype(int) if found.shape[1] == 1 else found.argmax(axis=1)
        labels: NDArray[Any] = self.classes_[codes]
        return labels

    @available_if(_classifies)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), float32
            In the order of `classes_`.
        """
        found = self._outputs(X)
        return np.hstack([1 - found, found]) if found.shape[1] == 1 else found

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy, or for regression the coefficient of determination.

        Parameters
        ----------
        X : array-like
            As for `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True labels or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row.

        Returns
        -------
        float
            The score.
        """
        metric = accuracy_score if _classifies(self) else r2_score
        return float(metric(y, self.predict(X), sample_weight=sample_weight))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "history_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = not _classifies(self)
        tags.input_tags.three_d_array = True
        if _classifies(self):
            tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        else:
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in super().__getstate__().items() if name not in {"_model", "_earlier"}}
        if hasattr(self, "_model"):
            state["_weights"] = [np.array(part) for part in self._model.get_weights()]
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        # A model that an earlier version stored lacks newer parameters.
        super().__setstate__({**KerasModel().get_params(deep=False), **state})


def has_epoch(fitted: KerasModel, epoch: int) -> bool:
    """Return whether `restore_epoch` can restore a network's state after an epoch.

    Parameters
    ----------
    fitted : KerasModel
        The network.
    epoch : int
        Counted from 1.

    Returns
    -------
    bool
        Whether its weights after this epoch are known.
    """
    return epoch in fitted._earlier or epoch >= fitted.n_iter_


def restore_epoch(fitted: KerasModel, epoch: int) -> None:
    """Restore a network's state after an epoch, as if it had been trained for no more.

    Parameters
    ----------
    fitted : KerasModel
        Later epochs are lost.
    epoch : int
        Counted from 1; one for which `has_epoch` is true.
    """
    if epoch >= fitted.n_iter_:  # it was trained for fewer epochs if its loss became NaN
        return
    fitted.model_.set_weights(fitted._earlier[epoch])
    fitted.history_ = {name: values[:epoch] for name, values in fitted.history_.items()}
    fitted.n_iter_ = epoch
