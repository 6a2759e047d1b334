"""Figures of benchmarks: one look, colours that the colour-blind tell apart."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito's colours, each with a marker of its own.
STYLES = [
    {"color": color, "marker": marker}
    for color, marker in zip(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"), "os^Dvp", strict=True
    )
]


def dots(axis, names, series, reference, label):
    """A line of dots for every name and series, around a line at the reference.

    Parameters
    ----------
    series : dict
        Pairs of a name and a value, for every label.
    label : str
        What the reference is.
    """
    for number, (of, points) in enumerate(series.items()):
        shift = 0.7 * ((number + 0.5) / len(series) - 0.5)
        values = [value for _, value in points]
        heights = [names.index(name) + shift for name, _ in points]
        axis.plot(values, heights, ls="", ms=4, alpha=0.8, label=of, **STYLES[number])
    axis.axvline(reference, color="0.3", lw=1, label=label, zorder=0)
    axis.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    for height in range(1, len(names)):
        axis.axhline(height - 0.5, color="0.93", lw=0.8, zorder=0)
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)


def signed_log(axis):
    """Decades on both sides of 0, straight between -1 and 1, labelled as plain numbers."""
    axis.set_xscale("symlog", linthresh=1)
    axis.autoscale(axis="x")
    low, high = axis.get_xlim()
    step = 1 if max(-low, high) < 1e3 else 3  # labels of more decades have no room
    decades = [sign * 10**power for sign in (-1, 1) for power in range(0, 10, step)]
    axis.set_xticks(sorted([0, *(tick for tick in decades if low <= tick <= high)]))
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:+,.0f}" if x else "0")


def ratio_log(axis):
    """Logarithms of ratios around 1, labelled as plain numbers."""
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 0.9), max(high, 2.0))
    plain_log(axis)


def plain_log(axis):
    """Logarithms, labelled as plain numbers."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    ticks = [step * 10.0**power for power in range(-4, 5) for step in (1, 2, 5)]
    axis.set_xticks([tick for tick in ticks if low <= tick <= high])
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()


def legend(axis, columns=3):
    """Above the axis, where it hides nothing."""
    axis.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, fontsize=9, frameon=False
    )


def panels(n, n_names, width=4.6, sharey=True):
    """Axes side by side, high enough for the names."""
    size = (width * n + 1.5, 0.42 * n_names + 1.8)
    figure, axes = plt.subplots(1, n, figsize=size, sharey=sharey, layout="constrained")
    return figure, axes


def save(figure, path):
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"written: {path}")
