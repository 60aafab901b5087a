"""Writes docs/settings.md: every setting of a run, with its values in the recipes."""

import functools
from pathlib import Path

from t2t_keras.cli.flags import shown
from t2t_keras.training.config import TrainConfig, settings
from t2t_keras.training.recipes import make_config
from t2t_keras.variants import VARIANTS

PATH = Path(__file__).with_name("settings.md")
_PAGE = """# Settings of a run

Each is a field of `TrainConfig`, an argument of `make_config` and a flag of `t2t-keras train`. One
that is not given has the value of a recipe. The column ImageNet has the authors' values for
`t2t_vit_14`; the other recipes show only what they change. A short run gets a shorter warm-up and
cool-down.

{table}

With `freeze=backbone` nothing is augmented. The authors' values for other models on ImageNet:

{models}

`python docs/write_settings.py` writes this page.
"""


def page() -> str:
    """Returns the text of the page."""
    usual = make_config(dataset="imagenet2012", model="t2t_vit_14")
    transfer = functools.partial(
        make_config, dataset=usual.dataset, model=usual.model, weights="imagenet", transfer=True
    )
    recipes = {
        "digits": make_config(),
        "`transfer`": transfer(),
        "`transfer`, adamw": transfer(optimizer="adamw"),
    }
    changes = [_changes(config, usual) for config in recipes.values()]
    heading = ["setting", "allowed", "ImageNet", *recipes, "meaning"]
    rows = [heading, ["---"] * len(heading)]
    for each in settings():
        value, others = shown(getattr(usual, each.name)), (c.get(each.name, "") for c in changes)
        allowed = each.expected or each.type.__name__
        rows.append([f"`{each.name}`", allowed, value, *others, each.help.replace("*", r"\*")])
    models = []
    for model in VARIANTS:
        if changed := _changes(make_config(dataset=usual.dataset, model=model), usual):
            values = ", ".join(f"`{name}` {value}" for name, value in changed.items())
            models.append(f"- `{model}`: {values}")
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return _PAGE.format(table=table, models="\n".join(models))


def _changes(config: TrainConfig, usual: TrainConfig) -> dict[str, str]:
    """Returns the settings that differ, except for the model."""
    new, old = vars(config), vars(usual)
    return {name: shown(new[name]) for name in new if new[name] != old[name] and name != "model"}


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
