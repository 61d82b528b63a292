"""Words that synthetic names are put together from. Every combination is drawn at random and means nobody."""

import polars as pl


def _words(text: str, separator: str = " ") -> list[str]:
    return text.split(separator)


SURNAMES = pl.Series(
    ["Nguyễn"] * 31
    + ["Trần"] * 11
    + ["Lê"] * 9
    + ["Phạm"] * 7
    + ["Huỳnh"] * 4
    + ["Hoàng", "Phan", "Võ", "Đặng"] * 3
    + ["Bùi", "Đỗ", "Hồ", "Ngô", "Dương"] * 2
    + _words("Lý Vũ Trương Đinh Đoàn Lâm Mai Trịnh Đào Cao Lương Hà Tạ Châu Quách Thái Tô Kiều La Thạch")
)

MALE_MIDDLES = pl.Series(
    ["Văn"] * 12
    + _words(
        "Đức Hữu Minh Quốc Công Thanh Ngọc Xuân Hoàng Gia Anh Trọng Tuấn Bá Đình Phúc Quang Thành Nhật Duy Bảo Khắc"
    )
)
FEMALE_MIDDLES = pl.Series(
    ["Thị"] * 14
    + _words("Ngọc Thanh Thùy Kim Minh Phương Hồng Bích Mỹ Thu Xuân Diệu Gia Khánh Bảo Quỳnh Tường Như Hoài Ánh Cẩm")
)

MALE_GIVEN = pl.Series(
    _words(
        "An Anh Bảo Bình Chiến Cường Danh Dũng Duy Đạt Đức Giang Hải Hậu Hiếu Hòa Hùng Huy Hưng Khang Khánh Khoa Kiên "
        "Lâm Lộc Long Lực Mạnh Minh Nam Nghĩa Nguyên Nhân Phát Phong Phú Phúc Phước Quân Quang Quý Sang Sơn Tài Tâm "
        "Tân Thái Thắng Thành Thiện Thịnh Thông Thuận Tiến Tín Toàn Trí Trung Tú Tuấn Tùng Uy Vinh Vũ Xuân Ý"
    )
)
FEMALE_GIVEN = pl.Series(
    _words(
        "An Anh Ánh Bích Châu Chi Cúc Diễm Diệp Dung Duyên Đào Giang Hà Hân Hạnh Hiền Hoa Hòa Hồng Huệ Hương Huyền "
        "Khanh "
        "Kiều Lan Lệ Liên Linh Loan Ly Mai Mỹ My Nga Ngân Nghi Ngọc Nguyệt Nhi Nhung Như Oanh Phụng Phương Phượng "
        "Quyên "
        "Quỳnh Sương Tâm Thanh Thảo Thi Thơ Thu Thư Thúy Thủy Thương Tiên Trâm Trang Trinh Trúc Tú Tuyết Uyên Vân Vy "
        "Xuân Yến"
    )
)

NICKNAMES = pl.Series(_words("Út Ba Tư Năm Sáu Bảy Tám Chín Mười Tý Bi Na Mít Bống"))

FIRM_FIELDS = pl.Series(
    [
        "Thương mại",
        "Dịch vụ",
        "Sản xuất",
        "Xây dựng",
        "Vận tải",
        "Thực phẩm",
        "Cơ khí",
        "May mặc",
        "Công nghệ",
        "Giáo dục",
        "Du lịch",
        "Nông sản",
        "Nội thất",
        "In ấn",
    ]
)
FIRM_FIRST = pl.Series(
    _words("An Bảo Đại Đông Gia Hải Hoàng Hưng Khang Kim Minh Nam Nhật Phú Phương Tân Thành Thiên Việt")
)
FIRM_SECOND = pl.Series(
    _words("An Cường Đạt Gia Hưng Khánh Lộc Lợi Long Phát Phong Phú Quang Sơn Thắng Thịnh Tiến Tín Vinh")
)

STREETS = pl.Series(
    _words(
        "Lê Lợi|Nguyễn Huệ|Trần Hưng Đạo|Hai Bà Trưng|Lý Thường Kiệt|Nguyễn Trãi|Quang Trung|Phan Đình Phùng|Lê Lai|"
        "Ngô Quyền|Đinh Tiên Hoàng|Nguyễn Du|Hoàng Diệu|Cách Mạng Tháng Tám|Điện Biên Phủ|Hùng Vương|Đường số 1|"
        "Đường số 2|Đường số 5|Đường số 8|Đường số 12|Đường số 17|Đường số 23",
        "|",
    )
)
