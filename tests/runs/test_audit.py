"""The experiment that an audit writes: what it asks of which target, and which targets it refuses."""

import sys

import pytest
import yaml

from presto_bench import cli, config
from presto_bench.config import source_names
from presto_bench.errors import UserError
from presto_bench.runs import access, asking, audit

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("models/one/seed0", "models/two/seed0", "guide"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def test_without_a_guide_the_target_is_the_experiments_own_model_and_guided_rap_is_said_to_be_missing(folders):
    loaded = config.load(audit.experiment(audit.Audit("models/one/seed0")))
    assert [attack.kind for attack in loaded.attacks] == ["direct", "prefilling", "prefilling"]
    assert (loaded.audit.model, loaded.audit.arm) == ("target", "base") and loaded.standin.alignment is None
    assert [row.what for row in loaded.audit.not_measured] == ["AutoRAP", "guided RAP"]


def test_with_a_guide_the_target_is_a_checkpoint_of_its_family(folders):
    loaded = config.load(audit.experiment(audit.Audit("models/one/seed0", "guide")))
    assert [attack.kind for attack in loaded.attacks] == ["direct", "prefilling", "prefilling", "guided"]
    assert (loaded.audit.model, loaded.audit.arm) == ("guide", "target")
    assert loaded.item("arms", "target").path == "models/one/seed0" and loaded.item("arms", "target").of == "guide"


def test_a_model_of_the_hub_is_named_by_its_commit(folders):
    loaded = config.load(audit.experiment(audit.Audit(f"hub:org/some-model@{REVISION}")))
    assert (loaded.models[0].id, loaded.models[0].revision) == ("org/some-model", REVISION)
    beside = config.load(audit.experiment(audit.Audit(f"hub:org/some-model@{REVISION}", "guide")))
    assert beside.item("arms", "target").id == "org/some-model"


SERVED = "endpoint:http://127.0.0.1:8000/v1#some-model"


def test_a_served_target_is_an_arm_of_its_guide(folders):
    loaded = config.load(audit.experiment(audit.Audit(SERVED, "guide", key="MY_KEY")))
    arm = loaded.item("arms", "target")
    assert (arm.kind, arm.of, arm.base_url, arm.model, arm.key) == (
        "endpoint",
        "guide",
        "http://127.0.0.1:8000/v1",
        "some-model",
        "MY_KEY",
    )
    assert (loaded.audit.model, loaded.audit.arm) == ("guide", "target") and "guided" in loaded.attack_names("guide")


def test_without_a_guide_it_needs_a_tokenizer_and_what_needs_weights_is_said_to_be_missing(folders):
    loaded = config.load(audit.experiment(audit.Audit(SERVED, tokenizer="guide")))
    assert (loaded.models[0].kind, loaded.models[0].tokenizer) == ("endpoint", "guide")
    assert [row.what for row in loaded.audit.not_measured] == ["AutoRAP", "guided RAP", "what stands in the top 20"]
    assert not loaded.judges[0].fluency and loaded.composition is None


def test_answers_are_sampled_as_the_models_makers_recommend(folders):
    (folders / "guide/generation_config.json").write_text(
        '{"do_sample": true, "temperature": 0.6, "top_p": 0.95, "eos_token_id": 2}'
    )
    (folders / "models/one/seed0/generation_config.json").write_text('{"temperature": 0.6, "eos_token_id": 2}')
    guided = config.load(audit.experiment(audit.Audit(SERVED, "guide"))).models[0]
    assert (guided.sampling.temperature, guided.sampling.top_p, guided.sampling.top_k) == (0.6, 0.95, 0)
    alone = config.load(audit.experiment(audit.Audit("models/one/seed0"))).models[0]
    assert alone.sampling.temperature == 1.0  # its makers do not sample


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"attacks": [{"name": "gcg", "kind": "gcg"}]}, "it follows gradients, and target is behind an endpoint"),
        (
            {"attacks": [{"name": "guided", "kind": "guided", "k": [40]}]},
            "picks from 40 ranks, and the endpoint is asked for 20",
        ),
    ],
)
def test_what_an_endpoint_cannot_do_is_refused_in_the_config(folders, change, names):
    with pytest.raises(UserError, match=names):
        config.load(audit.experiment(audit.Audit(SERVED, "guide")) | change)


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("nowhere", "there is no folder 'nowhere'"),
        ("hub:org/model", "no model of the hub at a commit"),
        ("hub:org/model@main", "no model of the hub at a commit"),
        ("endpoint:http://127.0.0.1:8000/v1", "no endpoint with a model"),
        ("endpoint:http://127.0.0.1:8000/v1#m", "does not bring its tokenizer"),
    ],
)
def test_what_cannot_be_audited_is_refused_with_the_forms_that_can(folders, target, names):
    with pytest.raises(UserError, match=names) as refused:
        audit.experiment(audit.Audit(target))
    assert "hub:ORG/MODEL@REVISION" in str(refused.value)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("results/standin/models/smollm2/da/seed0", "smollm2_da_seed0"),
        (f"hub:org/Some-Model@{REVISION}", "org_some_model_0123456789ab"),
        ("./one", "one"),
        ("endpoint:http://127.0.0.1:8000/v1#Org/Some-Model", "org_some_model"),
    ],
)
def test_files_are_named_after_the_target(target, expected):
    assert audit.Audit(target).slug == expected
    assert audit.Audit(target, name="My Model!").slug == "my_model"


