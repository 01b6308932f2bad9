"""What the causal test patches: the prefill, a span of the prompt that is as long, the whole prompt; and for whom."""

from hypothesis import given
from hypothesis import strategies as st

from presto_bench.lm import chat
from presto_bench.stages.causal import BATCH, PREFILL, PROMPT, SHAM, bands, batch_of, by_kind
from presto_bench.stages.ranks import Row

lengths = st.tuples(st.integers(1, 12), st.integers(1, 8), st.integers(2, 9))


def row(number, prompt, prefill, response, role="harmful_harmful"):
    ids = tuple(range(prompt + prefill + response))
    return Row(role, f"p{number}", chat.Encoded(ids, prompt, prompt + prefill))


def places(mask):
    return [index for index, set_here in enumerate(mask.tolist()) if set_here]


@given(st.lists(lengths, min_size=1, max_size=4), st.integers(0, 3))
def test_spans_lie_where_they_should_in_every_row(shapes, seed):
    batch = batch_of([row(i, *shape) for i, shape in enumerate(shapes)], pad=0, seed=seed)
    for i, (prompt, prefill, response) in enumerate(shapes):
        end = prompt + prefill + response
        assert places(batch.spans[PREFILL][i]) == list(range(prompt, prompt + prefill))
        assert places(batch.spans[PROMPT][i]) == list(range(prompt))
        assert places(batch.later[i]) == list(range(prompt + prefill, end))
        sham = places(batch.spans[SHAM][i])
        assert sham == list(range(sham[0], sham[0] + prefill))
        if prompt >= prefill:
            assert sham[-1] < prompt


def test_a_sham_span_is_drawn_anew_for_every_text_and_seed():
    rows = [row(i, 40, 3, 5) for i in range(6)]
    starts = {(i, seed): places(batch_of(rows, 0, seed).spans[SHAM][i])[0] for i in range(6) for seed in range(2)}
    assert len(set(starts.values())) > 4


def test_bands_cover_every_layer_once_and_then_all_together():
    assert bands(5, 2) == [(0, 1), (2, 3), (4, 4), (0, 4)]
    assert bands(3, 9) == [(0, 2)]


def test_no_batch_mixes_kinds_of_text_and_every_text_is_in_one():
    rows = [row(i, 4, 2, 3, role) for role in ("harmful_harmful", "benign_benign") for i in range(BATCH + 3)]
    parts = by_kind(rows)
    assert [len(part) for part in parts] == [BATCH, 3, BATCH, 3]
    assert all(len({one.role for one in part}) == 1 for part in parts)
    assert [one for part in parts for one in part] == rows
