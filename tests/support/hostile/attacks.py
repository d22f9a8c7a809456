"""What somebody does who knows how parameters are checked: swaps, other names, words in words,
keywords, patterns."""

from __future__ import annotations

from typing import Any

from hostile.making import CAT, LGB, NOWHERE, PIPELINE, TEXT, TREE, XGB, Cases, Message, trial_with, with_estimator

CASES = Cases()
case = CASES.add
SEARCH = "sklearn.model_selection.GridSearchCV"
FUNCTION = "sklearn.preprocessing.FunctionTransformer"


def made(name: str, **params: Any) -> Message:
    return {"__estimator__": name, "params": params}


def pair(*items: Any) -> Message:
    return {"__tuple__": list(items)}


def swapped(estimator: Message, **params: Any) -> Any:
    """Give a trial's parameters to an estimator that is made of others."""
    return lambda message: trial_with(params=params)(
        with_estimator(estimator["__estimator__"], **estimator["params"])(message)
    )


# ---------------------------------------- a step that a trial swaps, and what is set on the new one
WRITES = {"a__allow_writing_files": True, "a__output_borders": NOWHERE}
for name, steps, new in (
    ("lists", [["a", TREE]], [["a", made(CAT)]]),
    ("lists, and tuples instead", [["a", TREE]], [pair("a", made(CAT))]),
    ("tuples", [pair("a", TREE)], [pair("a", made(CAT))]),
    ("a tuple of tuples", pair(pair("a", TREE)), pair(pair("a", made(CAT)))),
    ("two of one name", [pair("a", TREE)], [pair("a", TREE), pair("b", TREE), pair("a", made(CAT))]),
):
    case(
        f"steps swapped, {name}", "lets CatBoost write files", swapped(made(PIPELINE, steps=steps), steps=new, **WRITES)
    )
for holder, members in (
    ("sklearn.pipeline.FeatureUnion", "transformer_list"),
    ("sklearn.ensemble.VotingClassifier", "estimators"),
    ("sklearn.ensemble.StackingClassifier", "estimators"),
):
    holding = made(holder, **{members: [["a", TREE]]})
    case(
        f"{members} of {holder} swapped",
        "lets CatBoost write files",
        swapped(holding, **{members: [["a", made(CAT)]]}, **WRITES),
    )
case(
    "transformers swapped",
    "reads the files that X names",
    swapped(
        made("sklearn.compose.ColumnTransformer", transformers=[["a", TREE, [0]]]),
        transformers=[["a", made(TEXT), [0]]],
        a__input="filename",
    ),
)
case(
    "steps of a pipeline in a pipeline swapped",
    "'memory' names a folder",
    swapped(
        made(PIPELINE, steps=[["p", made(PIPELINE, steps=[["a", TREE]])]]),
        p__steps=[["a", made(PIPELINE, steps=[["b", TREE]])]],
        p__a__memory=NOWHERE,
    ),
)
case(
    "steps swapped in the grid of a search in an ensemble",
    "lets CatBoost write files",
    with_estimator(
        "sklearn.ensemble.BaggingClassifier",
        estimator=made(
            SEARCH,
            estimator=made(PIPELINE, steps=[["a", TREE]]),
            param_grid=[{"steps": [[["a", made(CAT)]]], **{name: [value] for name, value in WRITES.items()}}],
        ),
    ),
)

# ------------------------------------------------------ words in words, in the grid of a search too
WORDS = "255 forcedsplits_filename=/etc/hostname"
KEY = "forcedsplits_filename=/etc/hostname max__bin"
for name, values in {
    "a list": [WORDS],
    "a tuple": pair(WORDS),
    "a set": {"__set__": [WORDS]},
    "an array": {"__array__": ["str", [WORDS]]},
}.items():
    case(
        f"words in {name} of a grid",
        "LightGBM reads what follows",
        with_estimator(SEARCH, estimator=made(LGB), param_grid={"max_bin": values}),
    )
case(
    "words for a step that a grid swaps",
    "LightGBM reads what follows",
    with_estimator(
        SEARCH, estimator=made(PIPELINE, steps=[["a", TREE]]), param_grid={"a": [made(LGB)], "a__max_bin": [WORDS]}
    ),
)
for name, value in {"a dict": {"max_bin": WORDS}, "pairs": {"__dict__": [["max_bin", WORDS]]}}.items():
    case(f"words in {name} of others", "LightGBM takes numbers, text", swapped(made(LGB), other_params=value))
