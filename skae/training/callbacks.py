"""Validation of skorch callbacks: most are supported, others raise an error with a reason."""

_RECORDED = {"train_loss", "valid_loss", "train_loss_best", "valid_loss_best", "dur"}
_REFUSED = {
    "BatchScoring": "scores predictions of labels by batches, and an autoencoder has no labels. "
    "Use EpochScoring with a function of (net, X, y), which may read net.module_ and net.history.",
    "InputShapeSetter": "reads the shape of X. Give a callable as `network` instead, which is "
    "called with it.",
    "LoadInitState": "loads weights of another run, which belong to another classical start. "
    "Use warm_start=True or partial_fit, on an estimator that was pickled.",
}


def check_callbacks(callbacks, rows_are_held_out):
    """Raise an error if an entry is no skorch callback, or is one that cannot work here."""
    from skorch.callbacks import Callback

    classes = [_with_class(entry)[1] for entry in callbacks or ()]
    only_losses = all(
        cls.__module__.startswith("skorch.") and "Scoring" not in cls.__name__ for cls in classes
    )
    for entry in callbacks or ():
        callback, cls = _with_class(entry)
        if not issubclass(cls, Callback):
            raise TypeError(
                "callbacks must be a list of skorch callbacks, classes of them or pairs of a name "
                f"and a callback; got {entry!r}."
            )
        fault = _fault(callback, {base.__name__ for base in cls.__mro__}, rows_are_held_out)
        if fault is not None:
            raise ValueError(f"callbacks holds {cls.__name__}, which {fault}")
        monitor = getattr(callback, "monitor", None)
        if only_losses and isinstance(monitor, str) and monitor not in _RECORDED:
            raise ValueError(
                f"callbacks holds {cls.__name__}, which watches {monitor!r}, and nothing records "
                "that. The losses are 'train_loss' and 'valid_loss'."
            )


def prints(callbacks):
    """Return whether there is a callback that prints the log."""
    from skorch.callbacks import PrintLog

    return any(issubclass(_with_class(entry)[1], PrintLog) for entry in callbacks or ())


def _with_class(entry):
    """Return a callback (or a callback class) without its name, and its class."""
    callback = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
    return callback, callback if isinstance(callback, type) else type(callback)


def _fault(callback, names, rows_are_held_out):
    """Return why a callback cannot work, or None; `names` are those of its classes."""
    for name in _REFUSED.keys() & names:
        return _REFUSED[name]
    monitor = getattr(callback, "monitor", None)
    if isinstance(callback, type):  # skorch creates it with default parameters
        monitor = "valid_loss" if names & {"Checkpoint", "EarlyStopping"} else None
    of_held_out = isinstance(monitor, str) and monitor.startswith("valid")
    if getattr(callback, "load_best", False) is True and not of_held_out:
        return (
            f"is to load the epoch that is best by monitor={monitor!r}. The epoch that held-out "
            "rows prefer is kept in any case: leave load_best out."
        )
    if "EpochScoring" in names:
        scoring = getattr(callback, "scoring", None)
        module = getattr(scoring, "__module__", None) or ""
        if not callable(scoring) or module.startswith("sklearn."):
            return (
                f"has scoring={scoring!r}, of predictions of labels, and an autoencoder has no "
                "labels. Give a function of (net, X, y), which may read net.module_ and "
                "net.history."
            )
        of_held_out = not callback.on_train
    if (of_held_out or "WandbLogger" in names) and not rows_are_held_out:
        instead = "on_train=True" if "EpochScoring" in names else "monitor='train_loss'"
        instead = "" if "WandbLogger" in names else f"{instead}, or "
        return (
            f"needs rows that are held out, and validation_fraction=None holds out none. Use "
            f"{instead}validation_fraction=0.1."
        )
    return None
