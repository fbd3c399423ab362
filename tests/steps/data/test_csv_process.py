"""csv_process: every operation, the rules of types and form, and the files it writes."""

from __future__ import annotations

import json
from io import BytesIO

import polars
import pytest
from pydantic import ValidationError

from rustchain_airflow.steps.sdk import StepError, StepRefused

SALES = """\
Order ID, Region ,Amount
007,north,10.50
010,south, 9
007,north,10.50
011,,100
012,south,
"""


def table(run, content, *operations, **parameters):
    """The headers and the rows that come out."""
    output = run("csv_process", {"content": content, "operations": list(operations), **parameters})
    rows = [list(record.values()) for record in output["records"]]
    assert output["row_count"] == len(rows)
    assert output["column_count"] == len(output["headers"])
    assert all(list(record) == output["headers"] for record in output["records"])
    return output["headers"], rows


def test_the_example_of_the_specification(run, workspace):
    """input_file, output_file and [normalize, validate] clean a file and write it."""
    parameters = {
        "input_file": "sales_raw.csv",
        "output_file": "sales_clean.csv",
        "operations": ["normalize", "validate"],
    }
    output = run("csv_process", parameters, files={"sales_raw.csv": SALES})
    assert (output["row_count"], output["headers"]) == (5, ["order_id", "region", "amount"])
    assert output["output_file"] == "sales_clean.csv"
    assert (workspace.root / "sales_clean.csv").read_text() == (
        "order_id,region,amount\n007,north,10.50\n010,south,9\n007,north,10.50\n011,,100\n012,south,\n"
    )


def test_without_operations_cells_come_out_as_they_went_in(run, workspace):
    """Leading zeros, blanks, empty cells, quoted line ends and delimiters survive the way through."""
    text = 'id,"a ""b""",note\n007, x ,\n1e5,"1,5","two\nlines"\n,0.10,"q""q"\n'
    output = run("csv_process", {"file": "a.csv", "output_file": "b.csv"}, files={"a.csv": text})
    assert (workspace.root / "b.csv").read_text() == text
    assert output["records"][0] == {"id": "007", 'a "b"': " x ", "note": None}


@pytest.mark.parametrize(
    ("data", "parameters", "headers", "rows"),
    [
        (b"a,b\r\n1,2\r\n", {}, ["a", "b"], [["1", "2"]]),
        (b"\xef\xbb\xbfa,b\n1,2", {}, ["a", "b"], [["1", "2"]]),
        (b"a,b\r1,2\r3,4", {}, ["a", "b"], [["1", "2"], ["3", "4"]]),
        (b"\n\na,b\n\n1,2\n,\n\n", {}, ["a", "b"], [["1", "2"]]),
        (b"a\n1\n\n2\n", {}, ["a"], [["1"], [None], ["2"]]),
        (b"a,b\n1\n", {}, ["a", "b"], [["1", None]]),
        (b"a,b\n", {}, ["a", "b"], []),
        (b"a,a,,a_2\n1,2,3,4\n", {}, ["a", "a_3", "column_3", "a_2"], [["1", "2", "3", "4"]]),
        (b'"a\nb",c\n1,2\n', {}, ["a\nb", "c"], [["1", "2"]]),
        (b"1;2\n3;4\n", {"delimiter": ";", "has_header": False}, ["column_1", "column_2"], [["1", "2"], ["3", "4"]]),
        (b"a\tb\n1\t2\n", {"delimiter": "\\t"}, ["a", "b"], [["1", "2"]]),
        (b"a,b\n'1,5','it''s'\n", {"quotechar": "'"}, ["a", "b"], [["1,5", "it's"]]),
        (b'a,b\n6",7"\n', {"quotechar": ""}, ["a", "b"], [['6"', '7"']]),
        ("é,b\nü,2\n".encode("latin-1"), {"encoding": "latin-1"}, ["é", "b"], [["ü", "2"]]),
        ("é,b\nü,2\n".encode("utf-16"), {"encoding": "utf-16"}, ["é", "b"], [["ü", "2"]]),
    ],
)
def test_forms_of_csv(run, data, parameters, headers, rows):
    """Line ends, byte order marks, blank lines, short rows, dialects and encodings are read as they are meant."""
    output = run("csv_process", {"path": "a.csv", **parameters}, files={"a.csv": data})
    assert output["headers"] == headers
    assert [list(record.values()) for record in output["records"]] == rows


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a.csv:1: the file is empty"),
        (b"\n", "a.csv:1: the file is empty"),
        (b"a,b\n1,2\n1,2,3\n", "a.csv:3: 3 cells where there are 2 columns"),
        (b'a,b\n1,2\n3,"4\n', 'a.csv:3: a " opens a cell .* not closed'),
        (b'a,b\n1,"2"x\n', "a.csv:2: there is text behind the closing"),
        (b"a,b\n1,2\n\xff,4\n", "a.csv:3: not utf-8"),
        (b'a,b\n1,2"x\n3,4"x\n', "a.csv cannot be read as CSV, perhaps for a stray quote"),
    ],
)
def test_what_is_not_csv_fails_at_its_line(run, data, message):
    """Nothing is cut, guessed or left out: a file that cannot be read as a table fails."""
    with pytest.raises(StepError, match=message) as caught:
        run("csv_process", {"file": "a.csv"}, files={"a.csv": data})
    assert "\n" not in str(caught.value)


