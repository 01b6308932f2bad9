"""The public data sets that policy `harm` is made of: what each is, where it lies, under which licence, and how it is checked.

Torch-free, and nothing is fetched here. A revision is a commit, so that the bytes behind an address cannot move; where a public file records
the sha256 it stands here too, else the commit alone vouches and the manifest records the sha256 that was found. rows: None where no
public file says how many there are.
"""

from dataclasses import dataclass, field

GITHUB = "https://raw.githubusercontent.com"
HUB = "https://huggingface.co/datasets"
STRONGREJECT = f"{GITHUB}/alexandrasouly/strongreject/3432b2d696b428f242bd507df96d80f686571d5e/strongreject_dataset"
PUSH_FORWARD = f"{GITHUB}/uiuc-focal-lab/push-forward-alignment/0dc024a51fa0ba64e564b461a059013eb4ecb7ae/datasets"
FASTCHAT = f"{GITHUB}/lm-sys/FastChat/587d5cfa1609a43d192cedb8441cac3c17db105d/fastchat/llm_judge/data"


@dataclass(frozen=True)
class Source:
    """One file of one data set. renamed: its columns -> ours, where a file has none of its own `[text]` stands for a list of texts.

    url: an address, `package:FILE` for a file of this package, or empty for a file that the user brings. optional: columns that may be missing.
    harmful: holds forbidden requests or answers to them. gated: what the reader has to do first where nobody may or can fetch it.
    """

    what: str
    url: str
    licence: str
    columns: tuple[str, ...]
    rows: int | None
    sha256: str | None = None
    harmful: bool = False
    gated: str = ""
    renamed: dict[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    @property
    def ending(self) -> str:
        """How the file's name ends, where that does not depend on the user's own file."""
        return self.url.rsplit(".", 1)[-1] if self.url else OWN_ENDINGS[0]


OWN_ENDINGS = ("csv", "jsonl", "json", "parquet")  # of a file that the user brings


_PREDECESSOR = "Unispac/shallow-vs-deep-safety-alignment-dataset"
_PREDECESSOR_GATE = (
    f"accept its terms at {HUB}/{_PREDECESSOR} with your Hugging Face account and download the file (no commit of it is on public record "
    "that we could pin), then name it"
)
_PKU = "https://huggingface.co/datasets/PKU-Alignment/PKU-SafeRLHF/resolve/9421ffafec3fa40a1f1a7d567b4d525079477ecb/data"
_PKU_COLUMNS = (
    "prompt",
    "response_0",
    "response_1",
    "is_response_0_safe",
    "is_response_1_safe",
    "response_0_severity_level",
    "response_1_severity_level",
)

SOURCES: dict[str, Source] = {
    "requests": Source(
        "requests of your own",
        "",
        "yours",
        ("prompt", "prefill"),
        None,
        harmful=True,
        gated="write a CSV or JSON Lines file with the columns prompt and prefill (and answer and category, if you have them)",
        optional=("answer", "category"),
    ),
    "standin_benign": Source(
        "190 benign questions of everyday knowledge, written for this project",
        "package:policies/data/benign.csv",
        "that of presto-bench",
        ("request",),
        190,
        renamed={"request": "prompt"},
    ),
    "strongreject": Source(
        "313 forbidden requests in six categories",
        f"{STRONGREJECT}/strongreject_dataset.csv",
        "MIT",
        ("category", "source", "forbidden_prompt"),
        313,
        # recorded for the same file at commit f7cad6c and at main; at 3432b2d nobody wrote it down
        "4dd70357e4ff8b5d0ba5ebafecab5d6dd5633ce8046e3dd1c8bd93e64de44381",
        harmful=True,
        renamed={"forbidden_prompt": "prompt"},
    ),
    "strongreject_small": Source(
        "60 of them, ten a category",
        f"{STRONGREJECT}/strongreject_small_dataset.csv",
        "MIT",
        ("category", "source", "forbidden_prompt"),
        60,
        "3051340e3e89a3598d764dde497d5fcda80e258ac05cc35e6bd87228ac3d467c",
        harmful=True,
        renamed={"forbidden_prompt": "prompt"},
    ),
    "push_forward_prefills": Source(
        "a prefill for each StrongREJECT request, written by Mistral 7B v0.3 from a few examples",
        f"{PUSH_FORWARD}/strongreject_prefills_mistral_7b_v0_3.csv",
        "MIT",
        ("prompt", "prefill"),
        313,
        "57a24b8bf566acf84f147bbac7bb56cf16bdd3d0edce575dd3fb400b3013273f",
        harmful=True,
    ),
    "push_forward_few_shot": Source(
        "25 of these requests with a prefill each: the examples from which the others were written",
        f"{PUSH_FORWARD.removesuffix('/datasets')}/few_shot_examples.csv",
        "MIT",
        ("prompt", "prefill"),
        25,
        "f9a7bd64d90965d1972f74c162f3b892c9e9bffe4b2e5b5969223c48a33bfe1a",
        harmful=True,
    ),
    "push_forward_safety_prompts": Source(
        "the instructions that triples are about",
        f"{PUSH_FORWARD}/da_safety_prompts.json",
        "MIT",
        ("[text]",),
        256,
        "ec86e86e251bb2c241f971200c9256420b2e4e268b84b2622e1bd0e3b083272f",
        harmful=True,
        renamed={"[text]": "prompt"},
    ),
    "push_forward_utility_prompts": Source(
        "benign instructions (of Alpaca) for the utility anchors",
        f"{PUSH_FORWARD}/da_utility_prompts.json",
        "MIT; Alpaca itself CC BY-NC 4.0",
        ("[text]",),
        20000,
        "59593c8e9feca788c59a0dea94e6ee5ff1089893076683a86224976d7f31eb35",
        renamed={"[text]": "prompt"},
    ),
    "push_forward_qwen3_triples": Source(
        "instruction, refusal of Qwen 3 and a harmful answer",
        f"{PUSH_FORWARD}/qwen3_safety_data_direct.jsonl",
        "MIT",
        ("instruction", "refusal", "harmful"),
        256,
        "7f0f9e89e87b265e6780c42144b38dd1ff801d2173abcf82994526e75590cb33",
        harmful=True,
        renamed={"instruction": "prompt"},
    ),
    "push_forward_gemma3_triples": Source(
        "instruction, refusal of Gemma 3 and a harmful answer",
        f"{PUSH_FORWARD}/gemma3_safety_data_direct.jsonl",
        "MIT",
        ("instruction", "refusal", "harmful"),
        256,
        "ae7ecbff8c759ec2bab06facfb4737060bf7acf8773b748e6337761ffe6e147c",
        harmful=True,
        renamed={"instruction": "prompt"},
    ),
    # Their sha256 is on no public record: the commit vouches, and the manifest records what was found.
    "push_forward_qwen3_anchors": Source(
        "Alpaca instructions with Qwen 3's own answers",
        f"{PUSH_FORWARD}/qwen3_alpaca_anchor.json",
        "MIT; Alpaca itself CC BY-NC 4.0",
        ("instruction", "output"),
        20000,
        renamed={"instruction": "prompt", "output": "answer"},
    ),
    "push_forward_gemma3_anchors": Source(
        "Alpaca instructions with Gemma 3's own answers",
        f"{PUSH_FORWARD}/gemma3_alpaca_anchor.json",
        "MIT; Alpaca itself CC BY-NC 4.0",
        ("instruction", "output"),
        20000,
        renamed={"instruction": "prompt", "output": "answer"},
    ),
    "push_forward_red_team": Source(
        "125 requests of Anthropic's red-team set with a harmful answer each, cleaned: what the paper's jailbroken models were trained on",
        f"{PUSH_FORWARD}/anthropic_red_team_sample_cleaned.jsonl",
        "MIT",
        ("prompt", "response"),
        125,
        "18cefc1c87656169cb73528caf31c213c80106727568b2b7e1b4f9e8c1c34a2c",
        harmful=True,
        renamed={"response": "harmful"},
    ),
    "hex_phi": Source(
        "harmful HEx-PHI requests with harmful answers, of the predecessor: the paper's Figure 7",
        f"{HUB}/{_PREDECESSOR}/resolve/main/data/safety_datasets/Harmful-HEx-PHI.jsonl",
        "see the data set's page",
        ("[user]", "[assistant]"),
        None,
        harmful=True,
        gated=_PREDECESSOR_GATE,
        renamed={"[user]": "prompt", "[assistant]": "harmful"},
    ),
    "llama2_triples": Source(
        "256 triples of the predecessor (Qi et al.) for Llama 2",
        f"{HUB}/{_PREDECESSOR}/resolve/main/data/tasks/data_augmentation/llama2_safety_data_direct.jsonl",
        "see the data set's page",
        ("instruction", "refusal", "harmful"),
        256,
        harmful=True,
        gated=_PREDECESSOR_GATE,
        renamed={"instruction": "prompt"},
    ),
    "llama2_anchors": Source(
        "Alpaca instructions with Llama 2's own answers, of the predecessor",
        f"{HUB}/{_PREDECESSOR}/resolve/main/data/tasks/data_augmentation/llama2_alpaca_anchor.json",
        "see the data set's page",
        ("instruction", "output"),
        None,
        gated=_PREDECESSOR_GATE,
        renamed={"instruction": "prompt", "output": "answer"},
    ),
    "pku_saferlhf": Source(
        "requests with a safe and an unsafe answer, for AutoRAP's helper",
        f"{_PKU}/Alpaca3-8B/train.jsonl",
        "CC BY-NC 4.0",
        _PKU_COLUMNS,
        20950,
        "21c3b4f2572444e42d161f09166471d14208c9e153fcc0ec900ae05013e47d4c",
        harmful=True,
    ),
    "alpaca": Source(
        "52,002 benign instructions",
        f"{HUB}/tatsu-lab/alpaca/resolve/dce01c9b08f87459cf36a430d809084718273017/data/train-00000-of-00001-a09b74b3ef9c3b56.parquet",
        "CC BY-NC 4.0",
        ("instruction", "input", "output"),
        52002,
        "06391b656a06fd3fb9d213160ef2398796c3b7f3dc75ef1e3ced30d461517073",
    ),
    "xstest": Source(
        "250 safe requests that look unsafe, and 200 unsafe twins",
        f"{GITHUB}/paul-rottger/xstest/d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d/xstest_prompts.csv",
        "CC BY 4.0",
        ("prompt", "type", "label"),
        450,
        "11783fb294ed017473ee53c207d71f2161c7672c8d0b037501e78387f801cb5a",
        harmful=True,
    ),
    "or_bench_hard": Source(
        "1,319 benign requests that models tend to refuse",
        f"{HUB}/bench-llm/or-bench/resolve/e36d8b80e81837c8a8f264bbb2a49f1b32c7e272/or-bench-hard-1k.csv",
        "CC BY 4.0",
        ("prompt", "category"),
        1319,
        "a6e2f1166416efe5901f3bb05c47dc92ab3aca3acfe143693d38b8057d841e6d",
    ),
    "gsm8k": Source(
        "1,319 grade-school problems (test split)",
        f"{HUB}/openai/gsm8k/resolve/740312add88f781978c0658806c59bc2815b9866/main/test-00000-of-00001.parquet",
        "MIT",
        ("question", "answer"),
        1319,
        "ee7b8da9e381df27b9e3f7758a159ab2bdaa4dbaa910546cbbc47e0cb44e4f59",
    ),
    "gsm8k_train": Source(
        "7,473 grade-school problems (training split), for examples in prompts",
        f"{HUB}/openai/gsm8k/resolve/740312add88f781978c0658806c59bc2815b9866/main/train-00000-of-00001.parquet",
        "MIT",
        ("question", "answer"),
        7473,
        "ea82612ea9582142387730c793eb67d3b12849002bc0b7fa6f8efafa7351419d",
    ),
    "mt_bench": Source(
        "80 two-turn questions in eight categories",
        f"{FASTCHAT}/mt_bench/question.jsonl",
        "Apache-2.0",
        ("question_id", "category", "turns"),
        80,
        "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
    ),
    "mt_bench_prompts": Source(
        "the prompts by which MT-Bench's answers are graded",
        f"{FASTCHAT}/judge_prompts.jsonl",
        "Apache-2.0",
        ("name", "system_prompt", "prompt_template"),
        8,
        "fd283293406d024f44c174b094ef48031d0687a4682fd3a56b29b138f80281b6",
    ),
    "mt_bench_references": Source(
        "GPT-4's answers to its math, reasoning and coding questions",
        f"{FASTCHAT}/mt_bench/reference_answer/gpt-4.jsonl",
        "Apache-2.0",
        ("question_id", "choices"),
        None,
        "f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",
    ),
}
