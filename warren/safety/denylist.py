"""Parameters that reach a file, a socket or code, by package, with the reason and what to do.

A class on the allow-list may still accept a path, or text that its library evaluates.
`warren.safety.parameter_rules` looks up names here; `tests/unit/test_refused.py` compares the
tables with the installed libraries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from warren.encoding.tags import is_function, items_of
from warren.libraries.registry import LIBRARIES
from warren.libraries.rule import CALLED, Rule, rules
from warren.safety.keyword_arguments import KEYWORDS, are_keywords
from warren.safety.regex_checks import problem_of_pattern

# Parameters that users set to NumPy's functions.
_FUNCTION = Rule(
    reaches=CALLED.reaches,
    instead="leave it out, or pass a ufunc of NumPy or scipy.special, np.log1p for one, or a score of features; put "
    "anything else into an estimator class of your own, named in WARREN_ALLOW",
    fits=is_function,
)
# joblib multiplies its number of processes by it.
_FACTOR = r"\d{1,3}(\.\d{1,3})?"
# Names of methods that scikit-learn calls on an estimator, whatever they do.
_METHOD = Rule(
    reaches="is called by its name",
    instead="pass 'auto', 'predict', 'predict_proba' or 'decision_function', or a list of these",
    fits=lambda value: all(
        isinstance(one, str) and one in {"auto", "predict", "predict_proba", "predict_log_proba", "decision_function"}
        for one in (items_of(value) or [value])
    ),
)
_SKLEARN: Mapping[str, Rule] = {
    **rules("func inverse_func pooling_func score_func", _FUNCTION),
    **rules("preprocessor tokenizer callback", CALLED),
    **rules("is_data_valid is_model_valid", CALLED),
    "feature_names_out": Rule(reaches=CALLED.reaches, only=("one-to-one",)),
    **{
        name: Rule(
            reaches="is given to a function as it is",
            instead=f"pass a dict of {', '.join(sorted(known))}, of which each is a number, or what NumPy takes",
            fits=partial(are_keywords, name),
        )
        for name, known in KEYWORDS.items()
    },
    "token_pattern": Rule(
        reaches="may take for ever, however short a text is",
        instead="repeat nothing that leaves a choice, as (a+)+ does, or takes no letter, nor more than two things "
        "that may take each other's letters",
        fits=lambda value: isinstance(value, str) and problem_of_pattern(value, of_documents=True) is None,
    ),
    **rules("stack_method chain_method", _METHOD),
    "memory": Rule(reaches="names a folder of pickled fits, which run code when they are read"),
    "input": Rule(
        reaches="reads the files that X names", instead="pass the documents themselves as X", only=("content",)
    ),
    "pre_dispatch": Rule(
        reaches="is an expression that joblib evaluates",
        instead="leave it out, or pass 'all', 'n_jobs', '2*n_jobs' or a number",
        pattern=rf"all|({_FACTOR} ?\* ?)?n_jobs( ?\* ?{_FACTOR})?|\d{{1,6}}",
        fits=lambda value: isinstance(value, int) and not isinstance(value, bool),
    ),
    "importance_getter": Rule(
        reaches="reads attributes by name",
        instead="pass 'auto', or public names with dots between",
        pattern=r"[A-Za-z]\w*(\.[A-Za-z]\w*)*",
    ),
    "verbose_feature_names_out": Rule(
        reaches="is a format that reads attributes by name",
        instead="pass a bool, or text with {transformer_name} and {feature_name}",
        only=(True, False),
        pattern=r"([^{}]|\{transformer_name\}|\{feature_name\}){0,200}",
    ),
}

REFUSED: Mapping[str, Mapping[str, Rule]] = {
    "sklearn": _SKLEARN,
    **{package: library.refused for package, library in LIBRARIES.items()},
}
"""Refused parameters by package; those of the libraries are in their files."""

# XGBoost's classes keep unknown parameters under this name, and pass them on.
EVERYWHERE = rules("kwargs", Rule(reaches="holds further parameters", instead="name them singly"))

# Dicts with classes, columns, words or steps as keys. Keys of others count as parameter names.
LABELLED = frozenset({"class_weight", "metadata", "monotonic_cst", "transformer_weights", "vocabulary"}).union(
    *(library.labelled for library in LIBRARIES.values())
)

# Parameters of later versions with such names are refused, too.
SOUNDS_LIKE_A_FILE = re.compile(r"(^|_)(files?|filenames?|paths?|dir|directory|folder|log|uri|url|hosts)$")
SOUNDS_LIKE_A_SOCKET = re.compile(r"(dmlc|federated|nccl)_")
