"""What a large experiment lacks is named with its remedy before any job starts; a pilot and a plan come from the same config."""

import json
import re
import subprocess

import pandas as pd
import pytest
import yaml

import tiny_model
from presto_bench import config
from presto_bench.errors import UserError
from presto_bench.runs import access, pilot, plan
from project import Project


@pytest.fixture
def paper(root):
    return yaml.safe_load((root / "config/paper.yaml").read_text())


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)


def keys(raw):
    return [item.key for item in access.missing(config.load(raw))]


PUBLIC = ["judges.strongreject.key", "tasks.mt_bench.grader.key", "tasks.mt_bench_thinking.grader.key"]
GATED = ["models.llama2_7b", "models.gemma3_12b", "models.llama31_8b"]
FILES = ["sources.llama2_anchors", "sources.llama2_triples"]


def test_everything_that_the_paper_lacks_is_named_with_its_remedy(paper):
    found = access.missing(config.load(paper))
    assert [item.key for item in found] == ["acknowledge", *GATED, *FILES, *PUBLIC]
    assert all(item.remedy for item in found)
    assert "export HF_TOKEN" in str(found[1]) and "source_overrides: {llama2_anchors: FILE}" in str(found[4])


def test_each_remedy_takes_its_item_off_the_list(paper, monkeypatch, tmp_path):
    paper["acknowledge"] = {"purpose": "a test of the pipeline", "storage": "nowhere but here"}
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")
    assert keys(paper) == [*FILES, *PUBLIC]
    for name in ("llama2_anchors.json", "llama2_triples.jsonl"):
        (tmp_path / name).write_text("[]")
    paper["source_overrides"] = {
        name.split(".")[0]: str(tmp_path / name) for name in ("llama2_anchors.json", "llama2_triples.jsonl")
    }
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    assert keys(paper) == []
    paper["source_overrides"]["llama2_anchors"] = str(tmp_path / "gone.json")
    assert keys(paper) == ["source_overrides.llama2_anchors"]


def test_a_checkpoint_of_another_family_is_told_of_before_any_job(raw_config, tmp_path):
    llama, qwen3 = (tiny_model.make(tmp_path / family, family) for family in ("llama", "qwen3"))
    raw_config["models"].append({"name": "own", "kind": "local", "path": str(llama)})
    raw_config["arms"] += [
        {"name": f"from_{path.name}", "kind": "checkpoint", "of": "own", "path": str(path)} for path in (llama, qwen3)
    ]
    (found,) = [item for item in access.missing(config.load(raw_config)) if item.key.startswith("arms")]
    assert found.key == "arms.from_qwen3.of" and "model_type qwen3 instead of llama" in found.what


def test_more_requests_than_there_are_are_told_of_before_any_job(paper):
    paper["attacks"][0]["requests"] = 314
    (found,) = [item for item in access.missing(config.load(paper)) if item.key.startswith("attacks")]
    assert found.key == f"attacks.{paper['attacks'][0]['name']}.requests" and "314, but there are 313" in found.what


def test_who_writes_harmful_answers_is_the_users_to_name(paper):
    paper["models"][1]["data"]["triples"] = "generated"
    assert "harm.harmful_model" in keys(paper)
    paper["harm"]["harmful_model"] = {"kind": "local", "path": "somewhere"}
    assert "harm.harmful_model" not in keys(paper)


def test_a_dry_run_lists_the_jobs_and_what_is_missing_and_a_run_starts_no_job(root, tmp_path):
    project = Project(root, tmp_path / "project")
    words = [project.python, "-m", "snakemake", "--cores", "1", "--configfile", "config/paper.yaml"]

    def say(*more):
        return subprocess.run([*words, *more], cwd=project.path, env=project.environment, capture_output=True, text=True)

    dry = say("--dry-run", "--quiet", "rules")
    assert dry.returncode == 0 and re.search(r"attack_shard +\d+", dry.stdout + dry.stderr)
    run = say()
    for told in (dry, run):
        assert "sources.llama2_triples" in told.stderr and "remedy: accept its terms" in told.stderr
    assert run.returncode != 0
    assert not list((project.path / "results").glob("paper/**/*.*"))


