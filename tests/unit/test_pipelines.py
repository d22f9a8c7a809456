"""Pipelines: bit for bit what scikit-learn's ``GridSearchCV`` makes of them, with less work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from in_process import IN_PROCESS
from lightgbm import LGBMClassifier, LGBMRegressor
from searches import Search, assert_same_numbers
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, chi2, mutual_info_classif
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from xgboost import XGBClassifier, XGBRegressor

from producer import submit

pytestmark = IN_PROCESS

ROWS = 160
X, Y = make_classification(ROWS, 8, n_informative=5, flip_y=0.2, random_state=1)
LINE_X, LINE_Y = make_regression(ROWS, 6, noise=20.0, random_state=3)
WEIGHTS = np.random.default_rng(4).uniform(0.1, 3.0, ROWS)
ROUNDS = [5, 20, 12]
XGB: dict[str, Any] = {"max_depth": 3, "n_jobs": 1, "random_state": 7, "subsample": 0.8}
LGB: dict[str, Any] = {"num_leaves": 7, "n_jobs": 1, "verbosity": -1, "random_state": 7}
BOTH_SCORES = {"cv": 3, "scoring": ["roc_auc", "accuracy"], "refit": "roc_auc", "return_train_score": True}


def mixed() -> pd.DataFrame:
    """Numbers with holes, text and categories, as people's tables have them."""
    draw = np.random.default_rng(6)
    frame = pd.DataFrame(X[:, :4], columns=["age", "income", "debt", "visits"])
    frame = frame.mask(draw.random(frame.shape) < 0.1)
    return frame.assign(
        city=draw.choice(["Ulm", "Bonn", "Kiel"], ROWS),
        grade=pd.Series(draw.choice(["a", "b"], ROWS)).astype("category"),
        remark=draw.choice(["late payment", "good customer", "new customer late"], ROWS),
    )


def prepared() -> ColumnTransformer:
    numbers = Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())])
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include=np.number)),
            ("words", OneHotEncoder(handle_unknown="ignore", dtype=np.float32), ["city"]),
            ("grade", OrdinalEncoder(), pd.Index(["grade"])),
            ("remark", TfidfVectorizer(), "remark"),
        ]
    )


def test_columns_of_every_kind_are_prepared_as_in_scikit_learn() -> None:
    frame = mixed()
    lightgbm = Pipeline([("prepare", prepared()), ("clf", LGBMClassifier(**LGB))])
    xgboost = Pipeline([("prepare", prepared()), ("clf", XGBClassifier(**XGB))])
    tables = ColumnTransformer(
        [("numbers", SimpleImputer(), slice(0, 4)), ("grade", OrdinalEncoder(), np.array(["grade"]))],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    named = Pipeline([("prepare", tables), ("clf", LGBMClassifier(**LGB))])
    studies = assert_same_numbers(
        Search(
            lightgbm,
            {"clf__n_estimators": ROUNDS, "prepare__numbers__fill__strategy": ["mean", "median"]},
            frame,
            Y,
            options=BOTH_SCORES,
        ),
        Search(xgboost, {"clf__n_estimators": ROUNDS, "prepare__remark": ["drop", TfidfVectorizer()]}, frame, Y),
        Search(named, {"clf__n_estimators": ROUNDS, "prepare__numbers__add_indicator": [True, False]}, frame, Y),
    )
    for study in studies:
        assert (study.results()["shared_by"] == 3).all()


@pytest.mark.slow
def test_steps_as_values_are_those_of_scikit_learn() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("reduce", "passthrough"), ("clf", "passthrough")])
    clf = [XGBClassifier(**XGB), LGBMClassifier(**LGB), LogisticRegression()]
    grids = [
        {"clf": clf[:2], "clf__n_estimators": ROUNDS, "scale": ["passthrough", MinMaxScaler(), None]},
        {"clf": clf[2:], "clf__C": [0.1, 1.0], "reduce": [PCA(n_components=3, random_state=0), SelectKBest(k=2)]},
    ]
    [study] = assert_same_numbers(Search(pipeline, grids, X, Y, options=BOTH_SCORES))
    assert study.results()["shared_by"].tolist() == [3] * 18 + [1] * 4