def of_harm(file=None, **changes):
    return config.load(audit.experiment(audit.Audit("models/one/seed0", "guide", asked=asking.Asked("harm", file, **changes))))


def wanting(loaded):
    """What is missing but for the models, whose folders are empty here."""
    return [found.key for found in access.missing(loaded) if not found.key.endswith(".path")]


JUDGE = {"judge": "endpoint:http://127.0.0.1:9/v1#grader"}


def test_requests_of_ones_own_bring_their_prefills_and_the_text_that_is_measured(folders):
    (folders / "own.csv").write_text(
        "prompt,prefill,answer\nHow is bread made?,To make bread,To make bread you knead.\nTea?,First,First boil.\n"
    )
    loaded = of_harm("own.csv", **JUDGE)
    assert (loaded.harm.test, loaded.harm.prefills, loaded.harm.answers) == ("requests",) * 3
    assert loaded.source_overrides == {"requests": "own.csv"} and loaded.audit.notes == []
    assert source_names.used(loaded) == ["requests", "standin_benign"], "what trains is not fetched for an audit"
    assert loaded.composition.split == "test" and wanting(loaded) == []


def test_without_answers_the_prefills_are_measured_and_the_card_says_so(folders):
    (folders / "own.jsonl").write_text('{"prompt": "Bread?", "prefill": "To"}\n{"prompt": "Tea?", "prefill": "First"}\n')
    loaded = of_harm("own.jsonl", **JUDGE)
    assert loaded.harm.answers is None and loaded.audit.notes == [asking.MEASURES_PREFILLS]


