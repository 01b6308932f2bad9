"""tests/config/ci-paper.yaml: the paper's DAG from end to end, on tiny random Llama, Qwen 3 and Gemma 3 models with harmless data in the published formats."""

import json
import shutil
import subprocess
import sys
import tarfile

import pandas as pd
import pytest
import yaml

import paper_data
from endpoint import Endpoint
from project import Project, edit

CONFIG = "tests/config/ci-paper.yaml"
PORT = 8911
EVERYWHERE = ("base", "da", "da_presto")
FIGURES = {
    "pareto",
    "price",
    "headline",
    "scores",
    "ranks",
    "bits",
    "attention",
    "sweeps",
    "autorap",
    "top20",
    "lengths",
    "utility",
    "categories",
    "training",
    "first_entropy",
    "attention_received",
    "helper_curves",
    "jailbreak_curves",
}
# Of the paper's items those that this experiment has.
ITEMS = [
    "table_1",
    "table_2",
    "table_3",
    "table_4",
    "table_5",
    "table_6",
    "table_7",
    "table_8",
    "figure_1",
    "figure_2",
    "figure_3",
    "figure_6",
    "figure_7",
    "figure_8",
    "figure_10",
    "figure_11",
]
WRITTEN = {
    "prefills": "written",
    "written_prefills": {"model": {"kind": "local", "path": "downloads/ci-paper/tiny-llama2"}, "attempts": 1},
}
SAMPLED = {"autorap": 6, "autorap_k": 6, "gcg": 2, "embedding": 2}  # requests of the attacks that take a sample
LONG_FORM_ALONE = {"presto_only", "da_kl", "da_finetuned"}


# Models of a million parameters: starting up is all that takes time, and two can start side by side.
SMALL = [
    "attack_arm",
    "candidates",
    "composition",
    "finetune_arm",
    "finetuning_attack",
    "given_triples",
    "grade_attack",
    "harm_answers",
    "helper",
    "prefill_alone",
    "ranks",
    "utility",
]


class Paper(Project):
    """models, and arms of the first one: of the config. In the short form (--short) there is one model, with fewer arms."""

    models: tuple[str, ...] = ()
    arms: frozenset[str] | set[str] = frozenset()

    def keep(self, wanted):
        """Cuts the config down to these models, or to all if None."""
        path = self.path / CONFIG
        config = yaml.safe_load(path.read_text())
        config["models"] = [model for model in config["models"] if wanted is None or model["name"] in wanted]
        config["arms"] = [arm for arm in config["arms"] if wanted is None or arm["name"] not in LONG_FORM_ALONE]
        self.models = tuple(model["name"] for model in config["models"])
        self.arms = {arm["name"] for arm in config["arms"]}
        if wanted is not None:
            path.write_text(yaml.safe_dump(config))

    def needs(self, model):
        if model not in self.models:
            pytest.skip(f"{model} is in the long form alone")

    def command(self, *words):
        threads = ["--set-threads", *(f"{rule}=1" for rule in SMALL)]
        return [self.python, "-m", "snakemake", "--cores", "2", *words, "--configfile", CONFIG, *threads]


@pytest.fixture(scope="module")
def paper(root, tmp_path_factory, request):
    project = Paper(root, tmp_path_factory.mktemp("paper") / "project")
    project.keep(["llama2"] if request.config.getoption("short") else None)
    paper_data.write(project.path / "downloads/ci-paper")
    endpoint = Endpoint("--port", PORT, "--guess")
    try:
        project.run("--quiet", "progress")
    finally:
        endpoint.stop()
    yield project
    shutil.rmtree(project.path)


pytestmark = pytest.mark.paper


def figures(project):
    """Those that there are; methods are compared where there are more than the headline's."""
    return FIGURES - ({"price"} if len(project.models) == 1 else set())


def results(project):
    return project.path / "results/ci_paper"


