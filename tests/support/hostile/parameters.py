"""Parameters that reach files or code, and values with a reserved key."""

from __future__ import annotations

from hostile.making import (
    CAT,
    LGB,
    NOWHERE,
    PIPELINE,
    TEXT,
    TREE,
    XGB,
    Cases,
    Message,
    objective_with,
    trial_with,
    with_estimator,
    with_params,
)

CASES = Cases()
case = CASES.add

# ------------------------------------------------------------ parameters that reach files or code
for library, params in {
    XGB: {
        "xgb_model": f"{NOWHERE}-m",
        "callbacks": ["x"],
        "process_type": "update",
        "kwargs": {"eta": 1},
        "model_dir": NOWHERE,
    },
    LGB: {
        "input_model": f"{NOWHERE}-m",
        "model_in": f"{NOWHERE}-m",
        "output_model": f"{NOWHERE}-m",
        "forcedsplits_filename": "/etc/passwd",
        "fs": "/etc/passwd",
        "forcedbins_filename": "/etc/passwd",
        "machine_list_filename": "/etc/hosts",
        "machines": "10.0.0.1:80",
        "config": "/etc/passwd",
        "data": "/etc/passwd",
        "valid": "/etc/passwd",
        "save_binary": True,
        "snapshot_freq": 1,
        "parser_config_file": "/etc/passwd",
        "callbacks": ["x"],
        "init_model": f"{NOWHERE}-m",
        "some_later_filename": "/etc/passwd",
    },
    CAT: {
        "train_dir": NOWHERE,
        "snapshot_file": f"{NOWHERE}-s",
        "save_snapshot": True,
        "input_borders": "/etc/passwd",
        "output_borders": f"{NOWHERE}-b",
        "allow_writing_files": True,
        "roc_file": f"{NOWHERE}-r",
        "plot_file": f"{NOWHERE}-p",
        "result_model_file": f"{NOWHERE}-m",
        "file_with_hosts": "/etc/hosts",
        "node_port": 80,
        "callback": "os.system",
        "params": {"train_dir": NOWHERE},
        "text_processing": {"dictionaries": [{"some_path": "/etc/passwd"}]},
    },
    PIPELINE: {"memory": NOWHERE},
    TEXT: {"input": "filename", "tokenizer": "os.system", "preprocessor": "os.system"},
    "sklearn.preprocessing.FunctionTransformer": {"func": "os.system", "inverse_func": "os.system"},
    "sklearn.model_selection.GridSearchCV": {
        "pre_dispatch": "__import__('os')",
        "param_grid": {"train_dir": [NOWHERE]},
    },
    "sklearn.feature_selection.RFE": {"importance_getter": "__class__.__init__.__globals__"},
    "sklearn.compose.ColumnTransformer": {"verbose_feature_names_out": "{feature_name.__class__}"},
}.items():
    short = library.rpartition(".")[2]
    for parameter, value in params.items():
        why = rf"{parameter}=\.\.\.\)|{parameter}'\]"
        case(f"{short}({parameter}=...)", why, with_estimator(library, **{parameter: value}))
        case(f"{short}, a trial's {parameter}", why, with_params(library, **{parameter: value}))


def _steps(*steps: tuple[str, Message]) -> Message:
    return {"__estimator__": PIPELINE, "params": {"steps": [{"__tuple__": list(step)} for step in steps]}}


