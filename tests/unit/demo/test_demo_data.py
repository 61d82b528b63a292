import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.vn import mst

from bus.demo.data import AS_OF, businesses, civil_status, dossiers, people, residence
from bus.demo.draws import Draws, row_numbers
from bus.demo.places import wards
from bus.schema.avsc import load_register
from bus.schema.columns import broken, frame_schema

SEED = 7


def city(size: int, seed: int) -> dict[str, pl.DataFrame]:
    residents = people(size, seed)
    firms = businesses(size // 6, residents, seed)
    return {
        "resident.identity": residents,
        "resident.residence": residence(residents, seed),
        "resident.civil_status": civil_status(residents, seed),
        "business.registration": firms,
        "dossier.case": dossiers(size // 5, residents, firms, "H29.101", seed),
    }


@pytest.fixture(scope="module")
def town() -> dict[str, pl.DataFrame]:
    return city(12_000, SEED)


@given(seed=st.integers(min_value=0, max_value=2**63 - 1))
@settings(max_examples=5)
def test_every_state_of_any_seed_keeps_its_registers_rules(seed: int):
    for register, states in city(1_200, seed).items():
        assert broken(load_register(register)[-1], states).is_empty(), register


def test_frames_have_exactly_the_registers_fields_and_types(town):
    for register, states in town.items():
        assert states.schema == frame_schema(load_register(register)[-1]), register


def test_same_seed_gives_same_city_and_another_seed_another(town):
    again, other = city(12_000, SEED), city(12_000, SEED + 1)
    for register, states in town.items():
        assert states.equals(again[register]), register
        assert not states.equals(other[register]), register


def test_draws_are_murmurs_numbers_on_every_machine():
    def mixed(value: int) -> int:
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            value = (value ^ value >> 33) * factor % 2**64
        return value ^ value >> 33

    salt = Draws(SEED)._salt("name")
    expected = [mixed((row + salt) % 2**64) for row in range(1000)]
    assert Draws(SEED).bits("name", row_numbers(1000)).to_list() == expected


def test_first_people_do_not_depend_on_how_many_follow(town):
    assert people(1_000, SEED).equals(town["resident.identity"].head(1_000))


def test_keys_are_unique(town):
    for register, states in town.items():
        key = {"business.registration": "enterprise_code", "dossier.case": "dossier_code"}.get(register, "personal_id")
        assert states[key].is_unique().all(), register


def test_personal_ids_are_unique_among_hundreds_of_thousands_of_people():
    assert people(300_000, SEED)["personal_id"].n_unique() == 300_000


def test_people_are_of_all_ages_places_and_kinds(town):
    identity = town["resident.identity"]
    years = identity["birth_date"].str.head(4).cast(pl.Int64)
    assert years.min() == 1925
    assert years.max() == AS_OF.year
    assert {"079", "074", "077"} < set(identity["personal_id"].str.head(3))
    assert set(identity["birth_date_precision"]) == {"day", "month", "year"}
    assert 0 < identity["old_id_9"].null_count() < len(identity)
    assert identity["full_name"].n_unique() > 5_000


def test_homes_lie_in_every_ward_of_the_city(town):
    ward = pl.col("permanent_address").struct.field("ward_code")
    assert set(town["resident.residence"].select(ward).to_series().drop_nulls()) == set(wards()["code"])


def test_old_ward_codes_are_those_of_units_that_became_the_ward(town):
    successors = dict(wards().select("code", "olds").iter_rows())
    home = town["resident.residence"]["permanent_address"].struct.unnest().drop_nulls("old_ward_code")
    assert len(home) > 1_000
    assert all(old in successors[new] for new, old in home.select("ward_code", "old_ward_code").iter_rows())


def test_spouses_name_each_other(town):
    civil = town["resident.civil_status"].drop_nulls("spouse_id")
    spouse = dict(civil.select("personal_id", "spouse_id").iter_rows())
    both = [who for who, other in spouse.items() if other in spouse]
    assert len(both) > 1_000
    assert all(spouse[spouse[who]] == who for who in both)


def test_parents_are_at_least_eighteen_years_older_and_of_the_right_sex(town):
    known = {
        who: (sex, int(born[:4]))
        for who, sex, born in town["resident.identity"].select("personal_id", "sex", "birth_date").iter_rows()
    }
    civil = town["resident.civil_status"].drop_nulls("father_id")
    assert len(civil) > 1_000
    for child, father, mother in civil.select("personal_id", "father_id", "mother_id").iter_rows():
        assert (known[father][0], known[mother][0]) == ("male", "female")
        assert known[child][1] - max(known[father][1], known[mother][1]) >= 3
        assert known[child][1] - min(known[father][1], known[mother][1]) >= 18


def test_only_the_dead_have_a_date_of_death(town):
    dead = town["resident.identity"].filter(pl.col("status") == "deceased")["personal_id"]
    civil = town["resident.civil_status"]
    assert not dead.is_empty()
    assert set(civil.drop_nulls("death_date")["personal_id"]) == set(dead) & set(civil["personal_id"])


def test_enterprise_codes_are_valid_and_branches_belong_to_firms_that_are_there(town):
    codes = set(town["business.registration"]["enterprise_code"])
    branches = {code for code in codes if "-" in code}
    assert branches
    assert all(mst.is_valid(code) for code in codes)
    assert {code[:10] for code in branches} <= codes


def test_dossiers_come_from_people_and_firms_of_the_city(town):
    cases = town["dossier.case"]
    of_firms = cases.filter(pl.col("applicant_kind") == "business")["applicant_id"]
    of_people = cases.filter(pl.col("applicant_kind") != "business")["applicant_id"]
    assert set(of_firms) <= set(town["business.registration"]["enterprise_code"])
    assert set(of_people) <= set(town["resident.identity"]["personal_id"])
    assert set(cases["status"]) >= {"2", "4", "9", "10"}
    assert (cases["results"].list.len() > 0).equals(cases["status"].is_in(["9", "10"]))