def test_normalize(run):
    """Headers become lower_snake and unique, cells lose their blanks, blank cells become empty."""
    headers, rows = table(run, "Order ID,orderId,Größe (cm),%\n 1 ,  ,x y,\n", "normalize")
    assert headers == ["order_id", "order_id_2", "größe_cm", "column_4"]
    assert rows == [["1", None, "x y", None]]


@pytest.mark.parametrize(
    ("content", "operation", "parameters", "errors"),
    [
        ("a,b\n1,2\n3\n", "validate", {}, [("", 3)]),
        ("a,a\n1,2\n", "validate", {}, [("", 1)]),
        ('a,b\n"x\ny",2\n\n1,z\n', "validate", {"schema": {"b": "integer"}}, [("b", 5)]),
        ("a,b\n1,x\n", {"validate": {"b": {"type": "number"}}}, {}, [("b", 2)]),
        ("a,b\n1,x\n", {"validate": {"schema": {"b": "number"}}}, {}, [("b", 2)]),
        ("a,b\n1,x\n", "validate", {"schema": {"c": {"required": True}}}, [("", 1)]),
    ],
)
def test_validate_fails_with_the_lines_of_what_is_wrong(run, content, operation, parameters, errors):
    """Column counts, repeated headers and the rules of the schema are held; the output names column and line."""
    with pytest.raises(StepError, match="content is not valid: ") as caught:
        run("csv_process", {"content": content, "operations": [operation], **parameters})
    assert [(error["path"], error["line"]) for error in caught.value.output["errors"]] == errors
    assert caught.value.output["error_count"] == len(errors)


def test_validate_judges_the_rows_at_its_place(run):
    """Before normalize a header has its old name, behind a filter only what is left is judged, by row."""
    content = "The Age\n 5 \nx\n"
    schema = {"The Age": {"type": "integer", "max": 4}}
    keep = {"filter": {"column": "the_age", "op": "ne", "value": "x"}}
    with pytest.raises(StepError, match='line 2: the_age: "5" is above 4; line 3: the_age: "x" is not an integer'):
        table(run, content, "normalize", "validate", schema=schema)
    with pytest.raises(StepError, match=r'valid: row 1: the_age: "5" is above 4$'):
        table(run, content, "normalize", keep, "validate", schema=schema)
    assert table(run, "a\n1\n", "validate", schema={"a": "integer"})[1] == [[1]]


def test_statistics(run):
    """A column of numbers has all figures, a column of text its order; empty cells are counted apart."""
    output = run("csv_process", {"content": SALES, "operations": ["normalize", "statistics"]})
    assert output["row_count"] == 5
    assert output["statistics"] == {
        "order_id": {
            "type": "integer", "count": 5, "nulls": 0, "distinct": 4, "min": 7, "max": 12,
            "mean": pytest.approx(9.4), "stddev": pytest.approx(2.3021729),
        },
        "region": {
            "type": "text", "count": 4, "nulls": 1, "distinct": 2, "min": "north", "max": "south",
            "mean": None, "stddev": None,
        },
        "amount": {
            "type": "number", "count": 4, "nulls": 1, "distinct": 3, "min": 9.0, "max": 100.0,
            "mean": 32.5, "stddev": pytest.approx(45.0055553),
        },
    }  # fmt: skip


