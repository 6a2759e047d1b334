"""The lesson's figures on MNIST: reconstruction, denoising, generation.

All images of the training set are trained on, all of the test set measured. Without
``--mnist`` it is fetched from OpenML; ``--tiny`` takes scikit-learn's digits instead.

    python mnist.py --mnist PATH [--only reconstruction denoising vae elbo conditional]
"""

import argparse
import time
import warnings
from pathlib import Path

import _rows
import numpy as np
import torch
from sklearn.datasets import fetch_openml, load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skae import AutoencoderTransformer, ConditionalVAE, DenoisingAutoencoder, VAETransformer
from skae.data.batches import Batch
from skae.nn.fitted import inference_module


def load(path, tiny):
    """Training and test images in [0, 1], (n, 1, height, width), and their labels."""
    if tiny:
        X, y = load_digits(return_X_y=True)
        X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
        return X[:500], y[:500], X[500:800], y[500:800]
    if path is None:
        X, y = fetch_openml("mnist_784", return_X_y=True, as_frame=False, parser="liac-arff")
        X, y = X.astype(np.uint8), y.astype(int)
        parts = X[:60000], y[:60000], X[60000:], y[60000:]
    else:
        with np.load(path) as data:
            parts = [data[name] for name in ("X_train", "y_train", "X_test", "y_test")]
    X, y, X_test, y_test = parts
    return scaled(X), y.astype(int), scaled(X_test), y_test.astype(int)


def scaled(X):
    return (X / 255).astype(np.float32).reshape(-1, 1, 28, 28)


def cross_entropy(X, X_hat):
    p = np.clip(X_hat.astype(np.float64), 1e-7, 1 - 1e-7)
    return -(X * np.log(p) + (1 - X) * np.log(1 - p)).mean()


def error(X, X_hat):
    """Squared error of an image."""
    return np.square(X - X_hat, dtype=np.float64).sum() / len(X)


def psnr(X, X_hat):
    return -10 * np.log10(np.square(X - np.clip(X_hat, 0, 1), dtype=np.float64).mean())


def by_pca(k, X, X_test, seen=None):
    """The rank-k projection of images, on axes of the training set."""
    pca = PCA(k, svd_solver="covariance_eigh").fit(X.reshape(len(X), -1))
    seen = X_test if seen is None else seen
    flat = seen.reshape(len(seen), -1)
    return pca.inverse_transform(pca.transform(flat)).reshape(X_test.shape)


def reconstruction(data, epochs, seed):
    X, _, X_test, _ = data
    for k in (32, 128) if X.shape[-1] > 8 else (4,):
        yield f"PCA, {k} codes", "squared error", error(X_test, by_pca(k, X, X_test))
        for network in ("mlp", "conv"):
            options = {"network": network, "input_shape": X.shape[1:], "random_state": seed}
            model = AutoencoderTransformer(k, likelihood="bernoulli", **options, **epochs(20)).fit(
                X
            )
            X_hat = model.reconstruct(X_test)
            yield f"{network}, {k} codes", "cross-entropy per pixel", cross_entropy(X_test, X_hat)
            yield f"{network}, {k} codes", "squared error", error(X_test, X_hat)


def add_noise(X, level, rng):
    return np.clip(X + level * rng.standard_normal(X.shape, dtype=np.float32), 0, 1)


def denoising(data, epochs, seed):
    X, _, X_test, _ = data
    noisy = add_noise(X_test, 0.5, np.random.default_rng(1))
    yield "noisy", "PSNR", psnr(X_test, noisy)
    sizes = (8, 16, 24, 32, 48, 64) if X.shape[-1] > 8 else (4, 8)
    best = max(psnr(X_test, by_pca(k, X, X_test, noisy)) for k in sizes)
    yield "PCA, best of " + ", ".join(map(str, sizes)), "PSNR", best
    k = 128 if X.shape[-1] > 8 else 8
    options = {"corruption": add_noise, "corruption_level": 0.5, "random_state": seed}
    linear = DenoisingAutoencoder(k, max_epochs=0, **options).fit(X.reshape(len(X), -1))
    flat = noisy.reshape(len(noisy), -1)
    yield f"linear, {k} codes", "PSNR", psnr(X_test, linear.denoise(flat).reshape(X_test.shape))
    options.update(likelihood="bernoulli", input_shape=X.shape[1:])
    for network in ("mlp", "conv"):
        model = DenoisingAutoencoder(k, network=network, **options, **epochs(30)).fit(X)
        yield f"{network}, {k} codes", "PSNR", psnr(X_test, model.denoise(noisy))


