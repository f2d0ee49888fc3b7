#!/usr/bin/env python3
"""A day's trades, and the spread between the best bid and ask, as a PNG.

    PYTHONPATH=subscribers/historical/python python3 subscribers/historical/python/examples/day.py \\
        --trades LOG --books LOG --instrument 600519 --out day.png
"""

import argparse
import sys

import matplotlib
import numpy as np

from millrace_log import Log, LogError, to_float

matplotlib.use("Agg")
import matplotlib.dates  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402


def load(folder, type_name, instrument, time_column):
    """Columns of one instrument, and the times of its rows as numpy.datetime64."""
    columns = Log(folder).columns(type_name)
    chosen = columns["instrument"] == instrument.encode()
    if not chosen.any():
        there = ", ".join(sorted(each.decode() for each in np.unique(columns["instrument"]))) or "none"
        raise LogError(f"{folder} has no events of {instrument}; its instruments are: {there}")
    return columns, chosen, columns[time_column][chosen].astype("datetime64[ns]")


def draw(trades_folder, books_folder, instrument, out):
    trades, chosen, traded_at = load(trades_folder, "trade_events", instrument, "match_time")
    price, quantity = to_float(trades["price"])[chosen], to_float(trades["quantity"])[chosen]
    books, chosen, seen_at = load(books_folder, "market_l2", instrument, "book_time")
    bid, ask = to_float(books["bids.0.price"])[chosen], to_float(books["asks.0.price"])[chosen]
    # Levels that do not exist are zero; in an auction the sides cross.
    two_sided = (bid > 0) & (ask > bid)

    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(12, 8), height_ratios=(2, 1))
    size = 4 + 60 * quantity / quantity.max()
    above.scatter(traded_at, price, s=size, alpha=0.4, linewidths=0, label=f"{len(price)} trades, area by quantity")
    above.set_ylabel("price")
    above.legend(loc="upper right")
    above.set_title(f"{instrument}, {np.datetime_as_string(traded_at[0], 'D')}")
    spread = (ask - bid)[two_sided]
    below.step(seen_at[two_sided], spread, where="post", linewidth=0.7, label=f"median {np.median(spread):.3f}")
    below.set_ylabel("spread")
    below.set_ylim(0, 1.1 * np.quantile(spread, 0.999))  # the first orders of the day are far apart
    below.legend(loc="upper right")
    below.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%H:%M"))
    below.set_xlabel("UTC")
    figure.tight_layout()
    figure.savefig(out, dpi=100)
    print(f"{out}: {len(price)} trades, {int(two_sided.sum())} books with both sides")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trades", required=True, metavar="LOG", help="the folder of a log of trade_events")
    parser.add_argument("--books", required=True, metavar="LOG", help="the folder of a log of market_l2")
    parser.add_argument("--instrument", required=True)
    parser.add_argument("--out", default="day.png")
    arguments = parser.parse_args()
    try:
        draw(arguments.trades, arguments.books, arguments.instrument, arguments.out)
    except LogError as error:
        sys.exit(f"day.py: {error}")


if __name__ == "__main__":
    main()
