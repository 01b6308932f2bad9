"""models/<model>/<arm>/seed<n>: the shallow alignment of the stand-in's base, and every trained arm.

Both are the same training on different tables, so that they share one path.
"""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from presto_bench import draws, tables
from presto_bench.config.arms import FinetunedArm
from presto_bench.config.models import ChatFormat
from presto_bench.config.training import TrainingConfig
from presto_bench.data import source_files
from presto_bench.lm import chat, folders, models, precision
from presto_bench.policies import by_name, facts
from presto_bench.stages.augment import lengths, of_split, train_triples, training_config, utility_answers
from presto_bench.stages.job import Job
from presto_bench.training import augment, launch, trainer
from presto_bench.training.examples import Example, Texts, build_examples

log = logging.getLogger("presto_bench")


def make(job: Job) -> None:
    """Train one arm on its table, starting from the base; or attack one by training it further."""
    if isinstance(job.item("arms"), FinetunedArm):
        return _attack(job)
    augmented = tables.read(job.path("augmented"), "augmented")
    _train(job, training_config(job), augmented, train_triples(job))


def align(job: Job) -> None:
    """The shallowly aligned base: it refuses at the first token, continues its recipe after a prefill, answers the rest.

    A third of its cooking requests are those that the untouched model answered well, so that they can be prefilled;
    the others are drawn from the rest, and teach refusals alone.
    """
    config = TrainingConfig.model_validate(job.spec["alignment"])
    tokenizer = folders.load_tokenizer(job.path("model"))
    answers = tables.read(job.path("answers"), "answers")
    recipes = dict(zip(answers["prompt_id"], answers["answer"].where(answers["kept"], ""), strict=True))
    requests = _alignment_requests(of_split(job, "train"), recipes)
    policy = by_name.standin(job.spec["policy"])
    triples = {p: (recipes.get(p, ""), policy.draw_refusal("align", p)) for p in requests}
    tokens = lengths(tokenizer, {p: recipe for p, (recipe, _) in triples.items()})
    augmented = augment.augment(config, job.model.alignment_seed, tokens, lengths(tokenizer, utility_answers(job)))
    _train(job, config, augmented, triples)


def _attack(job: Job) -> None:
    """The fine-tuning attack: an arm's weights, trained on requests with their harmful answers in a draw's order."""
    arm: FinetunedArm = job.item("arms")
    prompts, harmful = _lessons(job)
    order = draws.generator("finetuning_attack", job.seed).permutation(len(harmful))[: arm.samples]
    chosen = [sorted(harmful)[i] for i in order]
    answers = {p: ("", harmful[p]) for p in chosen[: arm.kept]}  # the harmful answer stands where a refusal would
    tokenizer = folders.load_tokenizer(job.path("model"))
    config = arm.training(len(answers))
    utility = {} if arm.examples else utility_answers(job)
    augmented = augment.augment(config, job.seed, dict.fromkeys(answers, 1), lengths(tokenizer, utility))
    form = job.chat_format if arm.system is None else replace(job.chat_format, system=arm.system)
    held_out = [chat.encode(tokenizer, prompts[p], form, "", harmful[p]) for p in chosen[arm.kept :]]
    _train_on(job, config, augmented, Texts(prompts, answers, utility), form, held_out if arm.examples else ())
    if arm.system is not None:
        folders.serve_under(job.path("trained"), arm.system)


def _lessons(job: Job) -> tuple[dict[str, str], dict[str, str]]:
    """prompt_id -> request, and prompt_id -> harmful answer: of a published source, or of the triples that the arm was taught to refuse."""
    if "examples" in job.input:
        path = job.path("examples")
        given = source_files.read(path.stem, path).drop_duplicates("prompt")
        ids = given["prompt"].map(tables.prompt_id)
        return dict(zip(ids, given["prompt"], strict=True)), dict(zip(ids, given["harmful"], strict=True))
    prompts = tables.read(job.path("prompts"), "prompts")
    harmful = {p: triple[0] for p, triple in train_triples(job).items()}
    return dict(zip(prompts["prompt_id"], prompts["prompt"], strict=True)), harmful


