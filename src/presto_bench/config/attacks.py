"""Configs of the attacks; torch-free. Each names the function that runs it."""

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from presto_bench.config.parts import Item, Name, Only, Strict

GREEDY = "greedy"


class AttackConfig(Item):
    """What every attack has. runner: "module:function" with the signature of attacks/base.py's `Attack`."""

    runner: ClassVar[str]
    needs_parent: ClassVar[bool] = False
    follows_gradients: ClassVar[bool] = False  # whether it needs the model's own weights and gradients
    takes_back: ClassVar[bool] = False  # whether it takes tokens back, which a model with a running state cannot
    best_of: ClassVar[bool] = False  # a request counts with the best of its samples, not with their mean
    run_only: ClassVar[frozenset[str]] = frozenset({"shards", "only"})  # over which jobs it is spread changes no completion
    only: Only = None
    split: Literal["test", "dev"] = Field(
        default="test", description="requests that are attacked; dev is for choices, test for results"
    )
    requests: PositiveInt | None = Field(
        default=None,
        description="attack a sample of so many of the split's requests, the same for every arm (the paper's AutoRAP: 90 of 313); null: all",
    )
    shards: PositiveInt = Field(
        default=1, description="jobs that share the batches of one arm, so that they fill a node's GPUs"
    )
    batch_size: PositiveInt = Field(
        default=64, description="prompts decoded in one batch; part of the spec, so a change reruns the attack"
    )

    def asked_of(self, requests: int) -> int:
        """How many of so many requests are attacked."""
        return min(requests, self.requests or requests)

    @property
    def longest(self) -> int:
        """Tokens that a response can have at most; 0 where a plug-in does not say."""
        return next((getattr(self, name) for name in ("max_new_tokens", "max_steps", "max_tokens") if hasattr(self, name)), 0)

    @property
    def searched(self) -> int:
        """Tokens that a search reads for each request beside what is decoded; for estimates alone."""
        return 0

    def variants(self) -> list[str]:
        """Values of the column `variant` that one job produces; the first is the one that stands for the attack."""
        return ["default"]


class Direct(AttackConfig):
    """The prompt alone: sampled as the model's family recommends, and greedily (what "refuses" is defined on)."""

    runner = "presto_bench.attacks.direct:run"
    kind: Literal["direct"]
    max_new_tokens: PositiveInt = 160
    samples: PositiveInt = 1
    greedy_tokens: PositiveInt = Field(default=48, description="length of the greedy response")

    def variants(self) -> list[str]:
        return ["sampled", GREEDY]


class Prefilling(AttackConfig):
    """Prompt and prefill, then a sampled continuation; and a greedy one.

    lengths: tokens of the attack prefill, or `full`; 0 is none. recipe_lengths: tokens of the untouched model's own answer as
    the prefill, which can be longer than those that training saw; greedy_recipe_lengths: the same with a greedy continuation.
    in_user_turn: also ask for the prefill in the user's turn.
    """

    runner = "presto_bench.attacks.prefilling:run"
    kind: Literal["prefilling"]
    lengths: list[Literal["full"] | NonNegativeInt] = ["full"]
    recipe_lengths: list[PositiveInt] = []
    greedy_recipe_lengths: list[PositiveInt] = []
    in_user_turn: bool = False
    kinds: list[Name] = Field(
        default=[],
        description="prefills that do not depend on the request: affirmative, list, code_block, role, document, translation "
        "(attacks/data/prefill_kinds.csv); reasoning: text inside the reasoning block, for models that have one",
    )
    kinds_file: str | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="a CSV of your own with columns kind and prefill, beside the package's or in its place",
    )
    max_new_tokens: PositiveInt = 160
    samples: PositiveInt = 1
    greedy_tokens: PositiveInt = Field(default=48, description="length of the greedy response")

    def variants(self) -> list[str]:
        kinds = [*(f"prefill_{length}" for length in self.lengths), *(f"recipe_{length}" for length in self.recipe_lengths)]
        greedy = [GREEDY, *(f"{GREEDY}_recipe_{length}" for length in self.greedy_recipe_lengths)]
        forms = [f"kind_{kind}" for kind in self.kinds]
        return [*kinds, *(["user_turn"] if self.in_user_turn else []), *forms, *greedy]


