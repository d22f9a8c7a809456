"""scikit-learn's estimators whose fitted numbers need no check of ours.

Only NumPy and checked functions of SciPy use them. For scikit-learn 1.6 to 1.9. Each was reviewed:
what it passes to compiled code of scikit-learn is checked there, comes from the data to predict, or
is in parts that have their own check.
"""

from __future__ import annotations

BY_NUMPY = frozenset(
    {
        *("Kernel", "BaseDecisionTree", "CalibratedClassifierCV", "_SigmoidCalibration", "_TemperatureScaling"),
        *("AffinityPropagation", "AgglomerativeClustering", "FeatureAgglomeration", "SpectralBiclustering"),
        *("SpectralCoclustering", "DBSCAN", "MeanShift", "OPTICS", "SpectralClustering"),
        *("ColumnTransformer", "TransformedTargetRegressor", "FeatureUnion", "Pipeline", "FrozenEstimator"),
        *("CCA", "PLSCanonical", "PLSRegression", "PLSSVD"),
        *("DictionaryLearning", "MiniBatchDictionaryLearning", "SparseCoder", "FactorAnalysis", "FastICA"),
        *("IncrementalPCA", "KernelPCA", "LatentDirichletAllocation", "MiniBatchNMF", "NMF", "PCA"),
        *("MiniBatchSparsePCA", "SparsePCA", "TruncatedSVD"),
        *("LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis", "DummyClassifier", "DummyRegressor"),
        *("BaggingClassifier", "BaggingRegressor", "StackingClassifier", "StackingRegressor", "VotingClassifier"),
        *("VotingRegressor", "AdaBoostClassifier", "AdaBoostRegressor", "_BinMapper"),
        *("FeatureHasher", "PatchExtractor", "HashingVectorizer", "TfidfTransformer"),
        *("SelectFromModel", "RFE", "RFECV", "SequentialFeatureSelector", "GenericUnivariateSelect", "SelectFdr"),
        *("SelectFpr", "SelectFwe", "SelectKBest", "SelectPercentile", "VarianceThreshold"),
        *("GaussianProcessClassifier", "GaussianProcessRegressor", "_BinaryGaussianProcessClassifierLaplace"),
        *("MissingIndicator", "SimpleImputer", "KNNImputer", "IterativeImputer", "IsotonicRegression"),
        *("AdditiveChi2Sampler", "Nystroem", "PolynomialCountSketch", "RBFSampler", "SkewedChi2Sampler", "KernelRidge"),
        *("LinearRegression", "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "Lasso", "LassoCV"),
        *("MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV", "GammaRegressor"),
        *("PoissonRegressor", "TweedieRegressor", "HuberRegressor", "Lars", "LarsCV", "LassoLars", "LassoLarsCV"),
        *("LassoLarsIC", "LogisticRegression", "LogisticRegressionCV", "OrthogonalMatchingPursuit"),
        *("OrthogonalMatchingPursuitCV", "PassiveAggressiveClassifier", "PassiveAggressiveRegressor", "Perceptron"),
        *("QuantileRegressor", "RANSACRegressor", "Ridge", "RidgeCV", "RidgeClassifier", "RidgeClassifierCV"),
        *("SGDClassifier", "SGDOneClassSVM", "SGDRegressor", "TheilSenRegressor", "LinearSVC", "LinearSVR"),
        *("ClassicalMDS", "Isomap", "LocallyLinearEmbedding", "MDS", "SpectralEmbedding", "TSNE"),
        *("BayesianGaussianMixture", "GaussianMixture"),
        *("FixedThresholdClassifier", "TunedThresholdClassifierCV", "GridSearchCV", "RandomizedSearchCV"),
        *("HalvingGridSearchCV", "HalvingRandomSearchCV"),
        *("OneVsOneClassifier", "OutputCodeClassifier", "_ConstantPredictor", "ClassifierChain"),
        *("MultiOutputClassifier", "MultiOutputRegressor", "RegressorChain"),
        *("BernoulliNB", "CategoricalNB", "ComplementNB", "GaussianNB", "MultinomialNB"),
        *("NeighborhoodComponentsAnalysis", "NearestCentroid", "MLPClassifier", "MLPRegressor", "BernoulliRBM"),
        *("Binarizer", "KernelCenterer", "MaxAbsScaler", "MinMaxScaler", "Normalizer", "PowerTransformer"),
        *("QuantileTransformer", "RobustScaler", "StandardScaler", "KBinsDiscretizer", "OrdinalEncoder"),
        *("FunctionTransformer", "LabelBinarizer", "LabelEncoder", "PolynomialFeatures", "SplineTransformer"),
        *("TargetEncoder",),
        *("GaussianRandomProjection", "SparseRandomProjection", "LabelPropagation", "LabelSpreading"),
        *("SelfTrainingClassifier",),
    }
)
"""Names of these classes or of their base classes."""