def test_statistics_alone_and_of_some_columns(run):
    """`operation: statistics` needs no list; the schema overrules what the cells look like."""
    parameters = {"content": SALES, "schema": {"Order ID": "string"}}
    figures = run("csv_process", {**parameters, "operation": "statistics"})["statistics"]
    assert list(figures) == ["Order ID", " Region ", "Amount"]
    assert (figures["Order ID"]["min"], figures["Order ID"]["mean"]) == ("007", None)
    output = run("csv_process", {**parameters, "operation": {"statistics": ["Amount"]}})
    assert list(output["statistics"]) == ["Amount"]


def test_statistics_of_nothing(run):
    """A table without rows, or a column without values, has figures all the same."""
    output = run("csv_process", {"content": "a,b\n1,\n", "operation": "statistics"})
    assert output["statistics"]["b"] == {
        "type": "text", "count": 0, "nulls": 1, "distinct": 0, "min": None, "max": None, "mean": None, "stddev": None,
    }  # fmt: skip
    assert output["statistics"]["a"]["stddev"] is None
    assert run("csv_process", {"content": "a,b\n", "operation": "statistics"})["statistics"]["a"]["count"] == 0


NUMBERS = "id,n,t\n1,10,b\n2,9,a\n3,,b\n4,9,A\n5,007,\n"


@pytest.mark.parametrize(
    ("operations", "ids"),
    [
        (["deduplicate"], "12345"),
        ([{"deduplicate": ["t"]}], "1245"),
        ([{"deduplicate": {"columns": "n"}}], "1235"),
        ([{"sort": "n"}], "52413"),
        ([{"sort": {"by": "n", "descending": True}}], "12453"),
        ([{"sort": {"by": ["t", "n"]}}], "42135"),
        ([{"sort": "t"}], "42135"),
        ([{"limit": 2}], "12"),
        ([{"limit": {"n": 0}}], ""),
        (["dedupe", {"sort": {"by": ["id"], "descending": "true"}}, {"limit": "2"}], "54"),
    ],
)
def test_deduplicate_sort_and_limit(run, operations, ids):
    """The first of equal rows stays, equal rows keep their order, empty cells come last, numbers order as numbers."""
    assert "".join(row[0] for row in table(run, NUMBERS, *operations)[1]) == ids


def test_the_type_of_a_column_is_that_of_all_its_cells(run):
    """One cell behind ten thousand numbers makes the column text, whatever the first rows look like."""
    numbers = [str(number) for number in range(10_000, 0, -1)]
    content = "n\n" + "\n".join(numbers)
    by_n = {"sort": "n"}
    assert table(run, content, by_n, {"limit": 2})[1] == [["1"], ["2"]]
    assert table(run, content + "\nx", by_n, {"limit": 2})[1] == [["1"], ["10"]]
    assert table(run, content + "\nx", by_n, {"limit": 2}, schema={"n": "string"})[1] == [["1"], ["10"]]


def test_integers_beyond_doubles_are_told_apart(run):
    """Sorting and filtering compare integers of 64 bits exactly."""
    content = "n\n9007199254740993\n9007199254740992\n"
    assert table(run, content, {"sort": "n"})[1] == [["9007199254740992"], ["9007199254740993"]]
    equal = {"filter": {"column": "n", "op": "eq", "value": 9007199254740993}}
    assert table(run, content, equal)[1] == [["9007199254740993"]]