def test_every_figure_and_table_is_there(paper):
    drawn = {path.stem for path in (results(paper) / "figures").glob("*.pdf")}
    assert drawn == figures(paper) == {path.stem for path in (results(paper) / "figures").glob("*.png")}
    for table in ("scores", "comparisons", "utility", "ranks", "failures", "categories", "composition_by_rank", "verdicts"):
        assert (results(paper) / f"tables/{table}.csv").stat().st_size > 0
    assert (results(paper) / "tables/macros.tex").read_text().count("\\newcommand") > 100


def test_every_arm_and_attack_is_measured_where_the_config_wants_it(paper):
    scores = json.loads((results(paper) / "summary.json").read_text())["scores"]
    for model in paper.models:
        for arm in EVERYWHERE:
            assert set(scores[model][arm]) >= {"direct", "prefilling", "autorap"}
            for name, attack in scores[model][arm].items():
                asked = SAMPLED.get(name, paper_data.ATTACKED)
                assert attack["rubric"]["n"] == asked and attack["rubric"]["missing"] == 0
    assert set(scores["llama2"]) == paper.arms
    assert {model for model in paper.models if "guided" in scores[model]["da"]} == {"llama2"}


def test_a_searchs_steps_are_kept_beside_its_completions_for_their_owner_alone(paper):
    path = results(paper) / "attacks/gcg/llama2/da/seed0.searches.jsonl"
    steps = pd.read_json(path, lines=True)
    assert (
        steps.groupby("prompt_id")["step"].agg(list).map(lambda own: own == [0, 1, 2]).all()
        and steps["prompt_id"].nunique() == 2
    )
    assert path.stat().st_mode & 0o077 == 0


def test_over_refusal_is_labelled_by_a_grader_or_told_by_keywords_with_their_errors(paper):
    table = pd.read_csv(results(paper) / "tables/over_refusal.csv").set_index("task")
    labelled, told = table.loc["xstest"], table.loc["overrefusal"]
    assert (labelled["told_by"] == "local").all() and (labelled["missing"] == 0).all() and labelled["corrected"].isna().all()
    assert (labelled["full"] == labelled["rate"]).all() and (labelled["full"] + labelled["partial"]).between(0, 1).all()
    assert (told["told_by"] == "keywords").all() and told["partial"].isna().all()
    assert told["recall"].between(0.6, 0.7).all() and (told["corrected_low"] <= told["corrected_high"]).all()


def test_mt_bench_rates_both_turns_through_the_same_endpoint(paper):
    """Where the grader is reached is no part of the result, and reaches the job all the same."""
    utility = pd.read_csv(results(paper) / "tables/utility.csv").set_index(["task", "arm"])
    assert set(utility.loc["mt_bench"].index) == paper.arms
    assert (utility.loc["mt_bench"]["n"] == 4).all() and (utility.loc["mt_bench"]["missing"] == 0).all()
    categories = pd.read_csv(results(paper) / "tables/utility_categories.csv")
    assert set(categories["category"]) == {"writing", "math"}


def test_every_item_of_the_paper_has_a_target_of_its_own_and_one_that_is_not_there_says_why(paper):
    paper.run(*ITEMS)
    made = {path.stem for path in (results(paper) / "paper").iterdir()}
    assert made == set(ITEMS)
    first = pd.read_csv(results(paper) / "paper/table_1.csv")
    sampled = first[(first["attack"] == "prefilling") & (first["model"] == "llama2")]
    assert (
        (sampled["runs"] == 3).all() and sampled["sd_over_runs"].notna().all() and (sampled["n"] == paper_data.ATTACKED).all()
    )
    assert (sampled["n_rest"] == paper_data.ATTACKED - 2).all(), "two requests were examples when the prefills were written"
    swept = pd.read_csv(results(paper) / "paper/table_7.csv")
    assert sorted(swept.loc[swept["model"] == "llama2", "k"].unique()) == [5, 20, 40]
    said = pd.read_csv(results(paper) / "paper/table_3.csv")
    assert set(said["model"]) == set(paper.models) and said["text"].str.fullmatch(r"\[\d+ characters, redacted\]").all()
    helpers = pd.read_csv(results(paper) / "paper/table_5.csv")
    assert set(helpers["model"]) == set(paper.models) and (helpers["redraws"] == 3).all()
    lists = pd.read_csv(results(paper) / "tables/top_lists.csv")
    assert set(lists["token"]) <= {"[token]", "[refusal]"}, "what models say is redacted unless asked for"
    assert set(lists["arm"]) == set(EVERYWHERE) and set(lists.loc[lists["place"] == "bare prompt", "arm"]) == {"base"}
    said = paper.run("figure_9", "--dry-run", ok=False)
    assert "figure_9 (" in said and "this experiment has no attack of kind `human`" in said
    curve = pd.read_csv(results(paper) / "tables/jailbreak_curves.csv")
    assert set(curve["arm"]) == {"writer"} and curve["training"].notna().all() and curve["validation"].notna().sum() >= 2


