"""Claims about data files: the same row has the same key whatever the format, and bad files end in one clear line."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from remint.adapters.datafile import read_raw
from remint.adapters.frames import (
    DataFile,
    read_data_file,
    read_extra,
    read_metadata,
    read_rows,
    write_rows,
)
from remint.core.rows import LabelledRows, objects
from remint.core.schema import Column, Kind, Schema
from remint.core.table import row_keys, table_from_rows
from remint.errors import ConfigError, DataError

KINDS = {"n": Kind.NUMERIC, "c": Kind.CATEGORICAL, "t": Kind.TEXT}
ROWS: list[dict[str, object]] = [
    {"n": 0.1, "c": "a", "t": 'It said "no",\r\nthen 🎉\x00'},
    {"n": None, "c": None, "t": None},
    {"n": 1e-300, "c": "é ü", "t": "tab\tand ; semicolon"},
]


def read(path: Path, content: bytes, **options: str) -> DataFile:
    path.write_bytes(content)
    return read_data_file(path, columns=KINDS, label="y", **options)


def columns_of(file: DataFile) -> dict[str, list[object]]:
    return {name: values.tolist() for name, values in file.rows.table.columns.items()}


@pytest.mark.parametrize("kind", ["csv", "semicolon.csv", "bom.csv", "tsv", "parquet"])
def test_a_row_has_the_key_that_the_service_gives_it_in_every_format(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame([{**row, "y": i % 2} for i, row in enumerate(ROWS)])
    path = tmp_path / f"data.{kind}"
    match kind:
        case "parquet":
            frame.to_parquet(path)
        case "tsv":
            frame.to_csv(path, sep="\t", index=False)
        case "semicolon.csv":
            frame.to_csv(path, sep=";", index=False)
        case "bom.csv":
            frame.to_csv(path, index=False, encoding="utf-8-sig")
        case _:
            frame.to_csv(path, index=False)
    file = read_data_file(path, columns=KINDS, label="y")
    schema = Schema(pipeline="p", features=file.rows.table.features, label="y", classes=("0", "1"))
    assert file.rows.keys.tolist() == row_keys(table_from_rows(schema, ROWS)).tolist()
    assert file.rows.labels.tolist() == ["0", "1", "0"]


def test_what_is_missing_is_missing_and_what_is_written_stays(tmp_path: Path) -> None:
    file = read(tmp_path / "d.csv", b"n,c,t,y\n NA , NaN ,null,1\n?,null, ,0\n1,None,NaN,1\n")
    found = columns_of(file)
    assert [math.isnan(v) for v in found["n"]] == [True, True, False]
    assert found["c"] == [None, None, "None"]
    assert found["t"] == ["null", None, "NaN"]


@pytest.mark.parametrize(
    ("written", "label"),
    [("1\n0\n1", "1"), ("1.0\n0.0\n", "1"), ("True\nFalse", "true"), ("TRUE\nFALSE", "true"), (" yes \nno", "yes")],
)
def test_labels_are_canonical_however_a_tool_wrote_them(tmp_path: Path, written: str, label: str) -> None:
    content = "n,c,t,y\n" + "".join(f"1,a,b,{value}\n" for value in written.split("\n"))
    assert read(tmp_path / "d.csv", content.encode()).rows.labels.tolist()[0] == label


def test_versions_and_postcodes_are_not_taken_for_numbers(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(b"version,code,y\n1.0,0123,a\n1.0.1,4567,b\n")
    kinds = {"version": Kind.CATEGORICAL, "code": Kind.CATEGORICAL}
    found = columns_of(read_data_file(path, columns=kinds, label="y"))
    assert found == {"version": ["1.0", "1.0.1"], "code": ["0123", "4567"]}


def test_rows_without_a_label_are_dropped_and_counted(tmp_path: Path) -> None:
    file = read(tmp_path / "d.csv", b"n,c,t,y\n1,a,b,1\n2,a,b,\n3,a,b,0\n")
    assert (file.rows.rows, file.missing_labels) == (2, 1)


def test_decimal_commas_of_a_semicolon_file_are_numbers(tmp_path: Path) -> None:
    file = read(tmp_path / "d.csv", "n;c;t;y\n1,5;a;één;1\n2;a;b;0\n".encode())
    assert columns_of(file)["n"] == [1.5, 2.0]


def test_a_lone_quotation_mark_in_a_tsv_swallows_no_rows(tmp_path: Path) -> None:
    file = read(tmp_path / "d.tsv", b'n\tc\tt\ty\n1\ta\t"so he said\t1\n2\tb\t"well ""quoted"""\t0\n')
    assert columns_of(file)["t"] == ['"so he said', 'well "quoted"']


