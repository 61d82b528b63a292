import copy
from collections.abc import Callable
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.schema import check_compatible
from bus.schema.compatibility import _parsed
from tests.unit.schema.samples import array, everything, field, optional, record, schema

ID = field("id", "string")
PART = optional("part", record("Part", field("a", "string"), optional("b", "string")))


def base() -> dict[str, Any]:
    return schema(ID, optional("note", "string", pii="personal"), field("no", "long", default=0), PART)


def found(new: dict[str, Any], *earlier: dict[str, Any]) -> set[tuple[str, str]]:
    return {(i.rule, i.path) for i in check_compatible(new, earlier)}


@pytest.mark.parametrize("new", [base(), everything()])
def test_schema_is_compatible_with_itself(new: dict[str, Any]):
    assert check_compatible(new, [copy.deepcopy(new)]) == []


@pytest.mark.parametrize(
    "more",
    [
        optional("extra", "string"),
        field("extra", "long", default=0),
        field("extra", array("string"), default=[]),
        optional("extra", record("Extra", ID)),
        optional("extra", "Part"),
    ],
)
def test_new_field_with_default_may_come_and_go(more: dict[str, Any]):
    wider = base()
    wider["fields"][-1]["type"][1]["fields"].append(more)
    assert check_compatible(wider, [base()]) == []
    assert check_compatible(base(), [wider]) == []


def test_fields_may_change_their_order():
    turned = base()
    state = turned["fields"][-1]["type"][1]
    state["fields"] = state["fields"][::-1]
    assert check_compatible(turned, [base()]) == []


def test_pii_class_may_be_raised():
    raised = edit("note", pii="sensitive")(base())
    assert check_compatible(raised, [base()]) == []


Change = Callable[[dict[str, Any]], dict[str, Any]]


def edit(name: str, /, **attributes: Any) -> Change:
    def change(raw: dict[str, Any]) -> dict[str, Any]:
        fields = raw["fields"][-1]["type"][1]["fields"]
        fields[:] = [{**f, **attributes} if f["name"] == name else f for f in fields]
        return raw

    return change


def drop(name: str) -> Change:
    def change(raw: dict[str, Any]) -> dict[str, Any]:
        fields = raw["fields"][-1]["type"][1]["fields"]
        fields[:] = [f for f in fields if f["name"] != name]
        return raw

    return change


def add(more: dict[str, Any]) -> Change:
    def change(raw: dict[str, Any]) -> dict[str, Any]:
        raw["fields"][-1]["type"][1]["fields"].append(more)
        return raw

    return change


@pytest.mark.parametrize(
    ("change", "rule", "path"),
    [
        (drop("id"), "default_missing", "state.id"),
        (add(field("extra", "string")), "default_missing", "state.extra"),
        (edit("note", type="string", default=""), "type_changed", "state.note"),
        (edit("id", type=["null", "string"], default=None), "type_changed", "state.id"),
        (edit("no", type="int"), "type_changed", "state.no"),
        (edit("no", type="double"), "type_changed", "state.no"),
        (edit("no", type={"type": "long", "logicalType": "timestamp-micros"}), "type_changed", "state.no"),
        (edit("id", type="bytes"), "type_changed", "state.id"),
        (edit("note", pii="none"), "pii_lowered", "state.note"),
        (
            edit("part", type=["null", record("Bit", field("a", "string"), optional("b", "string"))]),
            "name_changed",
            "state.part",
        ),
        (edit("part", type=["null", record("Part", field("a", "long"))]), "type_changed", "state.part.a"),
        (edit("part", type=["null", record("Part", optional("b", "string"))]), "default_missing", "state.part.a"),
        (edit("part", type=["null", array("string")]), "type_changed", "state.part"),
        (edit("no", default="0"), "default_invalid", "state.no"),
        (edit("no", default=2**63), "default_invalid", "state.no"),
        (edit("note", default="x"), "default_invalid", "state.note"),
        (edit("id", name="số"), "name_invalid", "state.số"),
        (edit("note", aliases=["a b"]), "name_invalid", "state.note"),
        (edit("id", name="ident", aliases=["id"]), "default_missing", "state.id"),
        (add(optional("self", "ThingState")), "unreadable", ""),
        (add(optional("odd", "Nothing")), "unreadable", ""),
    ],
)
def test_breaking_change_is_found_at_its_place(change: Change, rule: str, path: str):
    assert (rule, path) in found(change(base()), base())


def test_renamed_field_with_alias_and_default_is_compatible():
    renamed = edit("note", name="remark", aliases=["note"])(base())
    assert check_compatible(renamed, [base()]) == []


def test_changed_envelope_is_refused():
    changed = base()
    changed["fields"][4]["name"] = "origin"
    assert "envelope_changed" in {rule for rule, _ in found(changed, base())}


def test_moved_namespace_is_refused():
    moved = base() | {"namespace": "vn.lienthong.other"}
    assert ("name_changed", "") in found(moved, base())


def test_field_that_comes_back_with_another_type_is_held_against_all_versions():
    first, second = schema(ID, optional("x", "string")), schema(ID)
    third = schema(ID, optional("x", "long"))
    assert check_compatible(third, [second]) == []
    assert [(i.rule, i.path) for i in check_compatible(third, [first, second])] == [("type_changed", "state.x")]


def test_message_names_version_and_remedy():
    (only,) = check_compatible(drop("id")(base()), [base()])
    assert only.message == "readers of v1 need this field, which has no default there; keep it"


TYPES = ["string", "long", "int", "double", "bytes", {"type": "long", "logicalType": "timestamp-micros"}]
kinds = st.recursive(
    st.sampled_from(TYPES),
    lambda inner: st.one_of(inner.map(array), inner.map(lambda kind: record("Part", field("a", kind)))),
    max_leaves=2,
)
fields = st.lists(
    st.one_of(
        st.builds(lambda n, k: [field(n, k)], st.sampled_from("abc"), kinds),
        st.builds(lambda n, k: [optional(n, k)], st.sampled_from("abc"), st.sampled_from(TYPES)),
    ),
    min_size=1,
    max_size=3,
).map(lambda many: list({f["name"]: f for group in many for f in group}.values()))


@settings(max_examples=150)
@given(new=fields, old=fields)
def test_what_the_official_package_refuses_is_refused_with_a_place(
    new: list[dict[str, Any]], old: list[dict[str, Any]]
):
    mine, theirs = parse(new), parse(old)
    if mine is None or theirs is None:
        return
    verdicts = [
        ReaderWriterCompatibilityChecker().get_compatibility(*pair).compatibility
        for pair in ((mine, theirs), (theirs, mine))
    ]
    official = all(verdict is SchemaCompatibilityType.compatible for verdict in verdicts)
    ours = check_compatible(schema(*new), [schema(*old)])
    assert official or ours
    assert "avro" not in {i.rule for i in ours}


def parse(many: list[dict[str, Any]]) -> Any:
    """Nothing where two records took the same name."""
    try:
        return _parsed(schema(*many))
    except AvroException:
        return None