NO_PARAMETER = "is no parameter of a boosting library"
case("words in front of what looks like a path", NO_PARAMETER, swapped(made(LGB), **{KEY: 3}))
case(
    "words in front of what looks like a path, of a step",
    NO_PARAMETER,
    swapped(made(PIPELINE, steps=[["a", made(LGB)]]), **{f"a__{KEY}": 3}),
)
case(
    "words in front of what looks like a path, in a grid",
    NO_PARAMETER,
    with_estimator(SEARCH, estimator=made(LGB), param_grid={KEY: [3]}),
)

# ------------------------------------------------------------------- keywords, methods and patterns
for name, keywords in {
    "text of objects": {"dtype": {"__type__": "object"}, "initial": "/etc/passwd?format=csv", "where": False},
    "objects": {"dtype": "object"},
    "a start": {"initial": "/etc/passwd"},
    "some entries": {"where": False},
    "an output": {"out": [0.0]},
    "a dict of pairs": {"__dict__": [["initial", "x"]]},
}.items():
    made_of = made(FUNCTION, func={"__function__": "numpy.sum"})
    case(f"keywords with {name}", "is given to a function as it is", with_estimator(FUNCTION, kw_args=keywords))
    case(f"keywords with {name} that a trial sets", "is given to a function", swapped(made_of, inv_kw_args=keywords))
case(
    "keywords of a metric",
    "is given to a function",
    with_estimator("sklearn.neighbors.KNeighborsClassifier", metric_params={"func": {"__function__": "numpy.sum"}}),
)
case(
    "keywords of a contrast",
    "is given to a function",
    with_estimator("sklearn.decomposition.FastICA", fun_args={"out": 1}),
)
case(
    "a method that saves",
    "is called by its name",
    with_estimator("sklearn.ensemble.StackingClassifier", estimators=[["a", made(XGB)]], stack_method="save_model"),
)
case("a pattern that never ends", "may take for ever", with_estimator(TEXT, token_pattern="(a+)+$"))
for zone in ("dateutil//etc/passwd", "dateutil/../../etc/passwd", ":/etc/hostname", "/etc/passwd", "Europe/../../x"):
    case(
        f"a selector by times of the zone {zone}",
        "is not a selector of columns",
        with_estimator(
            "sklearn.compose.ColumnTransformer",
            transformers=[["a", TREE, {"__selector__": {"dtype_include": ["number", f"datetime64[ns, {zone}]"]}}]],
        ),
    )
case(
    "a selector with a pattern that never ends",
    "is not an allowed selector of columns",
    with_estimator(
        "sklearn.compose.ColumnTransformer", transformers=[["a", TREE, {"__selector__": {"pattern": "(a|a)*b"}}]]
    ),
)

# -------------------------------------------------------------- classes that only a worker can know
for name in (
    *("lightgbm.DaskLGBMClassifier", "lightgbm.dask.DaskLGBMRegressor", "xgboost.dask.DaskXGBClassifier"),
    *("xgboost.spark.SparkXGBClassifier", "catboost.hnsw.HnswEstimator", "lightgbm.sklearn.LGBMClassifier"),
):
    case(f"the class {name}", "is not on the allow-list", with_estimator(name), decoder=False)
case(
    "a class by another name",
    "is an alias of 'sklearn.svm.LinearSVC': use that name",
    with_estimator("sklearn.calibration.LinearSVC"),
    decoder=False,
)

# -------------------------------------------------- None, which a library takes for its own default
UNWRITTEN = "lets CatBoost write files"
case("None for what writes by default", UNWRITTEN, with_estimator(CAT, allow_writing_files=None))
case("None that a trial sets", UNWRITTEN, swapped(made(CAT), allow_writing_files=None))
case(
    "None that a trial sets on a step",
    UNWRITTEN,
    swapped(made(PIPELINE, steps=[["a", made(CAT)]]), a__allow_writing_files=None),
)
case(
    "None in a grid", UNWRITTEN, with_estimator(SEARCH, estimator=made(CAT), param_grid={"allow_writing_files": [None]})
)
case(
    "keywords of a kernel",
    "is given to a function",
    with_estimator(
        "sklearn.gaussian_process.GaussianProcessClassifier",
        kernel=made("sklearn.gaussian_process.kernels.PairwiseKernel", pairwise_kernels_kwargs={"n_jobs": 3000}),
    ),
)