def vae(data, epochs, seed):
    X, y, X_test, y_test = (part.reshape(len(part), -1) for part in data)
    y, y_test = y.ravel(), y_test.ravel()
    methods = {
        "PCA": PCA(2),
        "VAE": VAETransformer(2, likelihood="bernoulli", random_state=seed, **epochs(30)),
    }
    for name, method in methods.items():
        classifier = LogisticRegression(max_iter=1000)
        pipeline = make_pipeline(method, StandardScaler(), classifier).fit(X, y)
        yield f"{name}, 2 codes", "accuracy", pipeline.score(X_test, y_test)


def elbo(data, epochs, seed):
    """The VAE of PyTorch's examples: 400 hidden units, 20 latents, 10 epochs."""
    X, _, X_test, _ = (part.reshape(len(part), -1) for part in data)
    k = 20 if X.shape[1] > 64 else 4
    model = VAETransformer(
        k,
        likelihood="bernoulli",
        hidden_layer_sizes=400,
        batch_size=128,
        random_state=seed,
        **epochs(10),
    ).fit(X)
    module, _ = inference_module(model.net_, np.float32)
    scale = np.sqrt(X.var(axis=0, ddof=1, dtype=np.float64).mean())
    rows = (X_test - model.mean_) / scale, X_test  # standardised, and as they are
    batch = Batch(*(torch.as_tensor(part, dtype=torch.float32) for part in rows))
    with torch.no_grad():
        loss = module(batch, torch.Generator().manual_seed(0)).mean()
    yield f"VAE, {k} codes", "-ELBO in nats", float(loss)
    yield f"VAE, {k} codes", "-log p(x) in nats, at most", -model.score(X_test[:1000])


def conditional(data, epochs, seed):
    X, y, X_test, y_test = data
    judge = SVC(C=10).fit(X[:20000].reshape(len(X[:20000]), -1), y[:20000])
    flat = X_test.reshape(len(X_test), -1)
    yield "judge on test images", "accuracy", judge.score(flat, y_test)
    asked = np.arange(2000 if len(X) > 1000 else 50) % 10
    for k in (2, 8) if len(X) > 1000 else (2,):
        model = ConditionalVAE(k, likelihood="bernoulli", random_state=seed, **epochs(20)).fit(
            X.reshape(len(X), -1), y
        )
        drawn = model.sample(len(asked), y=asked, random_state=1, add_noise=False)
        yield f"ConditionalVAE, {k} codes", "samples read as asked for", judge.score(drawn, asked)


TASKS = {task.__name__: task for task in (reconstruction, denoising, vae, elbo, conditional)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The lesson's figures on MNIST.")
    parser.add_argument("--mnist", type=Path, help="an .npz file with X_train, y_train, ...")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="digits and two epochs")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for the CSV")
    arguments = parser.parse_args()

    def epochs(number):
        return {"max_epochs": 2 if arguments.tiny else number}

    data = load(arguments.mnist, arguments.tiny)
    rows = []
    for name in arguments.only:
        for seed in range(arguments.seeds):
            began = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                for what, measure, value in TASKS[name](data, epochs, seed):
                    seconds = time.perf_counter() - began
                    row = {"task": name, "seed": seed, "method": what, "measure": measure}
                    rows.append({**row, "value": value, "seconds": seconds})
                    print(f"{name:<15} {what:<28} {measure:<28} {value:9.4f}", flush=True)
                    began = time.perf_counter()
            _rows.save(rows, arguments.out / "mnist.csv")