def test_no_secret_of_the_environment_is_told(paper, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_canary")
    assert "canary" not in "".join(map(str, access.missing(config.load(paper))))


def test_a_pilot_keeps_what_inherits_from_an_arm_that_it_leaves_out(paper):
    paper["arms"] += [
        {"name": "parent", "inherits": "da", "lr": 1e-6, "only": ["llama2_7b"]},
        {"name": "child", "inherits": "parent", "only": ["qwen3_8b"]},
    ]
    for attack in paper["attacks"]:
        if "helper" in attack:
            attack["helper"] = {"target_arm": "da"}
    arms = {arm.name: arm for arm in config.load(pilot.cut(paper, "qwen3_8b")).arms}
    assert "parent" not in arms and arms["child"].lr == 1e-6


def test_a_pilots_tasks_ask_a_few_of_their_questions(paper):
    tasks = {task.name: task for task in config.load(pilot.cut(paper, "qwen3_8b")).tasks}
    assert tasks["gsm8k"].limit == tasks["xstest"].questions == pilot.REQUESTS and tasks["mt_bench_thinking"].questions == 8


SHIPPED = (
    "config/config",
    "config/ablations",
    "config/seeds",
    "config/paper",
    "config/one-gpu",
    "tests/config/ci",
    "tests/config/ci-paper",
    "tests/config/tiny",
)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_experiment_has_a_pilot_of_each_model(root, name):
    raw = yaml.safe_load((root / f"{name}.yaml").read_text())
    for model in raw["models"]:
        small = config.load(pilot.cut(raw, model["name"]))
        assert small.experiment == f"{raw['experiment']}_pilot" and [m.name for m in small.models] == [model["name"]]
        assert len(small.seeds) == 1 and all(attack.shards == 1 for attack in small.attacks)
        assert all(arm.steps == pilot.STEPS for arm in small.arms if arm.kind == "training")
        assert not [item for item in access.missing(small) if item.key.startswith("attacks.")], (
            "a sample that the pilot has not"
        )


def test_a_pilot_of_an_absent_model_is_refused(paper):
    with pytest.raises(UserError, match="there is no model"):
        pilot.cut(paper, "llama9")


def test_the_plan_is_arithmetic_on_the_config(paper):
    """One arm of 160 steps of 80 examples of 256 tokens, at 6 flops a parameter and token and a third more for checkpointing."""
    paper["arms"] = [arm for arm in paper["arms"] if arm["name"] in ("base", "da")]
    paper["headline"] = ["base", "da"]
    found = plan.table(config.load(paper)).set_index("model").loc["qwen3_8b"]
    flops = 6 * 8.2e9 * 160 * 80 * 256 * 4 / 3
    assert found["finetune_gpu_hours"] == pytest.approx(flops / 1.2e14 / 3600)
    # 2 bytes downloaded, the untouched model and an arm at 4 bytes each, a checkpoint at 16; two helpers of 1.5 billion parameters at 4 bytes
    assert found["disk_gb"] == pytest.approx(8.2 * (2 + 2 * 4 + 16) + 2 * 1.5 * 4)
    # A training shares 16 bytes a parameter among four GPUs; guided RAP decodes two models in 2 bytes; a tenth more for what they compute.
    assert found["gpu_memory_gb"] == pytest.approx(1.1 * max(16 * 8.2 / 4, 2 * 2 * 8.2))


def test_the_plan_counts_the_causal_test_and_both_models_of_a_blended_arm(paper):
    """10 texts of two kinds, read once as they are and in 36 / 12 + 1 bands: base knocked out, the two arms taken over as well, each with two shams."""
    paper["arms"] = [arm for arm in paper["arms"] if arm["name"] in ("base", "da", "da_presto")]
    plain = plan.table(config.load(paper)).set_index("model").loc["qwen3_8b"]
    assert plain["causal_gpu_hours"] == 0
    paper["causal"] = {"texts": 10, "layers_per_band": 12, "seeds": [0]}
    paper["seeds"] = [0]
    found = plan.table(config.load(paper)).set_index("model").loc["qwen3_8b"]
    passes = 20 * ((1 + 3 * 4) + 2 * (1 + 6 * 4))
    assert found["causal_gpu_hours"] == pytest.approx(2 * 8.2e9 * passes * 200 / 1.2e14 / 3600)
    both = {"name": "both", "kind": "safe_decoding", "of": "base", "expert": "da", "only": ["qwen3_8b"]}  # Llama 2 has GCG
    paper["arms"].append(both)
    blended = plan.table(config.load(paper)).set_index("model").loc["qwen3_8b"]
    assert blended["attack_gpu_hours"] == pytest.approx(found["attack_gpu_hours"] * 5 / 3)


def test_a_pilot_has_a_causal_test_of_its_own_seed_and_judges_of_its_own_attacks(paper):
    paper["causal"] = {"seeds": [1]}
    paper["seeds"] = [0, 1]
    paper["attacks"][0]["only"] = ["gemma3_12b"]
    gone, there = (attack["name"] for attack in paper["attacks"][:2])
    paper["judges"] += [
        {"name": "control", "kind": "likelihood", "attacks": [gone, there]},
        {"name": "other", "kind": "likelihood", "attacks": [gone]},
    ]
    small = config.load(pilot.cut(paper, "qwen3_8b"))
    assert small.causal_runs("qwen3_8b", "da", 0)
    assert {judge.name: judge.attacks for judge in small.judges} == {paper["judges"][0]["name"]: None, "control": [there]}


def test_a_pilot_replaces_the_rates_by_what_it_measured(paper, tmp_path, monkeypatch):
    """Two trainings of 4 steps took 50 s each on four GPUs: two of 160 steps take 40 times as long."""
    monkeypatch.chdir(tmp_path)
    paper["arms"] = [arm for arm in paper["arms"] if arm["name"] in ("base", "da", "da_presto")]
    benchmarks = tmp_path / "results/paper_pilot/benchmarks/finetune/qwen3_8b"
    benchmarks.mkdir(parents=True)
    (tmp_path / "results/paper_pilot/models/qwen3_8b").mkdir(parents=True)
    for arm in ("da", "da_presto"):
        pd.DataFrame({"s": [50.0]}).to_csv(benchmarks / f"{arm}.tsv", sep="\t", index=False)
    found = plan.table(config.load(paper)).set_index("model")["finetune_gpu_hours"]
    hours = 4 * 100 * 40 / 3600
    assert found["qwen3_8b"] == pytest.approx(hours)
    assert found["gemma3_12b"] == pytest.approx(hours * 12.2 / 8.2)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model_type": "lfm2", "layer_types": ["conv", "full_attention"]}, True),
        ({"model_type": "mamba"}, True),
        ({"model_type": "qwen3_5", "text_config": {"layer_types": ["linear_attention", "full_attention"]}}, True),
        ({"model_type": "gemma3_text", "layer_types": ["sliding_attention", "full_attention"]}, False),
    ],
)
def test_an_attack_that_takes_tokens_back_needs_a_model_that_can_give_them(tmp_path, raw_config, settings, told):
    """Before any job, where the model is a folder; guided RAP takes none back."""
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "model.safetensors").touch()
    raw_config["models"] = [{"name": "mine", "kind": "local", "path": str(tmp_path)}]
    found = [item.key for item in access.missing(config.load(raw_config)) if item.key.startswith("attacks.")]
    assert found == (["attacks.autorap"] if told else [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "No such file"),
        ("not json", "no rubric template"),
        ('["user"]', "no rubric template"),
        ('{"user": "Grade this."}', "no {forbidden_prompt}"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused_before_any_job(tmp_path, raw_config, text, told):
    path = tmp_path / "mine.json"
    if text is not None:
        path.write_text(text)
    judge = {"name": "r", "kind": "rubric", "model": "m", "base_url": "http://localhost:1/v1", "key": None}
    raw_config["judges"].append(judge | {"template": {"source": "file", "path": str(path)}})
    (found,) = [one for one in access.missing(config.load(raw_config)) if "template" in one.key]
    assert found.key == "judges.r.template.path" and told in found.what and str(path) in found.what


def test_a_template_that_can_be_read_is_not_named(tmp_path, raw_config):
    path = tmp_path / "mine.json"
    path.write_text('{"user": "{forbidden_prompt} {response}"}')
    judge = {"name": "r", "kind": "rubric", "model": "m", "base_url": "http://localhost:1/v1", "key": None}
    raw_config["judges"].append(judge | {"template": {"source": "file", "path": str(path)}})
    assert not [one for one in access.missing(config.load(raw_config)) if "template" in one.key]