@pytest.mark.slow
def test_unions_targets_and_nested_pipelines_are_those_of_scikit_learn() -> None:
    union = FeatureUnion([("pca", PCA(n_components=2, random_state=0)), ("best", SelectKBest(k=3))])
    target = TransformedTargetRegressor(
        regressor=Pipeline([("scale", StandardScaler()), ("reg", LGBMRegressor(**LGB))]),
        func=np.arcsinh,
        inverse_func=np.sinh,
    )
    nested = Pipeline(
        [
            ("first", make_pipeline(StandardScaler(), PCA(n_components=4, random_state=0))),
            ("rest", Pipeline([("bins", KBinsDiscretizer(n_bins=4, encode="ordinal")), ("reg", XGBRegressor(**XGB))])),
        ]
    )
    weighted = {"transformer_weights": [None, {"pca": 2.0}]}
    studies = assert_same_numbers(
        Search(
            Pipeline([("union", union), ("clf", XGBClassifier(**XGB))]),
            {"clf__n_estimators": ROUNDS, **{f"union__{name}": values for name, values in weighted.items()}},
            X,
            Y,
            options=BOTH_SCORES,
        ),
        Search(
            target, {"regressor__reg__n_estimators": ROUNDS, "regressor__scale": [None, MinMaxScaler()]}, LINE_X, LINE_Y
        ),
        Search(
            nested,
            {"rest__reg__n_estimators": ROUNDS, "rest__bins__n_bins": [3, 5]},
            LINE_X,
            LINE_Y,
            options={"cv": 3, "scoring": ["r2", "neg_mean_absolute_error"], "refit": "r2", "return_train_score": True},
        ),
    )
    assert [set(study.results()["shared_by"]) for study in studies] == [{3}, {1}, {3}]


@pytest.mark.slow
def test_functions_selections_and_kernels_are_those_of_scikit_learn() -> None:
    positive = MinMaxScaler(clip=True)
    selected = Pipeline(
        [
            ("scale", positive),
            ("log", FunctionTransformer(np.log1p, inverse_func=np.expm1)),
            ("select", SelectKBest(chi2, k=4)),
            ("clf", XGBClassifier(**XGB)),
        ]
    )
    kernel = 1.0 * RBF(np.ones(LINE_X.shape[1])) + WhiteKernel()
    process = make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, optimizer=None))
    assert_same_numbers(
        Search(
            selected,
            {"clf__n_estimators": ROUNDS, "log__func": [np.log1p, np.sqrt, None], "select__score_func": [chi2]},
            X,
            Y,
            options=BOTH_SCORES,
        ),
        Search(
            process,
            {"gaussianprocessregressor__alpha": [1e-6, 1e-2], "gaussianprocessregressor__kernel": [kernel, RBF(2.0)]},
            LINE_X,
            LINE_Y,
        ),
    )


@pytest.mark.slow
def test_texts_are_those_of_scikit_learn() -> None:
    texts = mixed()["remark"] + " " + mixed()["city"]
    pipeline = Pipeline([("words", TfidfVectorizer()), ("clf", LogisticRegression())])
    grid = {"clf__C": [0.1, 1.0, 10.0], "words__ngram_range": [(1, 1), (1, 2)], "words__min_df": [1, 2]}
    holes = [None if number == 3 else text for number, text in enumerate(texts)]
    fills = Pipeline([("words", TfidfVectorizer(lowercase=False)), ("clf", XGBClassifier(**XGB))])
    assert_same_numbers(
        Search(pipeline, grid, texts.tolist(), Y, options=BOTH_SCORES),
        Search(pipeline, {"clf__C": [0.1]}, texts, Y),
        Search(fills, {"clf__n_estimators": ROUNDS}, texts.to_numpy(), Y, options=BOTH_SCORES),
    )
    assert_same_numbers(Search(pipeline, {"clf__C": [0.1]}, holes, Y), warns=True)


