"""Box plots of the next token's entropy: on the bare prompt, and behind a prefill (the paper's Figure 7)."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from presto_bench.report.figures import style
from presto_bench.report.figures.data import Data

BARE, BEHIND = "bare prompt", "behind a prefill"


def draw(data: Data) -> Figure:
    """One panel a model: its first arm (the base) on the bare prompt, then every arm behind a prefill. Boxes are quartiles, whiskers 1.5 of their range."""
    table, arms = data.table("first_entropy"), style.every_arm(data)
    figure, axes = plt.subplots(len(data.models), 1, figsize=(5.5, 0.9 + 1.9 * len(data.models)), squeeze=False)
    for axis, model in zip(axes[:, 0], data.models, strict=True):
        places = [(data.arms[model][0], BARE), *((arm, BEHIND) for arm in data.arms[model])]
        cells = [(arm, place, data.cell(table, model=model, arm=arm, place=place)) for arm, place in places]
        cells = [(arm, place, cell) for arm, place, cell in cells if cell]
        boxes = [
            {
                "label": f"{style.label(arm)}, {place}",
                "whislo": cell["lower_whisker"],
                "q1": cell["first_quartile"],
                "med": cell["entropy_median"],
                "q3": cell["entropy_third_quartile"],
                "whishi": cell["entropy_whisker"],
            }
            for arm, place, cell in cells
        ]
        axis.set_title(model, loc="left")
        if not boxes:
            continue
        drawn = axis.bxp(boxes, vert=False, showfliers=False, patch_artist=True)
        for box, (arm, _, _) in zip(drawn["boxes"], cells, strict=True):
            box.set(facecolor=style.look(arms, arm)["color"], alpha=0.5)
        axis.invert_yaxis()
        axis.set_xlabel("entropy of the next token (nats)")
    return figure