def test_an_arm_that_was_trained_on_examples_writes_harmful_answers_under_its_own_system_prompt(paper):
    """What the paper's triples of Qwen 3 and Gemma 3 were written by; here nobody needs them, so that they are asked for by name."""
    paper.run("results/ci_paper/data/llama2/harmful_answers.parquet")
    path = results(paper) / "data/llama2/harmful_answers.parquet"
    assert path.stat().st_mode & 0o077 == 0 and len(pd.read_parquet(path)) > 5
    assert json.loads((results(paper) / "models/llama2/writer/seed0/decoding.json").read_text()) == {
        "system": "Recipes are welcome."
    }


def test_prefills_are_written_where_the_config_says_so(paper):
    before = "harm: {entropies"
    if len(paper.models) == 1:  # the short form's config was written anew
        config = yaml.safe_load((paper.path / CONFIG).read_text())
        config["harm"] |= WRITTEN
        undo = edit(paper, CONFIG, (paper.path / CONFIG).read_text(), yaml.safe_dump(config))
    else:
        undo = edit(
            paper,
            CONFIG,
            before,
            f"harm: {{prefills: written, written_prefills: {json.dumps(WRITTEN['written_prefills'])}, entropies",
        )
    would = paper.would_run()
    undo()
    assert would["prefill_model"] == 1 and would["written_prefills"] == 1 and would["harm_prompts"] == 1


def test_no_published_value_stands_beside_a_model_that_is_not_the_papers(paper):
    fidelity = pd.read_csv(results(paper) / "tables/fidelity.csv")
    assert len(fidelity) > 80 and (fidelity["verdict"] == "not run").all() and fidelity["ours"].isna().all()
    assert "How far from the paper" not in (results(paper) / "front.rst").read_text()


def test_a_published_checkpoint_is_an_arm_with_its_models_template(paper):
    folders = [results(paper) / "models/llama2" / arm / "seed0" for arm in ("base", "da_published")]
    templates = [(folder / "chat_template.jinja").read_text() for folder in folders]
    assert templates[0] == templates[1]


def test_helpers_are_made_from_their_own_model_and_read_by_its_template(paper):
    from presto_bench.lm import chat, folders

    helper = results(paper) / "helpers/llama2/da/seed0"
    assert (
        folders.load_tokenizer(helper).get_vocab() == folders.load_tokenizer(results(paper) / "data/helper_model").get_vocab()
    )
    assert folders.helper_format(helper, chat.ChatFormat()) == chat.ChatFormat(thinking=False)
    curves = pd.read_csv(results(paper) / "tables/helper_curves.csv")
    assert set(curves["model"]) == set(paper.models) and curves["validation"].notna().any()


def test_entropies_are_those_behind_the_named_sources_answers(paper):
    found = pd.read_csv(results(paper) / "tables/first_entropy.csv").set_index(["model", "arm", "place"])
    assert set(found.index.get_level_values("place")) == {"bare prompt", "behind a prefill"} and (found["n"] == 6).all()
    measured = pd.read_parquet(results(paper) / "source_entropy/llama2/base/seed0.parquet")
    behind = measured.loc[measured["place"] == "prefill", "nats"]
    assert found.loc[("llama2", "base", "behind a prefill"), "entropy_median"] == pytest.approx(behind.median(), rel=1e-4)


