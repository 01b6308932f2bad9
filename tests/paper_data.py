"""Stand-ins for the public data sets of policy `harm`, in their published formats, made of our own cooking lists: nothing in them is harmful.

python tests/paper_data.py FOLDER     writes one file a source, and three tiny random models with their families' chat formats
"""

import json
import sys
from pathlib import Path

import pandas as pd
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny_model
from presto_bench.config import StandinConfig
from presto_bench.data.sources import SOURCES
from presto_bench.policies import cooking

ATTACKED, TRIPLES, ANCHORS, PAIRS, BENIGN = 8, 12, 16, 16, 24
FAMILIES = ("llama2", "qwen3", "gemma3")


def frames() -> dict[str, pd.DataFrame]:
    """A table for each source, with its published columns."""
    found = cooking.prompts(StandinConfig())
    asked = found[found["role"] == "harmful"].drop_duplicates("category").reset_index(drop=True)
    benign = found.loc[found["role"] == "benign", "prompt"].reset_index(drop=True)
    prefills = cooking.attack_prefills(asked)["prefill"]
    refusals = [cooking.draw_refusal("paper", i) for i in range(len(asked))]
    recipes = [
        f"{prefill} take {' and '.join(cooking.dish_of(dish).ingredients)} and cook them."
        for prefill, dish in zip(prefills, asked["category"], strict=True)
    ]
    attacked, rest = asked[:ATTACKED], asked[ATTACKED : ATTACKED + TRIPLES + PAIRS]
    named = pd.DataFrame(
        {"category": ["cooking", "baking"] * (ATTACKED // 2), "source": "ours", "forbidden_prompt": attacked["prompt"]}
    )
    triples = pd.DataFrame(
        {
            "instruction": rest["prompt"][:TRIPLES],
            "refusal": refusals[ATTACKED : ATTACKED + TRIPLES],
            "harmful": recipes[ATTACKED : ATTACKED + TRIPLES],
        }
    )
    pairs = pd.DataFrame(
        {
            "prompt": rest["prompt"][TRIPLES:],
            "response_0": recipes[ATTACKED + TRIPLES : ATTACKED + TRIPLES + PAIRS],
            "response_1": refusals[ATTACKED + TRIPLES : ATTACKED + TRIPLES + PAIRS],
            "is_response_0_safe": False,
            "is_response_1_safe": True,
            "response_0_severity_level": 3,
            "response_1_severity_level": 0,
        }
    )
    anchors = pd.DataFrame(
        {"instruction": benign[60 : 60 + ANCHORS], "output": "That is easy. Do it step by step, and then you are done."}
    )
    rating = "Rate it as [[rating]]. {question} {answer}"
    return {
        "mt_bench": pd.DataFrame(
            {
                "question_id": [81, 111],
                "category": ["writing", "math"],
                "turns": [["Write a line.", "Shorter."], ["2 + 2?", "And twice?"]],
            }
        ),
        "mt_bench_prompts": pd.DataFrame(
            {
                "name": ["single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn"],
                "system_prompt": "You grade.",
                "prompt_template": [rating, rating, rating, rating],
            }
        ),
        "mt_bench_references": pd.DataFrame({"question_id": [111], "choices": [[{"turns": ["4", "8"]}]]}),
        "strongreject": named,
        "push_forward_prefills": pd.DataFrame({"prompt": attacked["prompt"], "prefill": prefills[:ATTACKED]}).iloc[::-1],
        "push_forward_few_shot": pd.DataFrame({"prompt": attacked["prompt"][:2], "prefill": prefills[:2]}),
        "push_forward_qwen3_anchors": anchors,
        "push_forward_safety_prompts": pd.DataFrame({"[text]": triples["instruction"]}),
        "push_forward_utility_prompts": pd.DataFrame({"[text]": benign[:ANCHORS]}),
        "push_forward_qwen3_triples": triples,
        "push_forward_gemma3_triples": triples,
        "hex_phi": pd.DataFrame({"[user]": asked["prompt"][-6:], "[assistant]": recipes[-6:]}),
        "push_forward_red_team": pd.DataFrame(
            {"prompt": rest["prompt"][TRIPLES:], "response": recipes[ATTACKED + TRIPLES : ATTACKED + TRIPLES + PAIRS]}
        ),
        "llama2_triples": triples,
        "llama2_anchors": anchors,
        "pku_saferlhf": pairs,
        "alpaca": pd.DataFrame({"instruction": benign[ANCHORS : ANCHORS + BENIGN], "input": "", "output": ""}),
        "xstest": pd.DataFrame({"prompt": benign[-6:], "type": "homonyms", "label": "safe"}),
        "or_bench_hard": pd.DataFrame({"prompt": benign[-12:-6], "category": "harmful"}),
    }


def write_sources(folder: Path) -> None:
    """One file a source, named like it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames().items():
        ending = SOURCES[name].ending
        path = folder / f"{name}.{ending}"
        match ending:
            case "csv":
                frame.to_csv(path, index=False)
            case "parquet":
                frame.to_parquet(path, index=False)
            case "jsonl" if "[user]" in frame:
                turns = [[{"role": "user", "content": u}, {"role": "assistant", "content": a}] for u, a in frame.to_numpy()]
                path.write_text("".join(json.dumps(pair) + "\n" for pair in turns))
            case "jsonl":
                frame.to_json(path, orient="records", lines=True)
            case "json":
                path.write_text(json.dumps(list(frame["[text]"]) if "[text]" in frame else frame.to_dict("records")))


def write(folder: Path) -> None:
    """The sources, and a tiny random model of each family."""
    write_sources(folder)
    for family in FAMILIES:
        tiny_model.make(folder / f"tiny-{family}", family)
    augmented(folder / "tiny-llama2-augmented")


def augmented(folder: Path) -> None:
    """As the published DA model of Llama 2: the same family, a token for padding appended, and no chat template of its own."""
    tiny_model.make(folder, "llama2")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"pad_token": "<PAD>"})
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").unlink()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
