"""As people use PCA: in a Pipeline, in a search, in code that exists."""

import numpy as np
import pytest
from _estimators import OF_CODES
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from skae import AutoencoderTransformer, VAETransformer


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_pipeline_and_search_as_written():
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    pipe = Pipeline([("ae", VAETransformer(latent_dim=2)), ("clf", LogisticRegression())])
    pipe.set_params(ae__random_state=0, ae__max_epochs=10)
    assert pipe.fit(X_train, y_train).score(X_test, y_test) > 0.4
    search = GridSearchCV(pipe, {"ae__latent_dim": [1, 2, 4, 8]}, cv=3).fit(X_train, y_train)
    assert search.best_params_ == {"ae__latent_dim": 8}
    assert search.score(X_test, y_test) > 0.8


@pytest.mark.parametrize("cls", OF_CODES)
def test_search_by_its_own_score(cls, bent):
    search = GridSearchCV(cls(max_epochs=5, random_state=0), {"latent_dim": [1, 3]}, cv=3).fit(bent)
    assert search.best_params_["latent_dim"] > 1
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_scores_are_on_the_scale_of_pca(bent):
    ours = cross_val_score(VAETransformer(2, random_state=0, max_epochs=30), bent).mean()
    assert ours > cross_val_score(PCA(2), bent).mean()


def test_set_output_in_a_pipeline(iris):
    pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(2, max_epochs=2))
    codes = pipe.set_output(transform="pandas").fit_transform(iris)
    assert list(codes.columns) == ["autoencodertransformer0", "autoencodertransformer1"]


def test_beside_pca(iris):
    union = FeatureUnion([("pca", PCA(2)), ("ae", AutoencoderTransformer(2, max_epochs=2))])
    assert union.fit_transform(iris).shape == (150, 4)
    columns = ColumnTransformer([("ae", VAETransformer(1, max_epochs=2), [0, 1])])
    assert columns.fit_transform(iris).shape == (150, 1)


def test_html_diagram(iris):
    model = VAETransformer(3, max_epochs=1)
    assert "VAETransformer" in estimator_html_repr(make_pipeline(StandardScaler(), model))
    assert "latent_dim" in estimator_html_repr(model.fit(iris))
    assert repr(model) == "VAETransformer(latent_dim=3, max_epochs=1)"