INNER = _steps(("clf", {"__estimator__": CAT, "params": {}}))
case(
    "a folder for CatBoost inside a pipeline",
    "'train_dir' names a file or folder",
    objective_with(estimator=_steps(("clf", {"__estimator__": CAT, "params": {"train_dir": NOWHERE}}))),
)
case(
    "a trial's folder for CatBoost inside a pipeline",
    "'train_dir' names a file or folder",
    lambda m: trial_with(params={"clf__train_dir": NOWHERE})(objective_with(estimator=INNER)(m)),
)
case(
    "a file for an estimator that a trial puts into a pipeline",
    "'fs' names a file or folder",
    lambda m: trial_with(params={"clf": {"__estimator__": LGB, "params": {}}, "clf__fs": "/etc/passwd"})(
        objective_with(estimator=INNER)(m)
    ),
)
case(
    "a file for a step that is not shown",
    "'forcedsplits_filename' names a file or folder",
    trial_with(params={"estimator__forcedsplits_filename": "/etc/passwd"}),
)
# Names that users may give to steps, where they are parameters after all.
_SEARCH = "sklearn.model_selection.GridSearchCV"
_META = _steps(("meta", TREE))
case(
    "a folder of a pipeline with a step of that name",
    "'memory' names a folder",
    lambda m: trial_with(params={"memory": NOWHERE})(objective_with(estimator=_steps(("memory", TREE)))(m)),
)
case(
    "files for a step called as the parameter",
    "'input' reads the files",
    lambda m: trial_with(params={"input": {"__estimator__": TEXT, "params": {}}, "input__input": "filename"})(
        objective_with(estimator=_steps(("input", TREE)))(m)
    ),
)
case(
    "files for steps that a trial brings",
    "'input' reads the files",
    lambda m: trial_with(
        params={
            "steps": [{"__tuple__": ["input", {"__estimator__": TEXT, "params": {}}]}],
            "input__input": "filename",
        }
    )(objective_with(estimator=_steps(("input", TREE)))(m)),
)
case(
    "a list that is none of steps",
    "'input' reads the files",
    with_params(TEXT, vocabulary=[{"__tuple__": ["input", TREE]}], input="filename"),
)
case(
    "a folder in the grid of a search",
    "'meta' names a file or folder",
    with_estimator(_SEARCH, estimator={"__estimator__": CAT, "params": {}}, param_grid={"meta": [NOWHERE]}),
)
case(
    "a folder in the grid of a search that gets another estimator",
    "'meta' names a file or folder",
    lambda m: trial_with(params={"estimator": {"__estimator__": CAT, "params": {}}})(
        with_estimator(_SEARCH, estimator=_META, param_grid={"meta": [NOWHERE]})(m)
    ),
)
case(
    "a folder in the grid that a trial gives a search",
    "'meta' names a file or folder",
    lambda m: trial_with(
        params={"estimator": {"__estimator__": CAT, "params": {}}, "param_grid": [{"meta": [NOWHERE]}]}
    )(with_estimator(_SEARCH, estimator=_META, param_grid={})(m)),
)
case(
    "a second parameter in a grid's name",
    "is no parameter of a boosting library",
    with_estimator(_SEARCH, estimator={"__estimator__": LGB, "params": {}}, param_grid={"max_bin=5 fs": ["/etc/x"]}),
)
case(
    "a grid in a tuple with more",
    "misuses the reserved key",
    with_estimator(_SEARCH, estimator=TREE, param_grid={"__tuple__": [{}], "__x": 1}),
)
case(
    "a second parameter behind a space",
    "LightGBM reads what follows",
    with_params(LGB, objective="binary fs=/etc/passwd"),
)
case(
    "a second parameter behind a tab",
    "LightGBM reads what follows",
    with_estimator(LGB, metric=["auc\tfs=/etc/passwd"]),
)
case(
    "a second parameter in a dict",
    "takes numbers, text and lists",
    with_params(LGB, metric=[{"a": "b fs=/etc/passwd"}]),
)
case(
    "a second parameter in a tuple",
    "takes numbers, text and lists",
    with_params(LGB, metric=[{"__tuple__": ["a", "fs=/etc/passwd", "b"]}]),
)
case(
    "a second parameter in a list", "LightGBM reads what follows", with_params(LGB, metric=["auc", ["fs=/etc/passwd"]])
)
case("a name in quotes", "is no parameter of a boosting library", with_params(LGB, **{'"fs"': "/etc/passwd"}))
case(
    "a name behind a space",
    "is no parameter of a boosting library",
    with_params(LGB, **{"max_depth=3 fs": "/etc/passwd"}),
)
case(
    "further parameters in a hidden one",
    "can't name a parameter",
    with_params(LGB, _other_params={"fs": "/etc/passwd"}),
)