def test_names_may_hold_spaces_dots_and_any_letter(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(" naïve näme ,a.b,y z\n1,2,j\n3,4,n\n", encoding="utf-8")
    kinds = {"naïve näme": Kind.NUMERIC, "a.b": Kind.NUMERIC}
    assert read_data_file(path, columns=kinds, label="y z").rows.rows == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv", b"", "is empty"),
        ("d.csv", b"  \n \n", "is empty"),
        ("d.csv", b"n,c,t,y\n", "has a header and no rows"),
        ("d.csv", b"n,c,t,n,y\n1,2,3,4,5\n", "two columns are called 'n'"),
        ("d.csv", b"n,c,t,yy\n1,2,3,4\n", "no column 'y' .did you mean 'yy'"),
        ("d.csv", b"n,c,t,y\n1,a,b,1\n1,a,\xff,1\n", "line 3 is not UTF-8: byte 0xff"),
        ("d.csv", "n,c,t,y\n".encode("utf-16"), "is UTF-16"),
        ("d.csv", b"n,c,t,y\n1,a,b,1,9\n", "more fields than the header"),
        ("d.csv", b"n,c,t,y\n1,a,b,1\n1,a,b,1,9\n", "malformed: Expected 4 fields in line 3, saw 5"),
        ("d.csv", b'n,c,t,y\n1,a,"b,1\n', "malformed"),
        ("d.csv", b"n,c,t,y\nlots,a,b,1\n", "row 1, column 'n': 'lots' is not a number"),
        ("d.csv", b"n,c,t,remint.key,y\n1,a,b,1,1\n", "Remint's own"),
        ("d.csv", b"n,c,t,y\n1,a,b,\n", "no row has a value in 'y'"),
        ("d.xlsx", b"PK", ".xlsx file type .use .csv"),
        ("d.parquet", b"PAR?", "not a readable Parquet file"),
    ],
)
def test_a_bad_file_ends_in_one_clear_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / name, content)
    assert "\n" not in str(caught.value)


def test_an_absent_file_names_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "customers.csv").touch()
    with pytest.raises(DataError, match=r"no such file \(did you mean 'customers.csv'\?\)"):
        read_raw(tmp_path / "custmers.csv")


def times(tmp_path: Path, values: list[str], zone: str | None = None) -> list[str]:
    path = tmp_path / "d.csv"
    path.write_text("n,at,y\n" + "".join(f'1,"{v}",{i % 2}\n' for i, v in enumerate(values)))
    file = read_data_file(path, columns={"n": Kind.NUMERIC}, label="y", time_column="at", zone=zone)
    return [str(at) for at in file.rows.event_at]


@pytest.mark.parametrize(
    ("values", "zone", "utc"),
    [
        (["2026-07-01T12:00:00Z"], None, "2026-07-01T12:00:00"),
        (["2026-07-01T12:00:00+02:00", "2026-07-01T12:00:00+03:00"], None, "2026-07-01T10:00:00"),
        (["2026-07-01 12:00"], "Europe/Amsterdam", "2026-07-01T10:00:00"),
        (["2026-10-25 02:30"], "Europe/Amsterdam", "2026-10-25T00:30:00"),  # the clocks repeat this hour: the first
        (["2026-03-29 02:30"], "Europe/Amsterdam", "2026-03-29T01:00:00"),  # they skip this one: the next that exists
        (["13/07/2026", "01/08/2026"], "UTC", "2026-07-13T00:00:00"),
        (["07/13/2026", "08/01/2026"], "UTC", "2026-07-13T00:00:00"),
        (["1767225600", "1767225601"], None, "2026-01-01T00:00:00"),
    ],
)
def test_times_become_utc(tmp_path: Path, values: list[str], zone: str | None, utc: str) -> None:
    assert times(tmp_path, values, zone)[0] == f"{utc}.000000"


