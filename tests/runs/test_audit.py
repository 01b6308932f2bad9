"""The experiment that an audit writes: what it asks of which target, and which targets it refuses."""

import pytest
import yaml

from presto_bench import cli, config
from presto_bench.errors import UserError
from presto_bench.runs import audit

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


def test_the_config_is_written_to_be_kept_and_an_edited_one_is_not_overwritten(folders, capsys):
    words = ["audit", "models/one/seed0", "--name", "mine", "--config-only", "--requests", "12", "--lengths", "3", "9"]
    assert cli.main(words) == 0
    path = folders / "audit-mine.yaml"
    raw = yaml.safe_load(path.read_text())
    assert raw["attacks"][2]["greedy_recipe_lengths"] == [3, 9] and raw["attacks"][0]["requests"] == 12
    path.write_text(path.read_text().replace("max_new_tokens: 48", "max_new_tokens: 47"))
    assert cli.main(words) == 0 and "max_new_tokens: 47" in path.read_text()
    assert "keep it, or edit it" in capsys.readouterr().out


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
