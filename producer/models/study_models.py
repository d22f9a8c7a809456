"""The models of a study: an unfitted estimator of a trial, the trained model, and its export."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from producer.results.study_reader import StudyReader


class StudyModels(StudyReader):
    """The methods of `producer.Study` about models."""

    def refit_estimator(self, index: int | None = None) -> Any:
        """Return an unfitted estimator with the parameters of a trial, to train on all data.

        If the trial used early stopping, the number of rounds is the mean of the kept rounds over
        the folds, and early stopping is switched off: ``study.refit_estimator().fit(X, y)`` needs
        no evaluation set.

        Parameters
        ----------
        index : int, default=None
            Number of the trial; None is the best one so far.

        Returns
        -------
        estimator instance
            Unfitted.

        Raises
        ------
        NoResultError
            No trial has a score yet, or the requested one has not ended.
        """
        from producer.models.refit import refit_estimator

        best = self.best_trial() if index is None else self.ended_trial(index)
        [(_, params)] = self.space.encoded_points([best["number"]], self.settings.allow)
        own = params.pop("estimator") if "estimator" in params and self.estimator_in_grid else None
        return refit_estimator(
            own or self.objective.estimator,
            params,
            best.get("mean_best_iteration"),
            best.get("chosen_params"),
            self.settings.allow,
        )

    def best_model(self, index: int | None = None, *, timeout: float | None = None) -> Any:
        """Return the best trial's estimator, trained on all data by a worker.

        It corresponds to ``best_estimator_`` of scikit-learn. A worker trains it once and stores it
        in the bucket ``models``, in the library's own format (scikit-learn's estimators and
        pipelines by skops); nothing is pickled. The fit uses the study's sample weights, and the
        number of rounds that early stopping found.

        Parameters
        ----------
        index : int, default=None
            Number of the trial; None is the best one so far.
        timeout : float, default=None
            Seconds to wait; None waits without limit. An interrupt ends the waiting, not the
            training.

        Returns
        -------
        estimator instance
            Fitted, with the parameters that the user wrote.

        Raises
        ------
        NoResultError
            No trial has a score yet, or the one asked for has not ended.
        TrialError
            The fit failed.
        TimeoutError
            The model is not trained in time; call again to continue waiting.
        """
        from producer.models.training import fitted_model

        number = self.best_index_ if index is None else index
        return fitted_model(self.store, self.settings, self.id, number, self.refit_estimator(number), timeout)

    def export(
        self,
        path: str | PathLike[str],
        index: int | None = None,
        *,
        format: str | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
    ) -> Path:
        """Write the best trial's model, trained on all data by a worker, to a folder for serving.

        The model has its library's own format and loads without Warren: XGBoost's UBJ, LightGBM's
        text, CatBoost's cbm; everything else, including pipelines, by skops. A `KerasModel` becomes
        a SavedModel, whose signature accepts X like ``fit``. The folder also has ``manifest.json``:
        study, trial, parameters, scores, versions, signature, and the SHA-256 of every file, which
        `producer.models.export.verify` checks.

        Parameters
        ----------
        path : str or PathLike
            The folder to create. For a `KerasModel`, its parent folder: the model is written to
            ``path/<name>/<version>``, as TensorFlow Serving expects, with the study's name and the
            next free number.
        index : int, default=None
            Number of the trial; None is the best one so far.
        format : {"json"}, default=None
            XGBoost's text format; None is the library's default format.
        overwrite : bool, default=False
            Replace an existing export; for a `KerasModel`, its newest version. Other files are
            never replaced.
        timeout : float, default=None
            Seconds to wait for the training, as for `best_model`.

        Returns
        -------
        pathlib.Path
            The folder with ``manifest.json``; it is written completely or not at all.

        Raises
        ------
        NoResultError
            No trial has a score yet, or the one asked for has not ended.
        InputError
            There is an export already, the folder can't be written, or TensorFlow is missing for a
            `KerasModel`.
        TrialError, TimeoutError
            As `best_model` raises them.
        """
        from producer.models.export import export_model

        trial = self.best_trial() if index is None else self.ended_trial(index)
        return export_model(
            self.store,
            self.settings,
            trial,
            self.refit_estimator(trial["number"]),
            path,
            format=format,
            overwrite=overwrite,
            timeout=timeout,
        )