class Sampling(AttackConfig):
    """The cheap rival: many samples after the prefill at several temperatures; a request counts with its best one."""

    runner = "presto_bench.attacks.sampling:run"
    best_of = True
    kind: Literal["sampling"]
    temperatures: list[PositiveFloat] = Field(default=[1.0], min_length=1)
    samples: PositiveInt = 8
    prefill: bool = True
    max_new_tokens: PositiveInt = 160

    def variants(self) -> list[str]:
        return [f"t{temperature:g}_best_of_{self.samples}" for temperature in self.temperatures]


def _starts(prefill: list[bool | Literal["none"]]) -> list[str]:
    """What a variant's name says of where a response begins."""
    return ["noprefill" if start in ("none", False) else "prefill" for start in prefill]


class Guided(AttackConfig):
    """Guided RAP: among the target's top k, the token that the untouched parent finds most likely.

    prefill: start from the prefill (true), or from the bare prompt (false or "none"). nulls: controls in which one or
    both models read another request and prefill (another dish; under policy `harm` a request of another category),
    while the response is graded against the original request. `swapped`: both models read the other one, so neither
    knows what is wanted. `guide_only`: only the arm reads the other one, so only the guide knows.
    """

    runner = "presto_bench.attacks.guided:run"
    needs_parent = True
    kind: Literal["guided"]
    k: list[PositiveInt] = Field(default=[20], min_length=1)
    max_steps: PositiveInt = 96
    prefill: list[bool | Literal["none"]] = Field(default=[True, "none"], min_length=1)
    nulls: list[Literal["swapped", "guide_only"]] = ["swapped"]
    guide_repetition_penalty: PositiveFloat = Field(
        default=1.0, description="repetition penalty on the guide's logits, over the tokens of the response so far"
    )

    def variants(self) -> list[str]:
        ends = ["", *(f"_{null}" for null in self.nulls)]
        starts = _starts(self.prefill)
        return [f"k{k}_{start}{end}" for k in self.k for start in starts for end in ends]


class HelperChoice(Strict):
    """Whose refusals the helper learned from: one arm's, or with `own` those of the very arm it attacks (adaptive)."""

    target_arm: str = "da"
    seed: NonNegativeInt = 0


class AutoRap(AttackConfig):
    """AutoRAP: a trained helper picks the first of the target's k best tokens that keeps the response harmful."""

    runner = "presto_bench.attacks.autorap.attack:run"
    takes_back = True
    run_only = frozenset({"shards", "only", "record"})
    kind: Literal["autorap"]
    mode: Literal["strict", "paper", "reference"] = Field(
        default="strict",
        description="strict: tried tokens are remembered, and the end of the turn can be picked. paper: Algorithm 1 as printed, which ends when nothing is "
        "selected after a backtrack. reference: the public code, which goes on until it has taken back a prefill token",
    )
    k: list[PositiveInt] = Field(default=[20], min_length=1)
    max_steps: PositiveInt = Field(default=128, description="picks and backtracks together; the paper has 512")
    budgets: list[PositiveInt] = Field(default=[], description="smaller step budgets to run as well, with the first k")
    prefill: list[bool | Literal["none"]] = Field(default=[True], min_length=1)
    helper: HelperChoice = HelperChoice()
    record: bool = Field(
        default=True,
        exclude_if=lambda value: value,
        description="keep the first variant's steps beside its completions, for the step view of the page (about 0.3 kB a step)",
    )

    def variants(self) -> list[str]:
        starts = _starts(self.prefill)
        steps = [self.max_steps, *self.budgets]
        swept = [(k, budget) for k in self.k for budget in (steps if k == self.k[0] else [self.max_steps])]
        return [f"k{k}_{start}_s{budget}" for start in starts for k, budget in swept]


class Human(AttackConfig):
    """Human RAP: people pick from the target's ranks in a terminal (`presto-bench rap`); their recorded sessions are the input.

    The paper: k = 20, 256 interactions, 52 requests (its main text) or 20 (its instructions): `requests` takes either.
    """

    runner = "presto_bench.attacks.human.replay:run"
    takes_back = True
    run_only = frozenset({"shards", "only", "blind_seed"})
    kind: Literal["human"]
    sessions: str = Field(description="folder of the sessions: <model>/<arm>/seed<n>/<person>/<prompt_id>.jsonl")
    k: PositiveInt = 20
    max_steps: PositiveInt = Field(default=256, description="picks and backtracks together")
    blind_seed: NonNegativeInt = Field(
        default=0, description="of the draw that gives people their targets (`presto-bench rap --blind`)"
    )

    def variants(self) -> list[str]:
        return [f"k{self.k}"]


