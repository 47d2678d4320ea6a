"""Tags and slots, held against seqeval, which reads as conlleval does and knows each scheme by itself."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from pipelines.formats.tags import SCHEMES, decode_tags, encode_tags
from pipelines.record import SlotSpan

STRICT = {"iob1": IOB1, "iob2": IOB2, "iobes": IOBES, "bilou": BILOU}
LABELS = st.sampled_from(["a", "b", "from.city-name"])


@st.composite
def spans(draw):
    """Slots that may touch, left to right, and the number of words."""
    words = draw(st.integers(1, 12))
    cuts = sorted(draw(st.sets(st.integers(0, words), max_size=8)))
    return [SlotSpan(a, b, draw(LABELS)) for a, b in pairwise(cuts) if draw(st.booleans())], words


@given(st.lists(st.just("O") | st.builds("{}-{}".format, st.sampled_from("BIES"), LABELS), max_size=12))
def test_any_sequence_of_tags_is_read_as_conlleval_reads_it(tags):
    peer = [SlotSpan(start, last + 1, label) for label, start, last in get_entities(tags)]

    assert peer == decode_tags(tags)
    bilou = [{"E": "L", "S": "U"}.get(tag[0], tag[0]) + tag[1:] for tag in tags]  # the peer knows no L and U here
    assert peer == decode_tags(bilou)


@pytest.mark.parametrize("scheme", SCHEMES)
@given(given_=spans())
def test_what_is_written_in_a_scheme_is_well_formed_and_read_again(scheme, given_):
    slots, words = given_
    tags = encode_tags(slots, words, scheme)

    [peer] = Entities([tags], STRICT[scheme]).entities
    assert slots == [SlotSpan(one.start, one.end, one.tag) for one in peer] == decode_tags(tags)