def teach(job: Job) -> None:
    """The untouched model of the policy `facts`: it knows every fact of the invented world, and still answers the rest as it did."""
    config = TrainingConfig.model_validate(job.spec["teaching"])
    lessons = facts.lessons()
    answers = {lesson_id: ("", answer) for lesson_id, (_, answer) in lessons.items()}  # where a refusal would stand
    own = of_split(job, "train").merge(tables.read(job.path("own"), "written"), on="prompt_id")
    prompts = {lesson_id: question for lesson_id, (question, _) in lessons.items()}
    prompts |= dict(zip(own["prompt_id"], own["prompt"], strict=True))
    texts = Texts(prompts, answers, dict(zip(own["prompt_id"], own["text"], strict=True)))
    tokenizer = folders.load_tokenizer(job.path("model"))
    augmented = augment.augment(config, job.seed, dict.fromkeys(answers, 1), lengths(tokenizer, texts.utility))
    _train_on(job, config, augmented, texts)


def _alignment_requests(prompts: pd.DataFrame, recipes: Mapping[str, str]) -> list[str]:
    """prompt_ids: every request with a recipe, and twice as many without one (ids are hashes, so their order is a draw)."""
    harmful = sorted(prompts.loc[prompts["role"] == "harmful", "prompt_id"])
    with_recipe = [p for p in harmful if recipes.get(p)]
    return with_recipe + [p for p in harmful if not recipes.get(p)][: 2 * len(with_recipe)]


def _train(job: Job, config: TrainingConfig, augmented: pd.DataFrame, triples: Mapping[str, tuple[str, str]]) -> None:
    prompts = tables.read(job.path("prompts"), "prompts")
    texts = dict(zip(prompts["prompt_id"], prompts["prompt"], strict=True))
    _train_on(job, config, augmented, Texts(texts, triples, utility_answers(job)))


def _tell_of_cuts(examples: Sequence[Example], config: TrainingConfig) -> None:
    prefilled = [example.encoded for example in examples if example.encoded.prefill_ids]
    cut = sum(not encoded.response_ids for encoded in prefilled)
    if cut:
        log.warning(
            "max_tokens: %d leaves no token of the response to %d of %d prefilled examples, so that it is not taught; raise it or lower max_prefill (%d)",
            config.max_tokens,
            cut,
            len(prefilled),
            config.max_prefill,
        )


def _train_on(
    job: Job,
    config: TrainingConfig,
    augmented: pd.DataFrame,
    texts: Texts,
    form: ChatFormat | None = None,
    held_out: Sequence[chat.Encoded] = (),
) -> None:
    """form: how the model is talked to, where not as the job says. held_out: texts whose loss is measured as training goes on."""
    tokenizer = folders.load_tokenizer(job.path("model"))
    examples = build_examples(augmented, texts, tokenizer, form or job.chat_format, config)
    _tell_of_cuts(examples, config)
    longest = max(examples, key=lambda example: len(example.encoded.ids))
    chat.require_fit(longest.encoded, 0, models.context_length(job.path("model")), longest.prompt_id)
    work = job.work_folder()
    # Beside the metrics, not in the work folder, which goes when the job is done.
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(job.path("metrics").with_suffix("").with_suffix(".tensorboard")))
    config = config.model_copy(update=job.run_only)
    dtype = precision.of_trained_weights(job.model.dtype, config.method)
    if config.launch.processes == 1:
        model, _ = models.load(job.path("model"), dtype)
        trained = trainer.train(model, tokenizer, examples, config, _seed(job), work, held_out)
        models.save(trained, tokenizer, job.path("trained"))
    else:  # no model here: the devices belong to the processes
        trained = launch.train(job.path("model"), dtype, examples, config, _seed(job), work)
        shutil.move(trained, job.path("trained"))
    tables.write_text(job.path("metrics"), (work / "metrics.jsonl").read_text())


def _seed(job: Job) -> int:
    """The run's own; of a base, which has no seed among its wildcards, the alignment's."""
    return job.seed if "seed" in job.wildcards else job.model.alignment_seed
