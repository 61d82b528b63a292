"""Every error that users, logs and dead letters see. The class carries the policy, the message the remedy.

::

    BusError
    ├── InputRefused            what a user gave is wrong            exit 3
    │   ├── ConfigInvalid
    │   ├── CatalogInvalid
    │   ├── RegisterUnknown
    │   ├── AgencyUnknown
    │   ├── NotTheWriter
    │   ├── StateInvalid        a record breaks its register's rules
    │   ├── FileRefused         an export cannot be read at all
    │   ├── PathUnwritable
    │   └── SchemaIncompatible
    ├── Unavailable (retriable) something is away for now            exit 4
    │   ├── BrokerUnavailable
    │   ├── RegistryUnavailable
    │   ├── DatabaseUnavailable
    │   ├── DiskFull
    │   ├── RecordsUnreadable   what a broker itself wrote is damaged; its register waits
    │   ├── ParkedFull          parked events wait for the dead-letter topic, no more may
    │   ├── StateInUse          another run on this machine holds an adapter's state
    │   ├── Interrupted         a task ended that nobody had told to
    │   └── PortTaken           (not retriable)
    ├── ConfirmationNeeded      done only when asked for again       exit 5
    ├── Fenced                  a successor has taken over           exit 6
    ├── ClusterMismatch         topic and catalogue or positions differ  exit 7
    ├── LagExceeded             a source keeps more for us than it may   exit 8
    ├── ChangesExpired          a cursor of the changes feed is too old
    ├── RowsRefused             the database cannot hold one row of a batch: bisect, then park it
    └── EventRefused            one event cannot be applied: parked
        ├── WireInvalid
        ├── SchemaUnknown
        ├── BatchUnreadable     a whole record batch, as one
        ├── BodyInvalid
        ├── KeyMismatch
        └── OwnerWrong
"""

from typing import ClassVar


class BusError(Exception):
    """Anything that Liên thông refuses or cannot do, told in one line without personal data."""

    retriable: ClassVar[bool] = False
    reason: ClassVar[str] = "error"
    """Bounded word for metric labels, dead-letter headers and ``--json``."""
    exit_code: ClassVar[int] = 1


class InputRefused(BusError):
    """What was given is wrong; the message names file, key or field and the remedy."""

    reason = "input_refused"
    exit_code = 3


class ConfigInvalid(InputRefused):
    reason = "config_invalid"


class CatalogInvalid(InputRefused):
    reason = "catalog_invalid"


class RegisterUnknown(InputRefused):
    reason = "register_unknown"


class AgencyUnknown(InputRefused):
    reason = "agency_unknown"


class NotTheWriter(InputRefused):
    """Only the agency that the catalogue names may write a register (Law 20/2023, Art. 40(3))."""

    reason = "not_the_writer"


class StateInvalid(InputRefused):
    """A record breaks its register's rules. Names fields and rules, never values."""

    reason = "state_invalid"


class FileRefused(InputRefused):
    reason = "file_refused"


class PathUnwritable(InputRefused):
    reason = "path_unwritable"


class SchemaIncompatible(InputRefused):
    reason = "schema_incompatible"


class Unavailable(BusError):
    """Something this needs does not answer; trying again later may help."""

    retriable = True
    reason = "unavailable"
    exit_code = 4


class BrokerUnavailable(Unavailable):
    reason = "broker_unavailable"


class RegistryUnavailable(Unavailable):
    reason = "registry_unavailable"


class DatabaseUnavailable(Unavailable):
    reason = "database_unavailable"


class DiskFull(Unavailable):
    reason = "disk_full"


class ParkedFull(Unavailable):
    """As many parked events as may wait for the dead-letter topic: the partition stands still, nothing is dropped."""

    reason = "parked_full"


class RecordsUnreadable(Unavailable):
    """A control batch that says nothing, or bytes that are no records. Of a producer's batch see BatchUnreadable.

    Damage on the way heals by fetching again; nothing is passed over.
    """

    reason = "records_unreadable"


class StateInUse(Unavailable):
    """Another run on this machine is at work on the same state."""

    reason = "state_in_use"


class Interrupted(Unavailable):
    """A task of a daemon ended though nobody had told it to: it begins again from what is committed."""

    reason = "interrupted"


class PortTaken(Unavailable):
    retriable = False
    reason = "port_taken"


class ConfirmationNeeded(BusError):
    """Would destroy or delete more than it may without being asked twice."""

    reason = "confirmation_needed"
    exit_code = 5


class Fenced(BusError):
    """A later instance has taken over; this one may write nothing more."""

    reason = "fenced"
    exit_code = 6


class ClusterMismatch(BusError):
    """The cluster's topics are not those that the catalogue or the stored positions speak of."""

    reason = "cluster_mismatch"
    exit_code = 7


class LagExceeded(BusError):
    """What an agency's server keeps until it is sent has grown beyond what it may have of the disk."""

    reason = "lag_exceeded"
    exit_code = 8


class ChangesExpired(BusError):
    """The feed no longer holds what came after this cursor: read the replica afresh, then follow from now."""

    reason = "changes_expired"


class RowsRefused(BusError):
    """The database cannot hold at least one row of a batch, such as text with a NUL character. Nothing was written."""

    reason = "database_constraint"


class EventRefused(BusError):
    """One event cannot be applied. Its neighbours go on; it is parked with this reason."""

    reason = "event_refused"


class WireInvalid(EventRefused):
    """The value does not start with Confluent's five-byte prefix."""

    reason = "wire_invalid"


class SchemaUnknown(EventRefused):
    """The registry has no schema with this id."""

    reason = "schema_unknown"


class BatchUnreadable(EventRefused):
    """A record batch that unpacks to more than it may, or to no records. It is parked as one, with its bytes."""

    reason = "batch_unreadable"


class BodyInvalid(EventRefused):
    """The Avro body does not decode, or holds what the register forbids."""

    reason = "body_invalid"


class KeyMismatch(EventRefused):
    """The Kafka key is not the key inside the value."""

    reason = "key_mismatch"


class OwnerWrong(EventRefused):
    """The event's source is not a writer of the register."""

    reason = "owner_wrong"