@pytest.mark.parametrize(
    ("column", "op", "value", "ids"),
    [
        ("n", "eq", 9, "24"), ("n", "==", 7, "5"), ("n", "eq", "9", "24"),
        ("n", "eq", "7", ""), ("n", "eq", "007", "5"),
        ("n", "ne", 9, "135"), ("n", "!=", "9", "135"),
        ("n", "lt", 9, "5"), ("n", "<=", 9, "245"), ("n", ">", 9.5, "1"), ("n", "ge", 9, "124"),
        ("n", "gt", "9", "1"), ("n", ">=", "9", "124"),
        ("t", "gt", "a", "13"), ("t", "lt", 5, ""), ("t", "ne", 5, "12345"),
        ("n", "in", [10, "007"], "15"), ("n", "not_in", [9], "135"), ("n", "in", [], ""),
        ("t", "contains", "a", "2"), ("t", "starts_with", "b", "13"), ("t", "ends_with", "A", "4"),
        ("t", "regex", "^[Aa]$", "24"), ("t", "contains", ".", ""),
        ("t", "is_null", None, "5"), ("n", "not_null", None, "1245"),
    ],
)  # fmt: skip
def test_filter(run, column, op, value, ids):
    """The value decides how cells are compared; an empty cell satisfies is_null, ne and not_in only."""
    condition = {"column": column, "op": op, "value": value}
    assert "".join(row[0] for row in table(run, NUMBERS, {"filter": condition})[1]) == ids


def test_filter_on_a_column_the_schema_calls_a_number(run):
    """Text that says a number is one there, also for eq."""
    condition = {"column": "n", "value": "7"}
    assert len(table(run, NUMBERS, {"filter": condition}, schema={"n": "integer"})[1]) == 1


def test_filter_on_booleans(run):
    """true matches however the cells write it."""
    condition = {"column": "b", "value": True}
    assert table(run, "b,n\nTRUE,1\nfalse,2\n", {"filter": condition})[1] == [["TRUE", "1"]]


def test_select_and_rename(run):
    """Columns are kept in the order asked for, and names change without touching the rest."""
    assert table(run, "a,b,c\n1,2,3\n", {"select": ["c", "a"]}) == (["c", "a"], [["3", "1"]])
    assert table(run, "a,b,c\n1,2,3\n", {"select": "b"}) == (["b"], [["2"]])
    assert table(run, "a,b\n1,2\n", {"rename": {"a": "b", "b": "a"}}) == (["b", "a"], [["1", "2"]])
    assert table(run, "a\n1\n", {"rename": {"a": "n"}}, schema={"a": "integer"}) == (["n"], [[1]])


@pytest.mark.parametrize(
    "metrics",
    [
        {"total": {"column": "n", "op": "sum"}, "rows": {"op": "count"}},
        {"total": {"column": "n", "operation": "sum"}, "rows": {"function": "count"}},
    ],
)
def test_aggregate_by_name(run, metrics):
    """One row a group, in order of its first row; empty cells do not count, an empty group is a group."""
    by_t = {"aggregate": {"group_by": "t", "metrics": metrics}}
    rows = [["b", 10, 2], ["a", 9, 1], ["A", 9, 1], [None, 7, 1]]
    assert table(run, NUMBERS, by_t) == (["t", "total", "rows"], rows)


def test_aggregate_by_column(run):
    """{column: op} and {column: [ops]} name the new columns column_op; no group_by gives one row."""
    metrics = {"n": ["sum", "mean", "min", "max", "count", "distinct"], "t": "max"}
    headers, rows = table(run, NUMBERS, {"aggregate": {"metrics": metrics}})
    assert headers == ["n_sum", "n_mean", "n_min", "n_max", "n_count", "n_distinct", "t_max"]
    assert rows == [[35, 8.75, 7, 10, 4, 3, "b"]]
    assert table(run, NUMBERS, {"aggregate": {"group_by": ["t", "n"]}})[1][0] == ["b", "10", 1]


def test_what_follows_aggregate_sees_numbers(run):
    """Computed columns sort, filter, aggregate and validate as numbers."""
    by_t = {"aggregate": {"group_by": "t", "metrics": {"n": "sum"}}}
    more = {"filter": {"column": "n_sum", "op": ">=", "value": "9"}}
    order = {"sort": {"by": "n_sum", "descending": True}}
    rule = {"validate": {"n_sum": {"type": "integer", "min": 9}}}
    assert table(run, NUMBERS, by_t, more, order, rule)[1] == [["b", 10], ["a", 9], ["A", 9]]
    total = {"aggregate": {"metrics": {"all": {"column": "n_sum", "op": "sum"}}}}
    assert table(run, NUMBERS, by_t, "normalize", total)[1] == [[35]]


