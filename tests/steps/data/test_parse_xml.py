"""parse_xml: elements as objects, XPath, XSD, and what XML is not allowed to do."""

from __future__ import annotations

import pytest

from rustchain_airflow.steps.sdk import StepError, StepRefused

CATALOG = """<?xml version="1.0" encoding="ISO-8859-1"?>
<c:catalog xmlns:c="urn:c" c:lang="en">
  <!-- left out -->
  <book id="1" price="10.5">Dune<note>old</note> again<?pi x?>!</book>
  <book id="2" price="7"/>
</c:catalog>
"""
XSD = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  {include}
  <xs:element name="n" type="{type}"/>
</xs:schema>"""
NUMBER = XSD.format(include="", type="xs:int")
INCLUDED = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:simpleType name="small">
    <xs:restriction base="xs:int"><xs:maxInclusive value="9"/></xs:restriction>
  </xs:simpleType>
</xs:schema>"""


def test_elements_become_objects(run):
    """An element is its name, attributes, own text and children; namespaces are written in braces."""
    output = run("parse_xml", {"content": CATALOG})
    assert output == {
        "root": {
            "tag": "{urn:c}catalog",
            "attributes": {"{urn:c}lang": "en"},
            "text": "",
            "children": [
                {
                    "tag": "book",
                    "attributes": {"id": "1", "price": "10.5"},
                    "text": "Dune again!",
                    "children": [{"tag": "note", "attributes": {}, "text": "old", "children": []}],
                },
                {"tag": "book", "attributes": {"id": "2", "price": "7"}, "text": "", "children": []},
            ],
        },
        "matches": None,
        "element_count": 4,
        "valid": True,
    }


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
def test_a_file_is_read_in_the_encoding_it_declares(run, encoding):
    """The declaration or the byte order mark says the encoding."""
    declared = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    text = f'<?xml version="1.0" encoding="{declared}"?><a>é</a>'
    assert run("parse_xml", {"file": "a.xml"}, files={"a.xml": text.encode(encoding)})["root"]["text"] == "é"


@pytest.mark.parametrize(
    ("xpath", "matches"),
    [
        ("//book/@id", ["1", "2"]),
        ("//book[@id='2']", [{"tag": "book", "attributes": {"id": "2", "price": "7"}, "text": "", "children": []}]),
        ("//note/text()", ["old"]),
        ("count(//book)", [2]),
        ("sum(//@price)", [17.5]),
        ("string(//book[1])", ["Duneold again!"]),
        ("boolean(//missing)", [False]),
        ("//missing", []),
        ("/k:catalog/@k:lang", ["en"]),
        ("//comment()", [" left out "]),
    ],
)
def test_xpath_gives_matches(run, xpath, matches):
    """Elements come as objects, everything else as the text, number or boolean it is."""
    output = run("parse_xml", {"content": CATALOG, "xpath": xpath, "namespaces": {"k": "urn:c"}})
    assert output["matches"] == matches


@pytest.mark.parametrize("xpath", ["//[", "/k:catalog", "nosuch(1)", ""])
def test_an_xpath_that_cannot_be_used_is_refused(run, xpath):
    """Syntax faults, undeclared prefixes and unknown functions are faults of the mission."""
    with pytest.raises(StepRefused, match="xpath"):
        run("parse_xml", {"content": CATALOG, "xpath": xpath})


def test_inline_text_is_text_whatever_it_declares(run):
    """The mission is UTF-8, so the encoding that a declaration inside it names is of no meaning."""
    text = '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'
    assert run("parse_xml", {"content": text})["root"]["text"] == "é"


def test_a_number_json_has_no_form_for_fails(run):
    """NaN is told, not written."""
    with pytest.raises(StepError, match="not a JSON number"):
        run("parse_xml", {"content": CATALOG, "xpath": "number('x')"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<a>\n<b></a>", "content:2: .*mismatch"),
        ("", "content:1: .*empty"),
        ("no xml", "content:1: "),
        ("<a>&nbsp;</a>", "content:1: .*nbsp"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "declares entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>', "declares entities"),
        ('<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]><a/>', "declares entities"),
        ("<a>" * 101 + "</a>" * 101, "line 1: elements are nested deeper than 100 levels"),
        ("<a>" * 10_000 + "</a>" * 10_000, "content:1: .*depth"),
    ],
)
def test_what_is_not_plain_xml_fails(run, text, message):
    """Faults are told with their line; entities and bottomless nesting are never followed."""
    with pytest.raises(StepError, match=message) as caught:
        run("parse_xml", {"content": text})
    assert "\n" not in str(caught.value)


def test_an_entity_bomb_fails_in_bounded_memory(run):
    """A billion laughs are not laughed."""
    laughs = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    with pytest.raises(StepError):
        run("parse_xml", {"content": f'<!DOCTYPE x [{laughs}]><x y="&a9;">&a9;</x>'})


def test_a_document_type_without_entities_is_not_loaded(run):
    """A document may name its type; the type is not read."""
    assert run("parse_xml", {"content": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>'})["element_count"] == 1


def test_one_hundred_levels_are_fine(run):
    """The bound on nesting admits 100 levels."""
    assert run("parse_xml", {"content": "<a>" * 100 + "</a>" * 100})["element_count"] == 100


def test_a_schema_judges_the_document(run):
    """What the XSD forbids fails with its line, and the output keeps what was parsed."""
    parameters = {"schema_file": "n.xsd"}
    assert run("parse_xml", {"content": "<n>7</n>", **parameters}, files={"n.xsd": NUMBER})["valid"] is True
    with pytest.raises(StepError, match=r"line 2: .*'seven' is not a valid value") as caught:
        run("parse_xml", {"content": "<!-- -->\n<n>seven</n>", **parameters})
    assert caught.value.output.valid is False
    assert caught.value.output.root["text"] == "seven"


def test_a_schema_includes_files_of_the_workspace(run):
    """What an XSD includes is read relative to it, through the path guard."""
    files = {
        "xsd/n.xsd": XSD.format(include='<xs:include schemaLocation="../more/my%20types.xsd"/>', type="small"),
        "more/my types.xsd": INCLUDED,
    }
    assert run("parse_xml", {"content": "<n>7</n>", "schema_file": "xsd/n.xsd"}, files=files)["valid"] is True
    with pytest.raises(StepError, match="maxInclusive"):
        run("parse_xml", {"content": "<n>70</n>", "schema_file": "xsd/n.xsd"})


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:9/t.xsd", "file:///etc/hostname", "/etc/hostname", "../../t.xsd", "absent.xsd"]
)
def test_a_schema_includes_nothing_else(run, tmp_path, location):
    """Neither the network nor a file outside the workspace is read, and a later run is not affected."""
    (tmp_path / "t.xsd").write_text(INCLUDED)
    files = {"n.xsd": XSD.format(include=f'<xs:include schemaLocation="{location}"/>', type="small")}
    with pytest.raises(StepRefused, match=r"n\.xsd is not a usable XSD"):
        run("parse_xml", {"content": "<n>7</n>", "schema_file": "n.xsd"}, files=files)
    assert run("parse_xml", {"content": "<n>7</n>", "schema_file": "m.xsd"}, files={"m.xsd": NUMBER})["valid"] is True


def test_a_schema_that_is_none_is_refused(run):
    """A broken XSD is a fault of the mission."""
    with pytest.raises(StepRefused, match=r"n\.xsd is not a usable XSD"):
        run("parse_xml", {"content": "<n/>", "schema_file": "n.xsd"}, files={"n.xsd": "<n/>"})
