"""Parameters that reach a file, a socket or code: by library, with the reason and the way out.

A class on the allow-list may still take a path, or a word that its library evaluates. `warren.safety.parameter_checks`
looks names up here; `tests/unit/test_refused.py` compares the tables with the libraries that are installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from warren.encoding.tags import is_function, items_of
from warren.safety.keyword_arguments import KEYWORDS, are_keywords
from warren.safety.regex_checks import problem_of_pattern

Json: TypeAlias = Any  # as in warren.encoding.codec, which brings NumPy: an idle worker does without


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Why a parameter is refused.

    Attributes
    ----------
    reaches : str
        What its value would do.
    instead : str
        The way out.
    only : tuple
        Values that are harmless.
    default : bool
        None is harmless, too. A library takes it for its own default, which may be none of those above.
    pattern : str or None
        Text that is harmless, as a whole.
    functions : bool
        Functions that may travel are harmless, too.
    fits : callable or None
        Says of any other value whether it is harmless.
    """

    reaches: str
    instead: str = "leave it out"
    only: tuple[Json, ...] = ()
    default: bool = True
    pattern: str | None = None
    functions: bool = False
    fits: Callable[[Json], bool] | None = None

    def allows(self, value: Json) -> bool:
        """Say whether a value is harmless."""
        if value is None:
            return self.default
        if any(type(value) is type(one) and value == one for one in self.only):
            return True
        if (self.functions and is_function(value)) or (self.fits is not None and self.fits(value)):
            return True
        return self.pattern is not None and isinstance(value, str) and re.fullmatch(self.pattern, value) is not None


def _rules(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


_CALLED = Rule(reaches="is called, and a message must not run code", instead="leave it out, or None")
# Parameters that people set to NumPy's functions.
_FUNCTION = Rule(
    reaches=_CALLED.reaches,
    instead="leave it out, or pass a ufunc of NumPy or scipy.special, np.log1p for one, or a score of features; put "
    "anything else into an estimator class of your own, named in WARREN_ALLOW",
    functions=True,
)
# What joblib multiplies its processes by.
_FACTOR = r"\d{1,3}(\.\d{1,3})?"
# Names of methods that scikit-learn asks an estimator for, whatever they do.
_METHOD = Rule(
    reaches="is called by its name",
    instead="pass 'auto', 'predict', 'predict_proba' or 'decision_function', or a list of these",
    fits=lambda value: all(
        isinstance(one, str) and one in {"auto", "predict", "predict_proba", "predict_log_proba", "decision_function"}
        for one in (items_of(value) or [value])
    ),
)
FILE = Rule(reaches="names a file or folder, and a worker reads and writes none for a message")
SOCKET = Rule(reaches="opens connections to other machines")
_ANEW = "leave it out: every trial is trained from the start"
_MODEL = Rule(reaches="names a stored model to go on from", instead=_ANEW)

# By the libraries' own tables: https://lightgbm.readthedocs.io/en/stable/Parameters.html with every alias,
# https://xgboost.readthedocs.io/en/stable/parameter.html, https://catboost.ai/docs/en/references/training-parameters/,
# and CatBoost's output_file_options.cpp, for its set_params hands any name to the core.
REFUSED: Mapping[str, Mapping[str, Rule]] = {
    "sklearn": {
        **_rules("func inverse_func pooling_func score_func", _FUNCTION),
        **_rules("preprocessor tokenizer callback", _CALLED),
        **_rules("is_data_valid is_model_valid", _CALLED),
        "feature_names_out": Rule(reaches=_CALLED.reaches, only=("one-to-one",)),
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
        **_rules("stack_method chain_method", _METHOD),
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
    },
    "xgboost": {
        "callbacks": Rule(reaches=_CALLED.reaches, only=([],)),
        **_rules("xgb_model model_in", _MODEL),
        "process_type": Rule(reaches="changes a stored model", instead=_ANEW, only=("default",)),
        **_rules(
            "data test_path model_out model_dir save_period name_dump name_fmap name_pred fmap cache_prefix", FILE
        ),
    },
    "lightgbm": {
        **_rules("callbacks", _CALLED),
        **_rules("init_model input_model model_in model_input", _MODEL),
        **_rules(
            """
            config config_file data train train_data data_filename train_data_file valid test test_data valid_data
            test_data_file valid_data_file valid_filenames output_model model_out model_output output_result name_pred
            pred_name predict_name predict_result prediction_name prediction_result convert_model convert_model_file
            convert_model_language parser_config_file initscore_filename init_score_filename init_score_file init_score
            input_init_score valid_data_initscores valid_data_init_scores valid_init_score_file valid_init_score
            forcedbins_filename forcedsplits_filename fs forced_splits forced_splits_file forced_splits_filename
            snapshot_freq save_period
            """,
            FILE,
        ),
        **_rules(
            "save_binary is_save_binary is_save_binary_file",
            Rule(reaches="writes the data to a file", only=(False,)),
        ),
        **_rules("machine_list_filename mlist machine_list machine_list_file machines nodes workers", SOCKET),
        **_rules("local_listen_port port local_port", SOCKET),
        **_rules("num_machines num_machine", Rule(reaches=SOCKET.reaches, only=(1,))),
    },
    "catboost": {
        **_rules("callback callbacks", _CALLED),
        **_rules("init_model", _MODEL),
        "allow_writing_files": Rule(
            reaches="lets CatBoost write files",
            instead="leave it out: a worker sets it to False",
            only=(False,),
            default=False,  # CatBoost's is True
        ),
        "save_snapshot": Rule(reaches="writes a file to go on from", only=(False,)),
        "params": Rule(
            reaches="holds further parameters", instead="name them singly, CatBoostClassifier(depth=6) for one"
        ),
        **_rules(
            """
            train_dir snapshot_file input_borders output_borders roc_file result_model_file meta json_log profile_log
            profile detailed_profile learn_error_log test_error_log time_left_log eval_file_name fstr_regular_file
            fstr_internal_file training_options_file plot_file log_cout log_cerr features_selection_result_path
            model_file feature_names_path pool_metainfo_path
            """,
            FILE,
        ),
        **_rules("file_with_hosts node_type node_port", SOCKET),
    },
    # What its parameters may be is written down for each: `warren.libraries.keras`.
    "networks": {},
}
# XGBoost's classes keep what they don't know under this name, and pass it on.
EVERYWHERE = _rules("kwargs", Rule(reaches="holds further parameters", instead="name them singly"))

# Dicts whose keys are classes, columns, words or steps. The keys of any other are taken for names of parameters.
LABELLED = frozenset(
    {
        *("class_weight", "class_weights", "vocabulary", "monotonic_cst", "monotone_constraints", "feature_weights"),
        *("transformer_weights", "first_feature_use_penalties", "per_object_feature_penalties", "metadata"),
    }
)

# Parameters of later versions that sound like these are taken for what they sound like.
SOUNDS_LIKE_A_FILE = re.compile(r"(^|_)(files?|filenames?|paths?|dir|directory|folder|log|uri|url|hosts)$")
SOUNDS_LIKE_A_SOCKET = re.compile(r"(dmlc|federated|nccl)_")