@pytest.mark.parametrize(
    ("how", "rows"),
    [
        ("inner", [["1", "x", "A"], ["1", "y", "A"]]),
        ("left", [["1", "x", "A"], ["2", "z", None], ["1", "y", "A"]]),
        ("full", [["1", "x", "A"], ["2", "z", None], ["1", "y", "A"], ["3", None, "C"]]),
        ("outer", [["1", "x", "A"], ["2", "z", None], ["1", "y", "A"], ["3", None, "C"]]),
        ("semi", [["1", "x"], ["1", "y"]]),
        ("anti", [["2", "z"]]),
    ],
)
def test_join(run, how, rows):
    """Rows keep the order of the input, then that of the other file; a name that is taken gets _right."""
    files = {"b.csv": "id,n\n1,A\n3,C\n"}
    parameters = {"content": "id,n\n1,x\n2,z\n1,y\n", "operation": {"join": {"file": "b.csv", "on": "id", "how": how}}}
    output = run("csv_process", parameters, files=files)
    assert [list(record.values()) for record in output["records"]] == rows
    assert output["headers"] == ["id", "n", "n_right"][: len(rows[0])]


def test_a_join_reads_through_the_path_guard(run, tmp_path):
    """The other file is a path like any other."""
    (tmp_path / "b.csv").write_text("id\n1\n")
    with pytest.raises(StepRefused):
        table(run, "id\n1\n", {"join": {"file": "../b.csv", "on": "id"}})


@pytest.mark.parametrize(
    ("output_file", "operations"),
    [("o.json", []), ("o.data", ["to_json"]), ("o.jsonl", []), ("o.ndjson", ["to_json"]), ("o.parquet", []),
     ("o.data", ["to_parquet"])],
)  # fmt: skip
def test_other_formats(run, workspace, output_file, operations):
    """The suffix or the operation chooses the format; columns are text unless the schema says what they are."""
    parameters = {
        "content": 'id,n,ok,t\n007,1.5,yes,"a\nb"\n8,,FALSE,\n',
        "operations": operations,
        "schema": {"n": "number", "ok": "boolean"},
        "output_file": output_file,
    }
    output = run("csv_process", parameters)
    written = (workspace.root / output_file).read_bytes()
    if "to_parquet" in operations or output_file.endswith(".parquet"):
        rows = polars.read_parquet(BytesIO(written)).to_dicts()
    elif output_file in ("o.json", "o.data"):
        rows = json.loads(written)
    else:
        rows = [json.loads(line) for line in written.splitlines()]
    assert rows == output["records"]
    assert rows == [
        {"id": "007", "n": 1.5, "ok": True, "t": "a\nb"},
        {"id": "8", "n": None, "ok": False, "t": None},
    ]


@pytest.mark.parametrize("rows", [0, 1, 60_000])
def test_json_is_an_array_of_any_length(run, workspace, rows):
    """Nothing, one row and many are all one JSON array."""
    content = "n\n" + "".join(f"{number}\n" for number in range(rows))
    run("csv_process", {"content": content, "output_file": "o.json"})
    written = json.loads((workspace.root / "o.json").read_text())
    assert [int(row["n"]) for row in written] == list(range(rows))


def test_a_cell_that_is_not_what_the_schema_says_is_never_dropped(run):
    """Where a typed column has to be written, a cell of another type fails the step instead of becoming null."""
    for cell in ("x", "1e999", "nan"):
        with pytest.raises(StepError, match=f'n: "{cell}" is not of the type its schema names, number'):
            table(run, f"n\n{cell}\n", schema={"n": "number"})


def test_records_are_the_first_rows_only(run):
    """max_records bounds the records, not the count."""
    output = run("csv_process", {"content": "n\n" + "1\n" * 3000})
    assert (output["row_count"], len(output["records"])) == (3000, 1000)
    assert run("csv_process", {"content": "n\n1\n", "max_records": "0"})["records"] == []


def test_the_input_may_be_the_output(run, workspace):
    """A file is replaced whole, after it has been read."""
    parameters = {"file": "a.csv", "output_file": "a.csv", "operation": {"sort": "n"}}
    run("csv_process", parameters, files={"a.csv": "n\n2\n1\n"})
    assert (workspace.root / "a.csv").read_text() == "n\n1\n2\n"