def test_naive_times_need_a_declared_zone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"times without a zone.*task\.time\.zone"):
        times(tmp_path, ["2026-07-01 12:00"])


def test_a_day_that_could_be_a_month_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="day or month first"):
        times(tmp_path, ["03/04/2026", "05/06/2026"], "UTC")


@pytest.mark.parametrize("values", [["yesterday"], ["2026-07-01T12:00:00Z", "2026-07-01T12:00:00"]])
def test_what_is_not_a_time_is_refused(tmp_path: Path, values: list[str]) -> None:
    with pytest.raises((DataError, ConfigError), match="times"):
        times(tmp_path, values)


def test_rows_without_a_time_are_dropped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("n,at,y\n1,2026-07-01T12:00:00Z,0\n1,,1\n")
    file = read_data_file(path, columns={"n": Kind.NUMERIC}, label="y", time_column="at")
    assert (file.rows.rows, file.missing_times) == (1, 1)


def sample() -> LabelledRows:
    features = tuple(Column(name=n, kind=k) for n, k in KINDS.items())
    table = table_from_rows(Schema(pipeline="p", features=features, label="y", classes=("0", "1")), ROWS)
    return LabelledRows(
        table=table,
        labels=objects(["0", "1", "0"]),
        source=objects(["data", "feedback", "feedback"]),
        sequence=np.array([0, 7, 8]),
        arrived_at=objects([None, datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 7, 1, 1, 2, 3, 4, tzinfo=UTC)]),
        event_at=np.array(["2026-06-30T23:59:59.000001", "NaT", "NaT"], dtype="datetime64[us]"),
        keys=row_keys(table),
        sensitive={"age": objects(["7", None, "9"])},
    )


def test_rows_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows = sample()
    path = tmp_path / "rows.parquet"
    write_rows(path, rows, extra={"remint.reporter": ["a", None, "b"]}, metadata={"remint.quarantine": "{}"})
    back = read_rows(path, rows.table.features)
    assert row_keys(back.table).tolist() == back.keys.tolist() == rows.keys.tolist()
    for name in ("labels", "source", "sequence", "arrived_at"):
        assert getattr(back, name).tolist() == getattr(rows, name).tolist()
    assert back.event_at.dtype == rows.event_at.dtype
    np.testing.assert_array_equal(back.event_at, rows.event_at)
    assert back.weight is None
    assert back.sensitive["age"].tolist() == ["7", None, "9"]
    assert read_extra(path, "remint.reporter") == ["a", None, "b"]
    assert read_metadata(path) == {"remint.quarantine": "{}"}


def test_weights_read_back_and_are_no_sensitive_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_rows(path, dataclasses.replace(sample(), weight=np.array([0.25, 0.5, 1.0])))
    back = read_rows(path, sample().table.features)
    assert back.weight is not None
    assert back.weight.tolist() == [0.25, 0.5, 1.0]
    assert set(back.sensitive) == {"age"}


def test_a_file_of_before_times_were_kept_has_rows_of_unknown_time(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_rows(path, sample())
    pq.write_table(pq.read_table(path).drop_columns(["remint.event_at"]), path)
    assert np.isnat(read_rows(path, sample().table.features).event_at).all()


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    write_rows(tmp_path / "one.parquet", sample())
    write_rows(tmp_path / "two.parquet", sample())
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_no_rows_keep_their_columns(tmp_path: Path) -> None:
    rows = sample().take(np.zeros(0, dtype=np.int64))
    write_rows(tmp_path / "none.parquet", rows)
    back = read_rows(tmp_path / "none.parquet", rows.table.features)
    assert back.rows == 0
    assert back.table.columns["n"].dtype == np.float64


def test_rows_written_for_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    write_rows(path, sample())
    with pytest.raises(DataError, match="'new' is absent"):
        read_rows(path, [Column(name="new", kind=Kind.NUMERIC)])
    with pytest.raises(DataError, match="holds double, but is declared text"):
        read_rows(path, [Column(name="n", kind=Kind.TEXT)])
    with pytest.raises(DataError, match="no such file"):
        read_rows(tmp_path / "absent.parquet", sample().table.features)