# --------------------------------------------------------- values with a reserved key
FUNCTION = "sklearn.preprocessing.FunctionTransformer"
for name in (
    "os.system",
    "builtins.eval",
    "numpy.load.__call__",
    "numpy.lib.npyio.load",
    "numpy._core.multiarray.fromfile",
    "sklearn.datasets.load_files",
    "scipy.io.loadmat",
    "numpy",
    "numpy.Log1p",
    "",
):
    case(
        f"the function {name!r}",
        "'func' is called|names no function",
        with_estimator(FUNCTION, func={"__function__": name}),
    )
for name in (
    "numpy.load",
    "numpy.fromfile",
    "numpy.save",
    "numpy.frompyfunc",
    "numpy.apply_along_axis",
    "scipy.special.os",
):
    # Spelled like a ufunc, and none: only a lookup knows.
    value, words = {"__function__": name}, "function that is allowed|not allowed, or not"
    case(f"the function {name}", words, with_estimator(FUNCTION, func=value), decoder=False)
    case(f"a trial's function {name}", words, with_params(FUNCTION, func=value), decoder=False)
case(
    "a function beside something else",
    "'func' is called",
    with_estimator(FUNCTION, func={"__function__": "numpy.log1p", "__tuple__": []}),
)
case("a function as an objective", "takes no function", with_params(XGB, objective={"__function__": "numpy.log1p"}))
case(
    "a function for a tokenizer", "'tokenizer' is called", with_params(TEXT, tokenizer={"__function__": "numpy.log1p"})
)
case("a folder as an array", "'memory' names a folder", with_params(PIPELINE, memory={"__array__": ["str", [NOWHERE]]}))
case(
    "a second parameter in an array",
    "LightGBM reads what follows",
    with_params(LGB, metric={"__array__": ["str", ["auc fs=/etc/passwd"]]}),
)
case(
    "a second parameter in an index",
    "LightGBM takes numbers, text",
    with_params(LGB, metric={"__index__": ["a fs=/etc/passwd"]}),
)
for name, value in {
    "an array of objects": {"__array__": ["object", [{"__reduce__": []}]]},
    "an array of nothing known": {"__array__": ["V100000000", [1]]},
    "an array of many dimensions": {"__array__": ["int64", [[[1]], [[2]]]]},
    "an array of rows of two lengths": {"__array__": ["int64", [[1], [2, 3]]]},
    "an array of numbers and rows": {"__array__": ["int64", [1, [2]]]},
    "a matrix of text": {"__array__": ["str", [["a"], ["b"]]]},
    "an array of dates": {"__array__": ["datetime64[ns]", [1]]},
    "an array of numbers that it can't hold": {"__array__": ["int8", [300]]},
    "an array that is none": {"__array__": "int8"},
    "an index of bools": {"__index__": [True]},
    "a slice of lists": {"__slice__": [[1], 2, 3]},
    "a slice of two": {"__slice__": [1, 2]},
    "a dtype of its own": {"__dtype__": "i8,V1000"},
    "a dtype in a list": {"__dtype__": ["int8"]},
    "a type that runs code": {"__type__": "os.system"},
    "a type of NumPy that reads files": {"__type__": "numpy.memmap"},
    "a selector with more": {"__selector__": {"pattern": "a", "__call__": 1}},
    "a selector of lists": {"__selector__": {"dtype_include": [["a"]]}},
    "a selector by a class": {"__selector__": {"dtype_include": {"__estimator__": "os.system", "params": {}}}},
    "a selector with a long pattern": {"__selector__": {"pattern": "(a+)+" * 1000}},
}.items():
    case(name, "is not |names no function|misuses the reserved key", trial_with(params={"max_features": value}))
case(
    "an output of another kind",
    "is no estimator",
    objective_with(estimator={"__estimator__": TREE["__estimator__"], "params": {}, "output": "os.system"}),
)
case(
    "an output that is a list",
    "is no estimator",
    objective_with(estimator={"__estimator__": TREE["__estimator__"], "params": {}, "output": ["pandas"]}),
)
case("a kernel as an estimator", "is a kernel", with_estimator("sklearn.gaussian_process.kernels.RBF"), decoder=False)
case(
    "a base of kernels as a parameter",
    "is not on the allow-list|is no estimator class",
    trial_with(params={"splitter": {"__estimator__": "sklearn.gaussian_process.kernels.cdist", "params": {}}}),
    decoder=False,
)
