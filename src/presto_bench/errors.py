"""The one kind of error that a user can mend."""


class UserError(Exception):
    """Something the user can put right: says what is wrong, where, and how to mend it."""

    def __init__(self, where: object, what: str, mend: str):
        super().__init__(f"{where}: {what}\n  To mend it: {mend}")
        self.where, self.what, self.mend = str(where), what, mend


# Package -> the extra of this project that brings it.
EXTRAS = {
    **dict.fromkeys(("openai", "tenacity"), "judges"),
    "textual": "human",
    **dict.fromkeys(("altair", "vl_convert", "itables", "jinja2"), "page"),
    **dict.fromkeys(
        (
            "accelerate",
            "gguf",
            "huggingface_hub",
            "matplotlib",
            "peft",
            "psutil",
            "pyarrow",
            "rich",
            "scipy",
            "snakemake",
            "tabulate",
            "yaml",
        ),
        "workflow",
    ),
    "lm_eval": "lm-eval",
    "judgezoo": "judgezoo",
}


def extra_of(error: ModuleNotFoundError) -> str | None:
    """The extra that brings the package whose import failed; None for any other module."""
    return EXTRAS.get((error.name or "").partition(".")[0])


def of_missing_package(error: ModuleNotFoundError) -> UserError:
    """What to install; a module that no extra brings is an error of its own."""
    extra = extra_of(error)
    if extra is None:
        raise error
    return UserError(f"the package {error.name}", "it is not installed", f'pip install "presto-bench[{extra}]"')
