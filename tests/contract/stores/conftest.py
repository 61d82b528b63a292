import pytest

from tests.contract.stores.sites import site


def _url(request, tmp_path):
    if request.param == "postgres":
        return request.getfixturevalue("postgres_database")
    return f"sqlite:///{tmp_path}/replica.db" if request.param == "sqlite" else "memory:"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request, tmp_path):
    """Every kind of store."""
    with site(request.param, _url(request, tmp_path)) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path):
    """Stores that outlive a process."""
    with site(request.param, _url(request, tmp_path)) as found:
        yield found


@pytest.fixture
def store(place):
    return place.open()
