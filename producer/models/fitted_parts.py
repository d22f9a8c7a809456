"""The estimators that a fit creates inside another one: trees, label encoders, default estimators.

Those of scikit-learn 1.6 to 1.9 are here, those of boosting libraries in `producer.models.formats`.
`tests/unit/test_models_of_scikit_learn.py` fits every estimator, and fails if one is missing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from producer.models.formats.registry import FORMATS

_TREE = "sklearn.tree._classes."
_LABEL = "sklearn.preprocessing._label."
_DATA = "sklearn.preprocessing._data."
_ENCODERS = "sklearn.preprocessing._encoders."
_FUNCTION = "sklearn.preprocessing._function_transformer.FunctionTransformer"
_COLUMNS = "sklearn.compose._column_transformer.ColumnTransformer"
_CALIBRATION = "sklearn.calibration."
_CONSTANT = "sklearn.multiclass._ConstantPredictor"
_NEIGHBORS = "sklearn.neighbors._unsupervised.NearestNeighbors"
_INDICATOR = "sklearn.impute._base.MissingIndicator"
_KERNELS = tuple(f"sklearn.gaussian_process.kernels.{name}" for name in ("ConstantKernel", "Product", "RBF"))

# By the name of a class or one of its base classes.
_PARTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("AdaBoostClassifier", "BaggingClassifier"), (f"{_TREE}DecisionTreeClassifier",)),
    **dict.fromkeys(("AdaBoostRegressor", "BaggingRegressor"), (f"{_TREE}DecisionTreeRegressor",)),
    "RandomForestClassifier": (f"{_TREE}DecisionTreeClassifier",),
    "RandomForestRegressor": (f"{_TREE}DecisionTreeRegressor",),
    "ExtraTreesClassifier": (f"{_TREE}ExtraTreeClassifier",),
    "ExtraTreesRegressor": (f"{_TREE}ExtraTreeRegressor",),
    "IsolationForest": (f"{_TREE}ExtraTreeRegressor",),
    "RandomTreesEmbedding": (f"{_TREE}ExtraTreeRegressor", f"{_ENCODERS}OneHotEncoder"),
    "BaseGradientBoosting": (
        f"{_TREE}DecisionTreeRegressor",
        "sklearn.dummy.DummyClassifier",
        "sklearn.dummy.DummyRegressor",
    ),
    "BaseHistGradientBoosting": (
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        _COLUMNS,
        _FUNCTION,
        f"{_ENCODERS}OrdinalEncoder",
        f"{_LABEL}LabelEncoder",
    ),
    "CalibratedClassifierCV": (
        f"{_CALIBRATION}_SigmoidCalibration",
        f"{_CALIBRATION}_TemperatureScaling",
        "sklearn.isotonic.IsotonicRegression",
        f"{_LABEL}LabelEncoder",
        "sklearn.svm._classes.LinearSVC",
    ),
    **dict.fromkeys(("ColumnTransformer", "FeatureUnion"), (_FUNCTION,)),
    "VotingClassifier": (f"{_LABEL}LabelEncoder",),
    "StackingClassifier": (f"{_LABEL}LabelEncoder", "sklearn.linear_model._logistic.LogisticRegression"),
    "StackingRegressor": ("sklearn.linear_model._ridge.RidgeCV",),
    "GaussianProcessRegressor": _KERNELS,
    "GaussianProcessClassifier": (
        *_KERNELS,
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.multiclass.OneVsOneClassifier",
        "sklearn.multiclass.OneVsRestClassifier",
    ),
    "OneVsOneClassifier": (_CONSTANT,),
    "OneVsRestClassifier": (_CONSTANT, f"{_LABEL}LabelBinarizer"),
    "OutputCodeClassifier": (_CONSTANT,),
    "IterativeImputer": (
        "sklearn.linear_model._bayes.BayesianRidge",
        "sklearn.impute._base.SimpleImputer",
        _INDICATOR,
    ),
    **dict.fromkeys(("SimpleImputer", "KNNImputer"), (_INDICATOR,)),
    "Isomap": (_NEIGHBORS, "sklearn.decomposition._kernel_pca.KernelPCA"),
    "KernelPCA": (f"{_DATA}KernelCenterer",),
    **dict.fromkeys(("LocallyLinearEmbedding", "LabelPropagation", "LabelSpreading"), (_NEIGHBORS,)),
    "KBinsDiscretizer": (f"{_ENCODERS}OneHotEncoder",),
    **dict.fromkeys(("MLPClassifier", "RidgeClassifier", "RidgeClassifierCV"), (f"{_LABEL}LabelBinarizer",)),
    "PowerTransformer": (f"{_DATA}StandardScaler",),
    "TargetEncoder": (f"{_LABEL}LabelBinarizer", f"{_LABEL}LabelEncoder"),
    "TfidfVectorizer": ("sklearn.feature_extraction.text.TfidfTransformer",),
    "TransformedTargetRegressor": ("sklearn.linear_model._base.LinearRegression", _FUNCTION),
    "RANSACRegressor": ("sklearn.linear_model._base.LinearRegression",),
    **{name: parts for one in FORMATS.values() for name, parts in one.parts.items()},
}


def class_name(cls: type) -> str:
    """Return a class's full name as in an archive."""
    return f"{cls.__module__}.{cls.__qualname__}"


def parts_of(classes: Iterable[type]) -> frozenset[str]:
    """Return the class names of all parts that fitted estimators of these classes may hold.

    Parameters
    ----------
    classes : iterable of type

    Returns
    -------
    frozenset of str
        Includes the parts of parts.
    """
    waiting = [base.__name__ for cls in classes for base in cls.__mro__]
    found: set[str] = set()
    while waiting:
        new = {*_PARTS.get(waiting.pop(), ())} - found
        found |= new
        waiting += [name.rpartition(".")[2] for name in new]
    return frozenset(found)


def default_kernels() -> Sequence[Any]:
    """Return the default kernels of Gaussian processes in supported scikit-learn versions."""
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    return [ConstantKernel(1.0, "fixed") * RBF(1.0, "fixed"), ConstantKernel() * RBF()]
