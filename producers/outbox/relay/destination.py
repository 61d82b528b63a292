"""Where an agency's rows go: a register's topic as the cluster has it, and what they are written with."""

from dataclasses import dataclass

from sqlalchemy import Engine

from bus.catalog import Catalog, Register
from bus.codes import Codebook, open_codes
from bus.names import AgencyCode, TopicName
from bus.registry import open_registry
from bus.topics.facts import TopicFacts
from producers.capture.table import stored_mappings
from producers.capture.translation import Translator
from producers.outbox.relay.encoding import RowEncoder
from producers.outbox.relay.settings import TurnSettings
from producers.release import Release, newest_release
from producers.topic import own_topic


@dataclass(frozen=True, slots=True)
class Destination:
    register: Register
    agency: AgencyCode
    topic: TopicName
    facts: TopicFacts
    release: Release
    codes: Codebook
    """By which captured rows are cleaned; the release's rules go by the same."""

    def translator(self, engine: Engine) -> Translator:
        """For captured rows, by the mappings that this database keeps."""
        mappings = stored_mappings(engine, self.release.schema, self.codes.lists)
        return Translator(self.register, self.agency, self.release, mappings)

    def encoder(self, translator: Translator) -> RowEncoder:
        return RowEncoder(self.register, self.agency, self.release, translator)


async def find_destination(settings: TurnSettings, catalog: Catalog) -> Destination:
    """As it is now. Raises BrokerUnavailable, RegistryUnavailable, ClusterMismatch, and what ``open_codes`` raises."""
    agency, register = catalog.agency(settings.agency), catalog.register(settings.register_name)
    topic = register.topic(agency)
    facts = await own_topic(settings.kafka, register, topic)
    async with open_registry(settings.registry, settings.kafka) as registry:
        codes = await open_codes(settings, catalog, registry)
        release = await newest_release(register, registry, settings.schemas, codes.rules)
    return Destination(register, agency, topic, facts, release, codes)