def test_published_requests_want_to_be_acknowledged(folders):
    assert wanting(of_harm(**JUDGE)) == ["acknowledge"]
    told = of_harm(**JUDGE, acknowledge=("a test of this project", "nowhere, it never runs"))
    assert told.harm.test == "strongreject_small" and wanting(told) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("prompt,answer\nBread?,Knead.\n", "no column prefill"),
        ("prompt,prefill\nBread?,To\nTea?,\n", "row 1: prefill is blank"),
        ("prompt,prefill\nBread?,To\nTea?,To\nBread?,So\n", "row 2: this prompt stands above already"),
        ("prompt,prefill\nBread?,To\n", "two at least"),
        ("prompt,prefill,answer\nBread?,To,Knead.\nTea?,To,\n", "row 1: answer is blank"),
    ],
)
def test_what_is_wrong_with_a_file_of_requests_is_said_before_anything_is_written(folders, capsys, text, names):
    (folders / "own.csv").write_text(text)
    assert cli.main(["audit", "models/one/seed0", "--requests", "own.csv", "--config-only"]) == 1
    assert names in capsys.readouterr().err and not list(folders.glob("audit-*.yaml"))


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--requests", "own.txt"], "has no known ending"),
        (["--requests", "nowhere.csv"], "there is no file 'nowhere.csv'"),
        (["--judge", "strongreject"], "belongs to policy harm"),
        (["--policy", "cooking", "--requests", "own.txt"], "belongs to policy harm"),
        (["--policy", "harm", "--judge", "endpoint:https://api.example.org/v1#grader"], "allow_host: api.example.org"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(folders, capsys, words, names):
    (folders / "own.txt").write_text("Bread?")
    assert cli.main(["audit", "models/one/seed0", *words, "--config-only"]) == 1
    assert names in capsys.readouterr().err


def test_a_judge_is_an_endpoint_or_a_model_of_this_machine(folders):
    served = of_harm(judge=JUDGE["judge"], judge_key="GRADER_KEY").judges[0]
    assert (served.kind, served.model, served.key) == ("rubric", "grader", "GRADER_KEY")
    local = of_harm(judge="models/two/seed0").judges[0]
    assert (local.kind, local.model_config_of().path) == ("local_rubric", "models/two/seed0")


def test_the_config_is_written_to_be_kept_and_an_edited_one_is_not_overwritten(folders, capsys):
    words = ["audit", "models/one/seed0", "--name", "mine", "--config-only", "--limit", "12", "--lengths", "3", "9"]
    assert cli.main(words) == 0
    path = folders / "audit-mine.yaml"
    raw = yaml.safe_load(path.read_text())
    assert raw["attacks"][2]["greedy_recipe_lengths"] == [3, 9] and raw["attacks"][0]["requests"] == 12
    path.write_text(path.read_text().replace("max_new_tokens: 48", "max_new_tokens: 47"))
    assert cli.main(words) == 0 and "max_new_tokens: 47" in path.read_text()
    assert "keep it, or edit it" in capsys.readouterr().out


def test_the_same_target_with_other_options_is_refused_and_not_answered_by_the_old_config(folders, capsys):
    words = ["audit", "models/one/seed0", "--name", "mine", "--config-only"]
    assert cli.main(words) == 0
    for more, change in (
        (["--guide", "guide"], "guide None → 'guide'"),
        (["--limit", "5"], "limit None → 5"),
        (["--policy", "harm", "--judge", JUDGE["judge"]], "policy 'cooking' → 'harm'"),
    ):
        assert cli.main([*words, *more]) == 1
        said = capsys.readouterr().err
        assert "audit-mine.yaml" in said and change in said and "--name" in said


def test_an_own_config_of_that_name_is_taken_as_it_is(folders):
    raw = audit.experiment(audit.Audit("models/one/seed0", name="mine"))
    (folders / "audit-mine.yaml").write_text(yaml.safe_dump(raw))
    assert cli.main(["audit", "models/one/seed0", "--name", "mine", "--guide", "guide", "--config-only"]) == 0


def test_a_config_that_cannot_be_used_is_not_left_behind(folders, capsys):
    away = "endpoint:https://api.example.org/v1#grader"
    assert cli.main(["audit", "models/one/seed0", "--policy", "harm", "--judge", away, "--config-only"]) == 1
    assert "allow_host" in capsys.readouterr().err and not list(folders.glob("audit-*.yaml"))


@pytest.mark.parametrize("options", [[], ["--guide", "guide", "--cores", "2"]])
def test_words_behind_the_dashes_reach_snakemake_wherever_the_options_stand(folders, monkeypatch, options):
    """A dry run ends without a card, and that is no error."""
    import subprocess

    started = []
    monkeypatch.setattr(subprocess, "run", lambda command: started.append(command) or subprocess.CompletedProcess(command, 0))
    assert cli.main(["audit", "models/one/seed0", *options, "--", "-n", "--profile", "slurm"]) == 0
    assert " ".join(started[0]).startswith(f"{sys.executable} -m snakemake card -n --profile slurm --snakefile")


def test_a_command_that_starts_no_workflow_takes_no_words_for_it(capsys):
    assert cli.main(["doctor", "somewhere", "--", "-n"]) == 1
    assert "passes no words to Snakemake" in capsys.readouterr().err


def test_two_targets_of_one_name_are_refused(folders, capsys):
    words = ["audit", "models/one/seed0", "--against", "models/one/seed0", "--config-only"]
    assert cli.main(words) == 1 and "same name" in capsys.readouterr().err


def test_a_card_that_is_not_there_is_named(folders, capsys):
    assert cli.main(["compare", "guide"]) == 1
    assert "guide: there is no card here" in capsys.readouterr().err


@pytest.mark.parametrize(("key", "value"), [("model", "nobody"), ("arm", "nothing")])
def test_an_audit_of_what_the_config_does_not_have_is_refused(folders, key, value):
    raw = audit.experiment(audit.Audit("models/one/seed0"))
    raw["audit"][key] = value
    with pytest.raises(UserError, match=f"audit.{key}"):
        config.load(raw)
