"""States of the registers about `business`. Generated from schemas/avro by bus.schema.models: change the schema, then run `python -m bus.schema.models`."""

from typing import ClassVar

from pydantic import Field

from bus.names import RegisterName
from bus.schema.fields import Record
from bus.schema.state import Day, RegisterState, StatePart, record_of

__all__ = [
    "Address",
    "BusinessLine",
    "BusinessRegistration",
    "BusinessTax",
    "LegalRepresentative",
]


class Address(StatePart):
    """An address: raw text, old code and new code side by side. / Địa chỉ: giữ nguyên văn, mã cũ và mã mới."""

    RECORD: ClassVar[Record] = record_of("business.registration", 1, "Address")

    detail: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """House number, street and quarter as the source wrote them. / Số nhà, đường, khu phố như nguồn ghi."""
    ward_code: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Code of the ward, commune or special zone in force since 1 July 2025; in the city one of the list `ward`. / Mã phường, xã, đặc khu có hiệu lực từ 01/07/2025; trong Thành phố phải thuộc danh mục `ward`."""
    old_ward_code: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Code of the ward before 1 July 2025, as the source had it; not held against a list, since older wards are in none. / Mã đơn vị cấp xã trước 01/07/2025 như nguồn ghi; không đối chiếu danh mục."""
    province_code: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Code of the province or city in force since 1 July 2025. / Mã tỉnh, thành phố có hiệu lực từ 01/07/2025."""
    country: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Country, ISO 3166-1 alpha-2; empty means Viet Nam. / Quốc gia theo ISO 3166-1 alpha-2; để trống là Việt Nam."""


class BusinessLine(StatePart):
    """One line of business. / Một ngành, nghề kinh doanh."""

    RECORD: ClassVar[Record] = record_of("business.registration", 1, "BusinessLine")

    code: str = Field(json_schema_extra={"pii": "none"})
    """Code of the line in the national system of economic activities (VSIC). / Mã ngành kinh tế Việt Nam (VSIC)."""
    name: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Name of the line as registered. / Tên ngành, nghề."""
    main: bool | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Whether this is the main line; empty if the source does not tell. / Là ngành, nghề chính; để trống nếu nguồn không ghi."""


class LegalRepresentative(StatePart):
    """One legal representative. / Một người đại diện theo pháp luật."""

    RECORD: ClassVar[Record] = record_of("business.registration", 1, "LegalRepresentative")

    name: str = Field(json_schema_extra={"pii": "personal"})
    """Full name. / Họ và tên."""
    personal_id: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Personal identification number; empty for a foreigner without one. / Số định danh cá nhân; để trống nếu là người nước ngoài chưa có."""
    title: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Title in the business. / Chức danh."""


class BusinessRegistration(RegisterState):
    """A business as registered. / Thông tin đăng ký doanh nghiệp."""

    REGISTER: ClassVar[RegisterName] = RegisterName("business.registration")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("business.registration", 1, "RegistrationState")

    enterprise_code: str = Field(json_schema_extra={"pii": "none"})
    """Enterprise code, the same as its tax code; a branch's has a suffix -001 to -999. / Mã số doanh nghiệp, đồng thời là mã số thuế; chi nhánh có hậu tố -001 đến -999."""
    name: str = Field(json_schema_extra={"pii": "none"})
    """Registered name. / Tên doanh nghiệp."""
    legal_form: str = Field(json_schema_extra={"pii": "none"})
    """Legal form. / Loại hình doanh nghiệp."""
    head_office_address: Address | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Address of the head office. / Địa chỉ trụ sở chính."""
    business_lines: tuple[BusinessLine, ...] = Field(default=(), strict=False, json_schema_extra={"pii": "none"})
    """Lines of business. / Ngành, nghề kinh doanh."""
    legal_representatives: tuple[LegalRepresentative, ...] = Field(default=(), strict=False, json_schema_extra={"pii": "personal"})
    """Legal representatives. / Người đại diện theo pháp luật."""
    charter_capital: int | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Charter capital in đồng. / Vốn điều lệ, tính bằng đồng."""
    first_registered_on: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Date of the first registration. / Ngày đăng ký lần đầu."""
    amendment_no: int | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Number of the latest amendment; 0 for none. / Lần đăng ký thay đổi gần nhất; 0 nếu chưa thay đổi."""
    legal_status: str = Field(json_schema_extra={"pii": "none"})
    """Legal status. / Tình trạng pháp lý."""


class BusinessTax(RegisterState):
    """A taxpayer. / Thông tin người nộp thuế."""

    REGISTER: ClassVar[RegisterName] = RegisterName("business.tax")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("business.tax", 1, "TaxState")

    tax_id: str = Field(json_schema_extra={"pii": "personal"})
    """Tax code: 10 digits, 10 digits with a branch suffix, or the 12-digit personal number of a household business or person. / Mã số thuế: 10 số, 10 số kèm hậu tố đơn vị phụ thuộc, hoặc số định danh 12 số."""
    enterprise_code: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Enterprise code of the business; empty for a household business or person. / Mã số doanh nghiệp; để trống với hộ kinh doanh, cá nhân."""
    tax_status: str = Field(json_schema_extra={"pii": "none"})
    """Status of the tax code. / Trạng thái mã số thuế."""
    tax_office: str | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Tax office in charge. / Cơ quan thuế quản lý."""
    since: Day | None = Field(default=None, json_schema_extra={"pii": "none"})
    """Date since which the status holds. / Ngày bắt đầu trạng thái."""
