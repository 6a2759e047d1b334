import os

# Workers share the cores: threads of their own would wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from sklearn import datasets
from sklearn.preprocessing import scale

TABLES = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}


@pytest.fixture(params=TABLES)
def table(request):
    """Every table that scikit-learn ships, standardised."""
    return scale(TABLES[request.param]().data)


@pytest.fixture(scope="session")
def iris():
    return scale(datasets.load_iris().data)


@pytest.fixture(scope="session")
def digits():
    """Images with values from 0 to 1, and the digits they show."""
    X, y = datasets.load_digits(return_X_y=True)
    return X / 16.0, y


@pytest.fixture(scope="session")
def bent():
    """400 rows in 6 features on a bent two-dimensional sheet: PCA cannot follow it."""
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-2, 2, (2, 400))
    X = np.column_stack([u, v, u**2, v**2, u * v, np.sin(2 * u)])
    return X + 0.05 * rng.standard_normal(X.shape)