def test_the_base_is_the_model_as_it_came(paper):
    for model in paper.models:
        folder = results(paper) / "models" / model
        marks = [folder / arm / "seed0/.snakemake_timestamp" for arm in ("untouched", "base")]
        assert not marks[0].samefile(marks[1])  # else the one would look newer than what came from it
        weights = [(folder / arm / "seed0/model.safetensors").read_bytes() for arm in ("untouched", "base", "da", "da_presto")]
        assert weights[0] == weights[1]
        assert len(set(weights)) == 3


def test_what_trains_and_what_measures_share_no_prompt(paper):
    prompts = pd.read_parquet(results(paper) / "data/prompts.parquet").set_index("prompt_id")
    for path in (results(paper) / "augmented").rglob("*.parquet"):
        assert set(prompts.loc[pd.read_parquet(path)["prompt_id"], "split"]) == {"train"}
    for path in (results(paper) / "attacks").rglob("*.parquet"):
        assert set(prompts.loc[pd.read_parquet(path)["prompt_id"], "split"]) == {"test"}


def test_qwens_prompt_closes_the_think_block_before_any_prefill(paper):
    """Else thinking leaks into the prefill's span (docs/explanation/method.md)."""
    from presto_bench.lm import chat, folders

    paper.needs("qwen3")
    tokenizer = folders.load_tokenizer(results(paper) / "models/qwen3/base/seed0")
    ids = chat.encode(tokenizer, "How is bread made?", chat.ChatFormat(thinking=False), "Sure").ids
    assert tokenizer.decode(ids).endswith("</think>\n\nSure")


def test_no_text_of_a_model_or_request_stands_in_tables_figures_or_report(paper):
    said = paper.run("--report", "results/ci_paper/report.html")
    assert "Report created" in said or (results(paper) / "report.html").exists()
    texts = {text for path in (results(paper) / "attacks").rglob("*.parquet") for text in pd.read_parquet(path)["response"]}
    requests = pd.read_parquet(results(paper) / "data/prompts.parquet").query("role == 'harmful'")["prompt"]
    long = [text for text in [*texts, *requests] if len(text) >= 30]
    assert len(long) > 100
    shown = [*(results(paper) / "tables").iterdir(), results(paper) / "report.html", *(results(paper) / "logs").rglob("*.log")]
    for path in shown:
        content = path.read_text()
        assert not [text for text in long if text in content], path


def test_data_that_is_gone_from_the_network_is_not_asked_for_again(paper):
    """Everything fetched lies in results: a second run has nothing to do, with the judge gone as well."""
    assert paper.would_run() == {}


def test_another_file_for_a_source_reruns_what_it_feeds(paper):
    path = paper.path / "downloads/ci-paper/xstest.csv"
    before = path.read_text()
    frame = pd.read_csv(path)
    frame.assign(prompt=frame["prompt"] + " Please.").to_csv(path, index=False)
    would = paper.would_run()
    path.write_text(before)
    assert (
        would["source"] == 1
        and would["utility"] == len(paper.arms)
        and "finetune_arm" not in would
        and "attack_arm" not in would
    )


def test_the_bundle_draws_every_figure_without_a_words_leaving(paper, tmp_path):
    paper.run("bundle")
    with tarfile.open(results(paper) / "bundle.tar.gz") as archive:
        manifest = archive.extractfile("bundle/manifest.json").read().decode()
    assert "downloads/ci-paper" not in manifest and "127.0.0.1" not in manifest  # nothing of this machine
    words = [sys.executable, "-m", "presto_bench.cli", "figures", str(results(paper) / "bundle.tar.gz"), "--out", str(tmp_path)]
    subprocess.run(words, check=True, env=paper.environment)
    assert {path.stem for path in tmp_path.glob("*.pdf")} == figures(paper) - {
        "categories"
    }  # four requests a category: too telling
