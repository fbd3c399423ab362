"""validate_schema: JSON, YAML, CSV and XML judged by their schemas, with the lines of what is wrong."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from rustchain_airflow.steps.sdk import StepError, StepRefused

AGE = {"properties": {"age": {"type": "integer"}, "tags": {"items": {"type": "string"}}}, "required": ["name"]}
XSD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="n" type="xs:int"/></xs:schema>'


def judge(run, parameters, files=None):
    """The output, and (path, line) of each error."""
    output = run("validate_schema", {"fail_on_invalid": False, **parameters}, files=files)
    assert output["valid"] is (output["error_count"] == 0)
    return output, [(error["path"], error["line"]) for error in output["errors"]]


def test_the_example_of_the_specification(run):
    """{file: data.csv, schema_type: csv} passes for a well-formed file, and counts its rows."""
    output = run(
        "validate_schema", {"file": "data.csv", "schema_type": "csv"}, files={"data.csv": 'a,b\n1,"x\ny"\n2,\n'}
    )
    assert output == {"valid": True, "errors": [], "error_count": 0, "documents": None, "rows": 2}


@pytest.mark.parametrize(
    ("data", "parameters", "errors"),
    [
        (b"a,b\n1\n", {}, [(2, "1 cells where there are 2 columns")]),
        (b'a,b\n"x\ny",2\n1,2,3\n', {}, [(4, "3 cells where there are 2 columns")]),
        (b'a,b\n1,2\n"3,4\n5,6\n', {}, [(3, "not closed")]),
        (b'a,b\n"3"x,4\n', {}, [(2, "text behind the closing")]),
        (b"a,b,a\n1,2,3\n", {}, [(1, 'header "a" is there more than once')]),
        (b"1,1\n", {"has_header": False}, []),
        (b"", {}, [(1, "empty")]),
        (b"\n\n", {}, [(1, "empty")]),
        (b"a\n1\n\xff\n", {}, [(3, "not utf-8")]),
        ("é\n1\n".encode("utf-16"), {"encoding": "utf-16"}, []),
        (b"a;b\n1;2,5\n", {"delimiter": ";"}, []),
        (b"a\tb\n1\t2\n", {"delimiter": "tab"}, []),
        (b"a,b\n'1,1',2\n", {"quotechar": "'"}, []),
        (b'a,b\n1,6"\n', {"quotechar": ""}, []),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n,\r\n", {}, []),
    ],
)
def test_a_csv_without_schema_has_to_be_well_formed(run, data, parameters, errors):
    """Column count, quotes, encoding, headers and emptiness are judged; each fault has its line."""
    output, found = judge(run, {"file": "a.csv", "schema_type": "csv", **parameters}, {"a.csv": data})
    assert found == [("", line) for line, _ in errors]
    for error, (_, message) in zip(output["errors"], errors, strict=True):
        assert message in error["message"]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ({"type": "integer"}, ["7", "-07", " 8 ", ""], ["7.0", "x", "1e3"]),
        ({"type": "number"}, ["7", ".5", "1e3", ""], ["nan", "inf", "1e999", '"1,5"']),
        ({"type": "boolean"}, ["true", "FALSE", "yes", "0"], ["2", "ja"]),
        ({"type": "date"}, ["2024-02-29"], ["2023-02-29", "01.02.2024"]),
        ({"type": "datetime"}, ["2024-01-01T10:00:00Z", "2024-01-01 10:00"], ["10:00", "x"]),
        ({"type": "integer", "min": 2, "max": "4"}, ["2", "4"], ["1", "5"]),
        ({"type": "date", "min": "2024-01-01"}, ["2024-01-01"], ["2023-12-31"]),
        ({"type": "datetime", "max": "2024-01-01T00:00:00+00:00"}, ["2024-01-01T00:00:00"], ["2024-01-01T00:00:01"]),
        ({"min": 2, "max": 3}, ["ab", "abc"], ["a", "abcd"]),
        ({"pattern": "[a-z]+"}, ["abc", ""], ["abc1", "1abc"]),
        ({"type": "integer", "enum": [1, 2]}, ["1", "02"], ["3"]),
        ({"enum": ["x"]}, ["x"], ["X"]),
        ({"required": True}, ["x"], ["", "  "]),
    ],
)
def test_the_rules_of_a_csv_column(run, rule, good, bad):
    """Each rule passes what it says and nothing else, and names the line of each cell it forbids."""
    data = "".join(f"{number},{cell}\n" for number, cell in enumerate([*good, *bad]))
    schema = {"value": rule}
    _, found = judge(run, {"data": f"n,value\n{data}", "schema_type": "csv", "schema": schema})
    assert found == [("value", len(good) + 2 + number) for number in range(len(bad))]


def test_a_csv_schema_may_name_types_alone_and_stand_in_a_file(run):
    """{column: type} is short for {column: {type}}; a missing required column is told at the header."""
    files = {"s.yaml": "a: integer\nnames: {required: true}\n", "a.csv": "a,name\nx,1\n"}
    output, found = judge(run, {"file": "a.csv", "schema_type": "csv", "schema_file": "s.yaml"}, files)
    assert found == [("", 1), ("a", 2)]
    assert output["errors"][0]["message"] == 'the column "names" is missing; did you mean "name"?'


@pytest.mark.parametrize(
    ("schema_type", "data", "errors"),
    [
        ("json", '{"name": "x", "age": 3}', []),
        ("json", '{"name": "x",\n "age": "3",\n "tags": ["a",\n 2]}', [("/age", 2), ("/tags/1", 4)]),
        ("json", '{"age":\n 1}', [("", 1)]),
        ("json", '{"name": "x",\n "name": "y"}', [("", 2)]),
        ("json", '{"name": \n', [("", 1)]),
        ("yaml", "name: x\nage: 3\n", []),
        ("yaml", "name: x\nage: on\ntags:\n- a\n- 1\n", [("/age", 2), ("/tags/1", 5)]),
        ("yaml", "name: x\n---\nname: x\nage: x\n", [("/age", 4)]),
        ("yaml", "name: x\n\tage: 3\n", [("", 2)]),
    ],
)
def test_values_are_judged_by_json_schema(run, schema_type, data, errors):
    """Each error has the pointer and the line of what it speaks of; text that cannot be parsed is invalid data."""
    parameters = {"schema": AGE, "schema_type": schema_type}
    for source in ({"data": data}, {"content": data}, {"file": "a"}, {"data_file": "a"}):
        assert sorted(judge(run, {**parameters, **source}, {"a": data})[1]) == sorted(errors)


def test_a_value_from_a_reference_is_judged_as_it_is(run):
    """Data that is no text has no lines."""
    assert judge(run, {"data": {"age": "x"}, "schema": AGE})[1] == [("", None), ("/age", None)]


@pytest.mark.parametrize(
    ("draft", "is_valid"),
    [("http://json-schema.org/draft-04/schema#", False), ("https://json-schema.org/draft/2020-12/schema", True)],
)
def test_the_schema_says_its_draft(run, draft, is_valid):
    """In draft 4 `const` has no meaning and `exclusiveMinimum` is a boolean; in 2020-12 it is a number."""
    schema = {"$schema": draft, "minimum": 3, "exclusiveMinimum": True} if "04" in draft else {"exclusiveMinimum": 2}
    assert judge(run, {"data": "3", "schema": schema})[0]["valid"] is is_valid


@pytest.mark.parametrize("schema_type", ["xml", "xsd"])
@pytest.mark.parametrize(("data", "errors"), [("<n>7</n>", []), ("\n<n>x</n>", [("/n", 2)]), ("<n>", [("", 1)])])
def test_xml_is_judged_by_xsd(run, schema_type, data, errors):
    """xml and xsd mean the same; an error has the path and line of its element."""
    for schema in ({"schema": XSD}, {"schema_file": "n.xsd"}):
        assert judge(run, {"data": data, "schema_type": schema_type, **schema}, {"n.xsd": XSD})[1] == errors


def test_invalid_data_fails_the_step_with_its_output(run):
    """The message tells the first errors, the output all."""
    with pytest.raises(
        StepError, match=r"a\.csv is not valid: line 2: .*; line 3: .*; line 4: .*; and 1 more$"
    ) as caught:
        run("validate_schema", {"file": "a.csv", "schema_type": "csv"}, files={"a.csv": "a,b\n" + "1\n" * 4})
    assert not isinstance(caught.value, StepRefused)
    assert (caught.value.output.valid, caught.value.output.error_count) == (False, 4)


def test_errors_are_counted_in_full_and_kept_in_part(run):
    """A thousand errors are kept, all are counted."""
    for parameters in (
        {"data": "a,b\n" + "1\n" * 1500, "schema_type": "csv"},
        {"data": ["x"] * 1500, "schema": {"items": {"type": "integer"}}},
    ):
        output, found = judge(run, parameters)
        assert (len(found), output["error_count"]) == (1000, 1500)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"data": "1"}, "give exactly one of schema, schema_file"),
        ({"schema": {}}, "give exactly one of data, file"),
        ({"data": "1", "file": "a", "schema": {}}, "give exactly one of data, file"),
        ({"data": "1", "schema": {}, "schema_file": "s"}, "give only one of schema and schema_file"),
        ({"data": "1", "schema": {}, "schema_type": "toml"}, "schema_type"),
        ({"data": "a", "schema": {"a": {"type": "int"}}, "schema_type": "csv"}, "not a csv schema: a.type"),
        ({"data": "a", "schema": {"a": {"pattern": "("}}, "schema_type": "csv"}, "not a regular expression"),
        ({"data": {"a": 1}, "schema_type": "csv"}, "the data of csv is text"),
        ({"data": "a", "schema_type": "csv", "delimiter": "::"}, "a delimiter is one ASCII character"),
        ({"data": "a", "schema_type": "csv", "encoding": "utf-9"}, 'unknown encoding "utf-9"'),
    ],
)
def test_what_can_be_known_before_the_run_is_an_error_then(run, parameters, message):
    """Missing, contradicting and impossible parameters are found by the model."""
    with pytest.raises(ValidationError, match=message):
        run("validate_schema", parameters)
