"""States of the registers about `code`. Generated from schemas/avro by bus.schema.models: change the schema, then run `python -m bus.schema.models`."""

from typing import ClassVar

from pydantic import Field

from bus.names import RegisterName
from bus.schema.fields import Record
from bus.schema.state import Day, RegisterState, record_of

__all__ = [
    "CodeCountry",
    "CodeEthnicGroup",
    "CodeLegalForm",
    "CodeProcedure",
    "CodeWard",
]


class CodeCountry(RegisterState):
    """A country or territory. / Quốc gia, vùng lãnh thổ."""

    REGISTER: ClassVar[RegisterName] = RegisterName("code.country")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("code.country", 1, "CountryState")

    unit_id: str = Field(json_schema_extra={"pii": "none"})
    """Code and first day of validity: `code@2025-07-01`, or `code@unknown`; codes are reused, so that a code alone names nothing for ever. / Mã kèm ngày bắt đầu hiệu lực: `mã@2025-07-01`, hoặc `mã@unknown`; mã có thể được cấp lại."""
    code: str = Field(json_schema_extra={"pii": "none"})
    """The code. / Mã."""
    valid_from: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """First day of validity; empty where no source tells it. / Ngày bắt đầu hiệu lực; để trống nếu không có nguồn."""
    valid_to: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Last day of validity; empty while in force. / Ngày hết hiệu lực; để trống khi còn hiệu lực."""
    name: str = Field(json_schema_extra={"pii": "none"})
    """Official Vietnamese name. / Tên tiếng Việt chính thức."""


class CodeEthnicGroup(RegisterState):
    """An ethnic group of Viet Nam. / Dân tộc Việt Nam."""

    REGISTER: ClassVar[RegisterName] = RegisterName("code.ethnic_group")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("code.ethnic_group", 1, "EthnicGroupState")

    unit_id: str = Field(json_schema_extra={"pii": "none"})
    """Code and first day of validity: `code@2025-07-01`, or `code@unknown`; codes are reused, so that a code alone names nothing for ever. / Mã kèm ngày bắt đầu hiệu lực: `mã@2025-07-01`, hoặc `mã@unknown`; mã có thể được cấp lại."""
    code: str = Field(json_schema_extra={"pii": "none"})
    """The code. / Mã."""
    valid_from: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """First day of validity; empty where no source tells it. / Ngày bắt đầu hiệu lực; để trống nếu không có nguồn."""
    valid_to: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Last day of validity; empty while in force. / Ngày hết hiệu lực; để trống khi còn hiệu lực."""
    name: str = Field(json_schema_extra={"pii": "none"})
    """Official Vietnamese name. / Tên tiếng Việt chính thức."""


class CodeLegalForm(RegisterState):
    """A legal form of a business. / Loại hình doanh nghiệp."""

    REGISTER: ClassVar[RegisterName] = RegisterName("code.legal_form")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("code.legal_form", 1, "LegalFormState")

    unit_id: str = Field(json_schema_extra={"pii": "none"})
    """Code and first day of validity: `code@2025-07-01`, or `code@unknown`; codes are reused, so that a code alone names nothing for ever. / Mã kèm ngày bắt đầu hiệu lực: `mã@2025-07-01`, hoặc `mã@unknown`; mã có thể được cấp lại."""
    code: str = Field(json_schema_extra={"pii": "none"})
    """The code. / Mã."""
    valid_from: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """First day of validity; empty where no source tells it. / Ngày bắt đầu hiệu lực; để trống nếu không có nguồn."""
    valid_to: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Last day of validity; empty while in force. / Ngày hết hiệu lực; để trống khi còn hiệu lực."""
    name: str = Field(json_schema_extra={"pii": "none"})
    """Official Vietnamese name. / Tên tiếng Việt chính thức."""


class CodeProcedure(RegisterState):
    """An administrative procedure. / Thủ tục hành chính."""

    REGISTER: ClassVar[RegisterName] = RegisterName("code.procedure")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("code.procedure", 1, "ProcedureState")

    unit_id: str = Field(json_schema_extra={"pii": "none"})
    """Code and first day of validity: `code@2025-07-01`, or `code@unknown`; codes are reused, so that a code alone names nothing for ever. / Mã kèm ngày bắt đầu hiệu lực: `mã@2025-07-01`, hoặc `mã@unknown`; mã có thể được cấp lại."""
    code: str = Field(json_schema_extra={"pii": "none"})
    """The code. / Mã."""
    valid_from: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """First day of validity; empty where no source tells it. / Ngày bắt đầu hiệu lực; để trống nếu không có nguồn."""
    valid_to: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Last day of validity; empty while in force. / Ngày hết hiệu lực; để trống khi còn hiệu lực."""
    name: str = Field(json_schema_extra={"pii": "none"})
    """Official Vietnamese name. / Tên tiếng Việt chính thức."""


class CodeWard(RegisterState):
    """A ward, commune or special zone in one period of validity. / Phường, xã, đặc khu trong một giai đoạn hiệu lực."""

    REGISTER: ClassVar[RegisterName] = RegisterName("code.ward")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("code.ward", 1, "WardState")

    unit_id: str = Field(json_schema_extra={"pii": "none"})
    """Code and first day of validity: `code@2025-07-01`, or `code@unknown`; codes are reused, so that a code alone names nothing for ever. / Mã kèm ngày bắt đầu hiệu lực: `mã@2025-07-01`, hoặc `mã@unknown`; mã có thể được cấp lại."""
    code: str = Field(json_schema_extra={"pii": "none"})
    """The code. / Mã."""
    valid_from: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """First day of validity; empty where no source tells it. / Ngày bắt đầu hiệu lực; để trống nếu không có nguồn."""
    valid_to: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Last day of validity; empty while in force. / Ngày hết hiệu lực; để trống khi còn hiệu lực."""
    name: str = Field(json_schema_extra={"pii": "none"})
    """Official Vietnamese name. / Tên tiếng Việt chính thức."""
    kind: str = Field(json_schema_extra={"pii": "none"})
    """Kind of unit. / Loại đơn vị."""
    successor_code: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Unit that took this one's place; after a split the default one. / Đơn vị kế thừa; nếu chia tách là đơn vị mặc định."""
    succession: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Whether the unit went over whole or was split. / Kế thừa nguyên vẹn hay chia tách."""