def test_weights_of_a_pipeline_are_its_last_step_s() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("reg", XGBRegressor(**XGB))])
    nested = Pipeline([("first", MinMaxScaler()), ("rest", pipeline)])
    alone = Pipeline([("reg", Ridge())])
    grid = {"reg__n_estimators": ROUNDS}
    given = {"sample_weight": WEIGHTS}
    # scikit-learn hands weights under a step's name to no scorer.
    studies = [
        submit(one, its, LINE_X, LINE_Y, cv=3, scoring="neg_max_error", **given)
        for one, its in (
            (pipeline, grid),
            (nested, {"rest__reg__n_estimators": ROUNDS}),
            (alone, {"reg__alpha": [0.1, 1.0]}),
        )
    ]
    here = [
        Search(pipeline, grid, LINE_X, LINE_Y, {"reg__sample_weight": WEIGHTS}, {"cv": 3, "scoring": "neg_max_error"}),
        Search(
            nested,
            {"rest__reg__n_estimators": ROUNDS},
            LINE_X,
            LINE_Y,
            {"rest__reg__sample_weight": WEIGHTS},
            {"cv": 3, "scoring": "neg_max_error"},
        ),
        Search(
            alone,
            {"reg__alpha": [0.1, 1.0]},
            LINE_X,
            LINE_Y,
            {"reg__sample_weight": WEIGHTS},
            {"cv": 3, "scoring": "neg_max_error"},
        ),
    ]
    for study, search in zip(studies, here, strict=True):
        theirs = search.here().cv_results_
        study.wait(timeout=60, progress=False)
        for fold in range(3):
            np.testing.assert_array_equal(
                study.cv_results_[f"split{fold}_test_score"], theirs[f"split{fold}_test_score"]
            )


def test_what_can_not_be_prepared_fails_as_in_scikit_learn() -> None:
    frame = mixed()
    frame.loc[5, "city"] = "Trier"  # in one fold only: unknown where it is held out
    encoded = ColumnTransformer([("words", OneHotEncoder(), ["city"])])
    scored = Pipeline([("prepare", encoded), ("clf", LogisticRegression())])
    broken = Pipeline(
        [
            ("bins", KBinsDiscretizer(encode="ordinal", quantile_method="averaged_inverted_cdf")),
            ("clf", LogisticRegression()),
        ]
    )
    grid = {"clf__C": [0.1, 1.0]}
    [first, second] = assert_same_numbers(
        Search(scored, grid, frame, Y, options={"cv": 3, "return_train_score": True}),
        Search(broken, {"bins__n_bins": [3, 1], **grid}, X, Y, options={"cv": 3, "return_train_score": True}),
        warns=True,
    )
    errors = first.results()["error"]
    assert errors.str.contains("ValueError: Found unknown categories").all()
    assert second.results()["state"].tolist() == ["COMPLETE", "COMPLETE", "FAILED", "FAILED"]
    assert "InvalidParameterError" in second.results()["error"][2]


@pytest.mark.parametrize("validation_fraction", [None, 0.2])
def test_a_booster_at_the_end_of_a_pipeline_stops_early(validation_fraction: float | None) -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", XGBClassifier(n_estimators=300, **XGB))])
    grids = [
        {"clf__early_stopping_rounds": [4], "clf__learning_rate": [0.3]},
        {"clf": [LGBMClassifier(n_estimators=300, **LGB)], "clf__early_stopping_round": [4], "scale": ["passthrough"]},
    ]
    study = submit(pipeline, grids, X, Y, cv=3, scoring="roc_auc", validation_fraction=validation_fraction)
    frame = study.wait(timeout=60, progress=False).results()
    assert frame["error"].isna().all()
    assert frame["mean_best_iteration"].between(1, 299).all()
    model = study.refit_estimator()
    assert model.steps[-1][1].n_estimators == round(frame["mean_best_iteration"][study.best_index_])
    model.fit(X, Y)


@pytest.mark.slow
def test_steps_that_draw_random_numbers_score_as_if_nothing_was_shared() -> None:
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("draw", RBFSampler(n_components=5)), ("clf", XGBClassifier(**XGB))]
    )
    select = Pipeline([("select", SelectKBest(mutual_info_classif, k=3)), ("clf", XGBClassifier(**XGB))])
    for one in (pipeline, select):
        grid = {"clf__n_estimators": ROUNDS, "clf__learning_rate": [0.1, 0.4]}
        shared, apart = (
            submit(one, grid, X, Y, cv=3, name="draws", return_train_score=True, share_fits=share)
            .wait(timeout=60, progress=False)
            .results()
            for share in (True, False)
        )
        pd.testing.assert_frame_equal(shared.filter(like="split"), apart.filter(like="split"))
