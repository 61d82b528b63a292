"""The files of one agency's project, and how they come onto the disk."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from bus.catalog import Catalog, Register
from bus.cli.options import Cluster
from bus.codes.opening import shipped_lists
from bus.errors import ConfigInvalid, ConfirmationNeeded, PathUnwritable
from bus.names import AgencyCode
from bus.schema.avsc import load_register
from bus.settings import KafkaSettings
from producers.adapter.draft import column_of, draft
from producers.adapter.sample import sample
from producers.adapter.settings import Kind

TEMPLATES = files("producers") / "adapter" / "templates"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a project is for."""

    kind: Kind
    agency: AgencyCode
    catalog: Catalog
    catalog_file: Path | None
    prefix: str | None
    """Where it is not the catalogue's own."""
    schemas: Path | None
    registers: tuple[Register, ...]
    bus: Cluster

    @property
    def slug(self) -> str:
        """Of the agency, for names of folders and units: ``h29-5``."""
        return self.agency.lower().replace(".", "-")


def chosen(catalog: Catalog, agency: AgencyCode, names: Sequence[str]) -> tuple[Register, ...]:
    """The named registers, each of which the agency has to write; of no names, those that it alone writes, or else all.

    Raises RegisterUnknown, NotTheWriter, ConfigInvalid.
    """
    for name in names:
        catalog.register(name).topic(agency)
    own = tuple(each for each in catalog.registers.values() if agency in each.writers and not each.topic_per_writer)
    shared = tuple(each for each in catalog.registers.values() if each.written_by(agency))
    found = tuple(map(catalog.register, names)) or own or shared
    if not found:
        raise ConfigInvalid(f"{agency}: the catalogue names it as the writer of no register; nothing to set up")
    return found


def render(plan: Plan) -> dict[str, str]:
    """Every file by its path in the project. The same for the same plan."""
    words = _words(plan)
    made = {name: Template(text).substitute(words) for name, text in _templates(plan)}
    return made | dict(_mappings(plan)) | dict(_samples(plan))


def write(directory: Path, project: dict[str, str], *, force: bool) -> list[Path]:
    """Put the files there, all or, where one is there already, none; ``force`` replaces them.

    Raises ConfirmationNeeded, PathUnwritable.
    """
    there = [name for name in project if (directory / name).exists()]
    if there and not force:
        raise ConfirmationNeeded(
            f"{directory}: {', '.join(sorted(there)[:3])}{' …' if len(there) > 3 else ''} there already; "
            "name another --dir, or replace them with --force"
        )
    try:
        for name, text in project.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o640)
    except OSError as error:
        raise PathUnwritable(f"{error.filename or directory}: {error.strerror}; name another --dir") from error
    return [directory / name for name in project]


def mapping_name(plan: Plan, register: Register) -> str:
    return "mapping.toml" if len(plan.registers) == 1 else f"mapping-{register.table}.toml"


def sample_name(register: Register) -> str:
    return f"sample/{register.name}.csv"


def _templates(plan: Plan) -> Iterator[tuple[str, str]]:
    for template in sorted((TEMPLATES / plan.kind).iterdir(), key=lambda file: file.name):
        name = template.name.removesuffix(".in").replace("AGENCY", plan.slug)
        yield name, template.read_text(encoding="utf-8")


def _mappings(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.kind == "outbox":
        return
    codes = shipped_lists(plan.schemas)
    for register in plan.registers:
        schema = load_register(register.name, plan.schemas)[-1]
        yield mapping_name(plan, register), draft(schema, codes, f"{register.vi}, {plan.agency}")


def _samples(plan: Plan) -> Iterator[tuple[str, str]]:
    """Exports in the mapping's columns."""
    if plan.kind != "file":
        return
    for register in plan.registers:
        rows = sample(load_register(register.name, plan.schemas)[-1], plan.agency)
        yield sample_name(register), rows.rename(column_of).write_csv()


def _words(plan: Plan) -> dict[str, str]:
    """What the templates speak of."""
    about = plan.catalog.agencies[plan.agency]
    first = plan.registers[0]
    registry = plan.bus.registry
    return {
        "agency": plan.agency,
        "agency_en": about.en,
        "agency_vi": about.vi,
        "slug": plan.slug,
        "register": first.name,
        "registers": ", ".join(f'"{each.name}"' for each in plan.registers),
        "register_lines": "\n".join(f"| `{each.name}` | {each.vi} / {each.en} |" for each in plan.registers),
        "topics": " ".join(each.name for each in plan.registers),
        "mapping": mapping_name(plan, first),
        "kafka": _kafka(plan.bus.kafka),
        "registry": f'url = "{registry.url}"' if registry.url else f'topic = "{registry.topic}"',
        "place": "".join(f'{name} = "{value}"\n' for name, value in _places(plan).items()),
        "env": "".join(f"LIENTHONG_{name.upper()}={value}\n" for name, value in _places(plan).items()),
        "routes": "\n".join(_route(plan, each) for each in plan.registers),
        "trial": "\n".join(_trial(plan, each) for each in plan.registers),
        "units": "\n".join(f"systemctl enable --now lienthong-{plan.slug}@{each.name}" for each in plan.registers),
        "relays": "\n".join(
            f"lienthong outbox relay --agency {plan.agency} --register {each.name} --until-empty"
            for each in plan.registers
        ),
        "hardening": (TEMPLATES / "hardening.conf").read_text(encoding="utf-8").rstrip(),
    }


def _route(plan: Plan, register: Register) -> str:
    folder = "" if len(plan.registers) == 1 else f'folder = "{register.table}"   # below inbox/\n'
    return (
        f'[[route]]\nregister = "{register.name}"\n{folder}mapping = "{mapping_name(plan, register)}"\n'
        '# pattern = "*.csv"        # of the files\' names\n'
        '# delimiter = ";"          # a comma by default\n'
        "# partial = true           # who is not in an export is not gone\n"
    )


def _trial(plan: Plan, register: Register) -> str:
    """Puts the sample into the inbox, with a companion that says it is complete."""
    folder = "inbox" if len(plan.registers) == 1 else f"inbox/{register.table}"
    name = f"{folder}/{register.name}.csv"
    make = "" if folder == "inbox" else f"mkdir -p {folder}\n"
    return f"{make}cp {sample_name(register)} {name} && touch {name}.ok"


def _places(plan: Plan) -> dict[str, str]:
    given = {"prefix": plan.prefix, "catalog": plan.catalog_file, "schemas": plan.schemas}
    return {name: str(value) for name, value in given.items() if value}


def _kafka(settings: KafkaSettings) -> str:
    """As TOML, what is not by default; never the password."""
    told = settings.model_dump(mode="json", exclude={"sasl_password"}, exclude_defaults=True, exclude_none=True)
    lines = [
        f"{name} = {json.dumps(value)}"
        for name, value in ({"bootstrap_servers": settings.bootstrap_servers} | told).items()
    ]
    hints = [] if "sasl_username" in told else ['# security_protocol = "SASL_SSL"', '# sasl_username = "…"']
    return "\n".join([*lines, *hints, '# sasl_password = "…"', '# ssl_cafile = "…"'])
