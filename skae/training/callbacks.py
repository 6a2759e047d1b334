"""skorch's callbacks: most work as in skorch, and the others are refused with a reason."""

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
    """Refuse what is no callback of skorch, or could not do what it says."""
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
    """Whether there is a callback that is there to print."""
    from skorch.callbacks import PrintLog

    return any(issubclass(_with_class(entry)[1], PrintLog) for entry in callbacks or ())


def _with_class(entry):
    """A callback, or the class of one to be made, without its name, and the class."""
    callback = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
    return callback, callback if isinstance(callback, type) else type(callback)


def _fault(callback, names, rows_are_held_out):
    """Why a callback of classes with these names cannot work, or None."""
    for name in _REFUSED.keys() & names:
        return _REFUSED[name]
    monitor = getattr(callback, "monitor", None)
    if isinstance(callback, type):  # with skorch's defaults
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
