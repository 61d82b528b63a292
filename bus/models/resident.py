"""States of the registers about `resident`. Generated from schemas/avro by bus.schema.models: change the schema, then run `python -m bus.schema.models`."""

from typing import ClassVar

from pydantic import Field

from bus.names import RegisterName
from bus.schema.fields import Record
from bus.schema.state import Day, RegisterState, StatePart, record_of

__all__ = [
    "Address",
    "ResidentCivilStatus",
    "ResidentIdentity",
    "ResidentResidence",
    "ResidentSensitive",
]


class ResidentCivilStatus(RegisterState):
    """Civil status of a resident. / Hộ tịch của công dân."""

    REGISTER: ClassVar[RegisterName] = RegisterName("resident.civil_status")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("resident.civil_status", 1, "CivilStatusState")

    personal_id: str = Field(json_schema_extra={"pii": "personal"})
    """Personal identification number. / Số định danh cá nhân."""
    marital_status: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Marital status. / Tình trạng hôn nhân."""
    spouse_id: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Personal identification number of the spouse. / Số định danh của vợ hoặc chồng."""
    father_id: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Personal identification number of the father. / Số định danh của cha."""
    mother_id: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Personal identification number of the mother. / Số định danh của mẹ."""
    death_date: Day | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Date of death. / Ngày chết."""
    registration_place: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Where the latest civil event was registered. / Nơi đăng ký hộ tịch gần nhất."""
    registration_number: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Number of the latest civil registration. / Số đăng ký hộ tịch gần nhất."""


class ResidentIdentity(RegisterState):
    """Who a resident is. / Thông tin định danh của công dân."""

    REGISTER: ClassVar[RegisterName] = RegisterName("resident.identity")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("resident.identity", 1, "IdentityState")

    personal_id: str = Field(json_schema_extra={"pii": "personal"})
    """Personal identification number. / Số định danh cá nhân."""
    old_id_9: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Number of the older identity card (CMND). / Số chứng minh nhân dân 9 số."""
    full_name: str = Field(json_schema_extra={"pii": "personal"})
    """Full name in Vietnamese spelling, as registered. / Họ, chữ đệm và tên khai sinh."""
    other_name: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Another name the person is known by. / Tên gọi khác."""
    birth_date: str = Field(json_schema_extra={"pii": "personal"})
    """Birth date, only as precise as it is known: 1985, 1985-03 or 1985-03-12. / Ngày sinh, chỉ ghi phần đã biết: 1985, 1985-03 hoặc 1985-03-12."""
    birth_date_precision: str = Field(json_schema_extra={"pii": "personal"})
    """How much of the birth date is known; agrees with its length. / Độ chính xác của ngày sinh."""
    sex: str = Field(json_schema_extra={"pii": "personal"})
    """Sex as registered. / Giới tính."""
    nationality: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Nationality, ISO 3166-1 alpha-2. / Quốc tịch theo ISO 3166-1 alpha-2."""
    native_place: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Native place as registered. / Quê quán."""
    birth_place: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Place of birth as registered. / Nơi sinh."""
    birth_registration_place: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Where the birth was registered. / Nơi đăng ký khai sinh."""
    card_issue_date: Day | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Date on which the current card was issued. / Ngày cấp thẻ."""
    card_expiry: Day | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Date until which the card is valid; empty for a card without end. / Ngày hết hạn thẻ; để trống nếu không thời hạn."""
    status: str = Field(json_schema_extra={"pii": "personal"})
    """Status of the person in the register. / Tình trạng của công dân trong cơ sở dữ liệu."""


class Address(StatePart):
    """An address: raw text, old code and new code side by side. / Địa chỉ: giữ nguyên văn, mã cũ và mã mới."""

    RECORD: ClassVar[Record] = record_of("resident.residence", 1, "Address")

    detail: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """House number, street and quarter as the source wrote them. / Số nhà, đường, khu phố như nguồn ghi."""
    ward_code: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Code of the ward, commune or special zone in force since 1 July 2025; in the city one of the list `ward`. / Mã phường, xã, đặc khu có hiệu lực từ 01/07/2025; trong Thành phố phải thuộc danh mục `ward`."""
    old_ward_code: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Code of the ward before 1 July 2025, as the source had it; not held against a list, since older wards are in none. / Mã đơn vị cấp xã trước 01/07/2025 như nguồn ghi; không đối chiếu danh mục."""
    province_code: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Code of the province or city in force since 1 July 2025. / Mã tỉnh, thành phố có hiệu lực từ 01/07/2025."""
    country: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Country, ISO 3166-1 alpha-2; empty means Viet Nam. / Quốc gia theo ISO 3166-1 alpha-2; để trống là Việt Nam."""


class ResidentResidence(RegisterState):
    """Where a resident lives. / Nơi cư trú của công dân."""

    REGISTER: ClassVar[RegisterName] = RegisterName("resident.residence")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("resident.residence", 1, "ResidenceState")

    personal_id: str = Field(json_schema_extra={"pii": "personal"})
    """Personal identification number. / Số định danh cá nhân."""
    permanent_address: Address | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Registered permanent residence. / Nơi thường trú."""
    temporary_address: Address | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Registered temporary residence. / Nơi tạm trú."""
    current_address: Address | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Where the person lives now. / Nơi ở hiện tại."""
    household_no: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Number of the household. / Số hộ."""
    relation_to_head: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Relation to the head of the household. / Quan hệ với chủ hộ."""
    absence_status: str | None = Field(default=None, json_schema_extra={"pii": "personal"})
    """Whether the person is away. / Tình trạng tạm vắng."""


class ResidentSensitive(RegisterState):
    """Sensitive facts about a resident (Law 91/2025, Decree 356/2025), a register of their own. / Dữ liệu cá nhân nhạy cảm của công dân (Luật 91/2025, Nghị định 356/2025)."""

    REGISTER: ClassVar[RegisterName] = RegisterName("resident.sensitive")
    VERSION: ClassVar[int] = 1
    RECORD: ClassVar[Record] = record_of("resident.sensitive", 1, "SensitiveState")

    personal_id: str = Field(json_schema_extra={"pii": "personal"})
    """Personal identification number. / Số định danh cá nhân."""
    ethnicity: str | None = Field(default=None, json_schema_extra={"pii": "sensitive"})
    """Ethnic group. / Dân tộc."""
    religion: str | None = Field(default=None, json_schema_extra={"pii": "sensitive"})
    """Religion. / Tôn giáo."""
    blood_type: str | None = Field(default=None, json_schema_extra={"pii": "sensitive"})
    """Blood type. / Nhóm máu."""