def test_a_failure_leaves_the_old_output(run, workspace):
    """What was there before stays when the step fails on the way, and nothing lies beside it."""
    files = {"a.csv": "a,b\n" + "1,2\n" * 1000 + "1,2,3\n", "o.csv": "old"}
    with pytest.raises(StepError, match=r"a\.csv:1002: 3 cells"):
        run("csv_process", {"file": "a.csv", "output_file": "o.csv"}, files=files)
    assert (workspace.root / "o.csv").read_text() == "old"
    assert sorted(path.name for path in workspace.root.iterdir()) == ["a.csv", "o.csv"]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"sort": "amout"}, 'there is no column "amout" here; did you mean "amount"'),
        ({"filter": {"column": "x", "value": 1}}, 'no column "x" here; there are "amount", "name"'),
        ({"select": ["amount", "nam"]}, 'did you mean "name"'),
        ({"rename": {"amount": "name"}}, 'two columns would be called "name"'),
        ({"aggregate": {"metrics": {"name": "sum"}}}, 'sum of "name": "x" is not a number'),
        ({"aggregate": {"group_by": "name", "metrics": {"name": {"op": "count"}}}}, 'would be called "name"'),
        ({"filter": {"column": "name", "op": "regex", "value": "("}}, "not a regular expression: unclosed group"),
    ],
)
def test_operations_that_do_not_fit_the_table_fail(run, operation, message):
    """Unknown columns, clashing names and sums of text are told, with the nearest name."""
    with pytest.raises(StepError, match=message):
        table(run, "amount,name\n1,x\n", operation)


def test_a_sum_beyond_64_bits_fails(run):
    """A sum never wraps around into another number."""
    with pytest.raises(StepError, match="out of range"):
        table(run, "n\n" + "999999999999999999\n" * 11, {"aggregate": {"metrics": {"n": "sum"}}})


@pytest.mark.parametrize(
    ("operations", "location", "message"),
    [
        (["sorrt"], ("operations", 0), 'unknown operation "sorrt"; did you mean "sort"'),
        (["normalize", {"a": 1, "b": 2}], ("operations", 1), "an operation is a name, or a map of one name"),
        ([{"sort": {"descending": True}}], ("operations", 0, "sort", "by"), "Field required"),
        ([{"filter": {"column": "a", "op": "like"}}], ("operations", 0, "filter", "op"), "'regex'"),
        ([{"filter": {"column": "a", "op": "in", "value": 1}}], ("operations", 0, "filter"), "in takes a list"),
        ([{"limit": -1}], ("operations", 0, "limit", "count"), "greater than or equal to 0"),
        ([{"select": []}], ("operations", 0, "select", "columns"), "at least 1 item"),
        (["join"], ("operations", 0, "join", "file"), "Field required"),
        (
            [{"aggregate": {"metrics": {"n": "sums"}}}],
            ("operations", 0, "aggregate", "metrics", "n_sums", "op"),
            "'sum'",
        ),
        (["to_json"], (), "to_json needs output_file"),
        ("nothing", ("operations", 0), "unknown operation"),
    ],
)
def test_operations_are_checked_before_anything_runs(run, operations, location, message):
    """An operation that cannot be is found by the model, at its place in the mission."""
    with pytest.raises(ValidationError) as caught:
        run("csv_process", {"content": "a\n1\n", "operations": operations})
    fault = caught.value.errors()[0]
    assert fault["loc"] == location
    assert message in fault["msg"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"delimiter": "::"}, "a delimiter is one ASCII character"),
        ({"delimiter": ""}, "a delimiter is one ASCII character"),
        ({"quotechar": "xx"}, "a quote is one ASCII character"),
        ({"delimiter": ";", "quotechar": ";"}, "delimiter and quotechar are the same"),
        ({"encoding": "klingon"}, 'unknown encoding "klingon"'),
        ({"encoding": "base64"}, 'unknown encoding "base64"'),
        ({"schema": {"a": "text"}}, "Input should be"),
        ({"operation": "normalize", "operations": []}, "say the same thing"),
        ({"file": "a.csv"}, "give exactly one of content, file"),
    ],
)
def test_parameters_are_checked_before_anything_runs(run, parameters, message):
    """Dialect, schema and contradictions are faults of the mission, found by the model."""
    with pytest.raises(ValidationError, match=message):
        run("csv_process", {"content": "a\n1\n", **parameters})