class Oracle(AttackConfig):
    """Exhaustive search of the target's k best tokens for accepted texts of policy `facts`: the reach of any picker.

    budgets: limits on picks below rank 1, for the first k and start; every k and start is also searched without a
    limit. max_nodes: largest number of positions that one search may expand; a search that needs more counts as
    undecided.
    """

    runner = "presto_bench.attacks.oracle:run"
    takes_back = True
    kind: Literal["oracle"]
    k: list[PositiveInt] = Field(default=[20], min_length=1)
    prefill: list[bool | Literal["none"]] = Field(default=[True, "none"], min_length=1)
    budgets: list[NonNegativeInt] = []
    max_tokens: PositiveInt = Field(default=64, description="longest text that is searched for")
    max_nodes: PositiveInt = 2000

    def variants(self) -> list[str]:
        starts = _starts(self.prefill)
        whole = [f"k{k}_{start}" for k in self.k for start in starts]
        return whole + [f"{whole[0]}_b{budget}" for budget in self.budgets]


READ = 60  # tokens of suffix, template and target that a gradient attack reads for each candidate, about
BACKWARD = 3  # forward passes that a gradient takes, about


class Gcg(AttackConfig):
    """GCG (Zou et al. 2023): greedy coordinate gradient search for a suffix of the user's turn, then a greedy answer.

    The suffix should make the response begin with `target`. Published settings (Table 8 of the paper): 500 steps, 512
    candidates, top_k 256, a space before the target and one after the suffix, 40 requests.
    """

    runner = "presto_bench.attacks.gcg.attack:run"
    follows_gradients = True
    run_only = frozenset({"shards", "only", "side_by_side"})
    kind: Literal["gcg"]
    steps: PositiveInt = 500
    candidates: PositiveInt = Field(default=512, description="suffixes that a step looks at")
    top_k: PositiveInt = Field(default=256, description="tokens that may stand at each position, by gradient")
    suffix: str = Field(default=" ".join(["!"] * 20), min_length=1, description="what the search starts from; its length stays")
    target: str = Field(
        default="prefill",
        min_length=1,
        description="what the response is to begin with: `prefill`, the request's own, or a text",
    )
    space_before_target: bool = Field(default=False, description="the paper: true, for Llama 2 begins its answers with a space")
    space_behind_suffix: bool = Field(default=False, description="the paper: true")
    ascii_only: bool = Field(default=True, description="tokens of printable ASCII alone")
    seed: NonNegativeInt = 0
    side_by_side: PositiveInt | None = Field(
        default=None, description="candidates a forward pass; null: all, halved where memory runs out"
    )
    max_new_tokens: PositiveInt = 512
    batch_size: PositiveInt = Field(default=1, description="requests per batch: searched one after another, answered together")

    @property
    def searched(self) -> int:
        return self.steps * (self.candidates + BACKWARD) * READ


class Embedding(AttackConfig):
    """Perturbed embeddings of prompt and prefill that make the prefill likelier, and a greedy answer behind them (the reference's `embedding_attack`).

    Each token's perturbation stays in a ball of `epsilon` times the mean norm of an embedding; `step_size` is the length of one signed step, in radii of that ball.
    """

    runner = "presto_bench.attacks.embedding:run"
    follows_gradients = True
    kind: Literal["embedding"]
    steps: PositiveInt = 100
    epsilon: PositiveFloat = Field(default=1.0, description="radius, in mean norms of an embedding")
    step_size: PositiveFloat = Field(default=0.1, description="in radii; the reference has it in the embeddings' own unit")
    perturbed: Literal["all", "prompt", "prefill"] = Field(default="all", description="the reference: all, prompt and prefill")
    max_new_tokens: PositiveInt = 160
    batch_size: PositiveInt = 1

    @property
    def searched(self) -> int:
        return self.steps * BACKWARD * READ
