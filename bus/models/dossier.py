"""States of the registers about `dossier`. Generated from schemas/avro by bus.schema.models: change the schema, then run `python -m bus.schema.models`."""

from typing import ClassVar

from pydantic import Field

from bus.names import RegisterName
from bus.schema.fields import Record
from bus.schema.state import Day, Moment, RegisterState, StatePart, record_of

__all__ = [
    "Document",
    "DossierCase",
    "Result",
]


class Document(StatePart):
    """One document of the dossier. / Một thành phần hồ sơ."""

    RECORD: ClassVar[Record] = record_of("dossier.case", 1, "Document")

    code: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Code of the document in the procedure. / Mã thành phần hồ sơ."""
    name: str = Field(json_schema_extra={"pii": "personal"})
    """Name of the document. / Tên giấy tờ."""
    reused_from: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Register from which this was answered instead of asked for. / Tập dữ liệu đã dùng lại thay cho yêu cầu nộp."""


class Result(StatePart):
    """One result of the dossier. / Một kết quả giải quyết."""

    RECORD: ClassVar[Record] = record_of("dossier.case", 1, "Result")

    number: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Number of the result. / Số, ký hiệu kết quả."""
    issued_on: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Date of issue. / Ngày ban hành."""
    name: str = Field(json_schema_extra={"pii": "personal"})
    """Name of the result. / Tên kết quả."""


class DossierCase(RegisterState):
    """A dossier on its way through an agency. / Hồ sơ thủ tục hành chính."""

    REGISTER: ClassVar[RegisterName] = RegisterName("dossier.case")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("dossier.case", 1, "CaseState")

    dossier_code: str = Field(json_schema_extra={"pii": "none"})
    """Code of the dossier: agency, date received, sequence. / Mã hồ sơ: mã cơ quan, ngày tiếp nhận, số thứ tự."""
    procedure_code: str = Field(json_schema_extra={"pii": "none"})
    """Code of the administrative procedure. / Mã thủ tục hành chính."""
    applicant_kind: str = Field(json_schema_extra={"pii": "none"})
    """Kind of applicant. / Loại người nộp hồ sơ."""
    applicant_id: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Personal number of a citizen, tax code of a business or household; another paper's number otherwise. / Số định danh của công dân, mã số thuế của doanh nghiệp, hộ kinh doanh; hoặc số giấy tờ khác."""
    received_at: Moment = Field(json_schema_extra={"pii": "none"})
    """When the dossier was received, in UTC. / Thời điểm tiếp nhận, giờ UTC."""
    due_at: Moment | None = Field(default=None, json_schema_extra={"pii": "none"})
    """When the result is due, in UTC. / Thời điểm hẹn trả, giờ UTC."""
    status: str = Field(json_schema_extra={"pii": "none"})
    """Status, as the national portal numbers it. / Trạng thái theo Cổng Dịch vụ công quốc gia."""
    status_at: Moment | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Since when the status holds, in UTC. / Thời điểm chuyển trạng thái, giờ UTC."""
    returned_at: Moment | None = Field(default=None, json_schema_extra={"pii": "none"})
    """When the result was returned, in UTC. / Thời điểm trả kết quả, giờ UTC."""
    channel: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """How the dossier was handed in. / Kênh nộp hồ sơ."""
    agency_code: str = Field(json_schema_extra={"pii": "none"})
    """Code of the agency that handles the dossier. / Mã cơ quan thụ lý."""
    fee_due: int | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Fee due in đồng. / Phí, lệ phí phải nộp, tính bằng đồng."""
    documents: tuple[Document, ...] = Field(default=(), strict=False, json_schema_extra={"pii": "personal"})
    """Documents of the dossier. / Thành phần hồ sơ."""
    results: tuple[Result, ...] = Field(default=(), strict=False, json_schema_extra={"pii": "personal"})
    """Results of the dossier. / Kết quả giải quyết."""
