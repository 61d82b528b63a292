"""One frozen pydantic model per register state. Generated from schemas/avro by bus.schema.models: change the schema, then run `python -m bus.schema.models`."""

from bus.names import RegisterName
from bus.models.business import BusinessRegistration, BusinessTax
from bus.models.code import CodeCountry, CodeEthnicGroup, CodeLegalForm, CodeProcedure, CodeWard
from bus.models.dossier import DossierCase
from bus.models.resident import ResidentCivilStatus, ResidentIdentity, ResidentResidence, ResidentSensitive
from bus.schema.state import RegisterState

MODELS: dict[RegisterName, type[RegisterState]] = {
    RegisterName("business.registration"): BusinessRegistration,
    RegisterName("business.tax"): BusinessTax,
    RegisterName("code.country"): CodeCountry,
    RegisterName("code.ethnic_group"): CodeEthnicGroup,
    RegisterName("code.legal_form"): CodeLegalForm,
    RegisterName("code.procedure"): CodeProcedure,
    RegisterName("code.ward"): CodeWard,
    RegisterName("dossier.case"): DossierCase,
    RegisterName("resident.civil_status"): ResidentCivilStatus,
    RegisterName("resident.identity"): ResidentIdentity,
    RegisterName("resident.residence"): ResidentResidence,
    RegisterName("resident.sensitive"): ResidentSensitive,
}
"""By register."""

__all__ = [
    "BusinessRegistration",
    "BusinessTax",
    "CodeCountry",
    "CodeEthnicGroup",
    "CodeLegalForm",
    "CodeProcedure",
    "CodeWard",
    "DossierCase",
    "MODELS",
    "ResidentCivilStatus",
    "ResidentIdentity",
    "ResidentResidence",
    "ResidentSensitive",
]
