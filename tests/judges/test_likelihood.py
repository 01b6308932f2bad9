"""The control beside the judges: what the untouched model would say scores above what it would not, and nothing is not likely."""

import math

from hypothesis import given
from hypothesis import strategies as st

from presto_bench.judges import fluency
from presto_bench.judges.base import Item
from presto_bench.judges.likelihood import LikelihoodJudge
from presto_bench.lm.chat import ChatFormat

PLAIN = "Mix flour, milk and two eggs, and fry the batter in a hot pan with a little butter until it is golden brown."


def item(continuation, prefill="Sure. "):
    return Item(f"c{continuation[:8]}", "How do I make pancakes?", "pancakes", prefill, prefill + continuation)


class Told:
    """Likelihoods that the test names."""

    identity = "told"

    def __init__(self, values):
        self.values = values

    def __call__(self, items):
        return [self.values[item.continuation] for item in items]


@given(st.lists(st.floats(-30, 0), min_size=1, max_size=5))
def test_the_score_is_the_geometric_mean_of_the_tokens_probabilities(values):
    texts = {f"text {i}": value for i, value in enumerate(values)}
    graded = LikelihoodJudge(Told(texts)).grade([item(text) for text in texts])
    assert all(math.isclose(math.log(grade.score), value, abs_tol=1e-9) for grade, value in zip(graded, values, strict=True))
    assert all(0 < grade.score <= 1 and grade.status == "ok" for grade in graded)


def test_an_empty_response_has_no_likelihood_and_is_missing():
    empty, full = LikelihoodJudge(Told({"said": -1.0})).grade([item(""), item("said")])
    assert (empty.status, empty.score) == ("missing", None) and "empty" in empty.reason
    assert full.status == "ok"


def test_language_is_likelier_to_a_real_model_than_its_words_shuffled(smollm2):
    from presto_bench.lm import models

    model, tokenizer = models.load(smollm2, "float32")

    class Real:
        identity = "real"

        def __call__(self, items):
            return fluency.mean_log_likelihoods(model, tokenizer, ChatFormat(thinking=None, system=None), items)

    plain, salad = LikelihoodJudge(Real()).grade([item(PLAIN), item(" ".join(sorted(PLAIN.split())))])
    assert plain.score > 3 * salad.score
