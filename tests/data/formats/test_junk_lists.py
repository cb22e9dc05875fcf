"""Lists of others with anything in them: examples, or one error; never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.test_manifest import touch
from vidsemi.data.formats import formats
from vidsemi.io.errors import UserError

OPTIONS: dict[str, dict[str, Any]] = {
    "activitynet": {"subset": None},
    "something_something": {},
    "diving48": {"classes": None},
    "jester": {"rate": 12.0},
    "moments": {},
    "charades": {"classes": None, "multi_label": "segments"},
    "finegym": {"categories": None, "annotations": None},
    "path_list": {"rate": 10.0},
    "kinetics": {},
    "yfcc100m": {"hashes": None, "vocabulary": None},
}
KEYS = ["database", "subset", "annotations", "segment", "label", "id", "template", "vid_name", "a", "b"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["a", "b", "1 2"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
words = st.sampled_from(
    ["a", "a.mp4", "b", "0", "1", "-1", "c001 1 2", ";", ",", '"', "\0", "nan", "1e999", "v_E_1_2_A_3_4"]
)
HEADERS = {"charades": "id,actions\n", "kinetics": "label,youtube_id,time_start,time_end\n"}


@pytest.mark.parametrize("name", OPTIONS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_junk_is_examples_or_one_error(name: str, tmp_path: Path, data: st.DataObject):
    root = touch(tmp_path / "v", "a.mp4", "b/1.jpg", "b/2.jpg", "1.mp4")
    file = tmp_path / "list.txt"
    if name in ("activitynet", "something_something", "diving48"):
        file.write_text(json.dumps(data.draw(values | st.lists(values, max_size=3))), encoding="utf-8")
    else:
        lines = data.draw(st.lists(st.lists(words | st.text(max_size=4), max_size=4), max_size=4))
        separator = data.draw(st.sampled_from(" ,;\t"))
        text = HEADERS.get(name, "") + "\n".join(separator.join(line) for line in lines)
        file.write_text(text, encoding="utf-8", errors="surrogatepass" if name == "yfcc100m" else "replace")
    try:
        found = formats()[name].scan([str(file)], root, **OPTIONS[name])
        found.write(tmp_path / "m.parquet")
    except UserError:
        return
    assert len(found) == len(found.columns["path"]) > 0
    assert len({len(column) for column in found.columns.values()}) == 1
