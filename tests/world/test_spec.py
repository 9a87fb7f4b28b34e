import random

import pytest

from toolmaster.errors import InputError
from toolmaster.tools import ToolRefusal
from toolmaster.types import Effect
from toolmaster.world.goals import draw_arguments
from toolmaster.world.service import copied
from toolmaster.world.spec import SPECS, Specs, load_spec, param_of

SERVICES = Specs().services.values()


@pytest.fixture
def hotel():
    service = load_spec(SPECS / "hotel.toml")
    return service, service.seed_state(random.Random(1))


def call(service, state, key, **arguments):
    operation = service.operations[key]
    return operation.run(state, operation.complete(arguments))


def test_sixteen_services_of_two_splits_in_short_files():
    assert len(SERVICES) >= 16
    assert {service.split for service in SERVICES} == {"train", "test"}
    for file in SPECS.glob("*.toml"):
        assert len(file.read_text().splitlines()) <= 80


def test_splits_share_no_operation():
    keys = {"train": set(), "test": set()}
    for service in SERVICES:
        keys[service.split] |= {o.key for o in service.operations.values()}
    assert not keys["train"] & keys["test"]


def test_records_are_created_read_changed_and_deleted(hotel):
    service, state = hotel
    fields = {"guest": "Ada Holm", "arrival": "2024-05-03", "nights": 2, "room_type": "single"}
    made = call(service, state, "create_booking", **fields, status="confirmed")
    assert call(service, state, "get_booking", id=made["id"])["guest"] == "Ada Holm"
    assert call(service, state, "update_booking", id=made["id"], nights=5)["nights"] == 5
    assert (
        call(service, state, "update_booking", id=made["id"], nights=2, mode="add")["nights"] == 7
    )
    assert call(service, state, "check_in_booking", id=made["id"])["status"] == "arrived"
    gone = call(service, state, "delete_booking", id=made["id"])
    assert gone == {"id": made["id"], "deleted": True, "notify_guest": False}
    with pytest.raises(ToolRefusal, match=f'no booking "{made["id"]}"'):
        call(service, state, "get_booking", id=made["id"])


def test_every_write_stays_visible_in_the_log(hotel):
    service, state = hotel
    key = next(iter(state["records"]["booking"]))
    other = copied(state)
    call(service, state, "update_booking", id=key, nights=3)
    call(service, other, "update_booking", id=key, nights=4)
    call(service, other, "update_booking", id=key, nights=3)
    assert state["records"] == other["records"]
    assert state != other


def test_a_list_is_filtered_with_inclusive_ends_and_cut(hotel):
    service, state = hotel
    records = state["records"]["booking"]
    nights = sorted(record["nights"] for record in records.values())[3]
    found = call(service, state, "list_bookings", max_nights=nights)
    assert found == [key for key, record in records.items() if record["nights"] <= nights]
    assert len(call(service, state, "list_bookings", limit=2)) == 2


def test_a_function_depends_on_all_its_arguments(hotel):
    service, state = hotel
    fields = {"room_type": "single", "arrival": "2024-05-03", "nights": 2}
    price = call(service, state, "room_price", **fields)
    assert price == call(service, state, "room_price", **fields, breakfast=True)
    assert price != call(service, state, "room_price", **fields, breakfast=False)


def test_a_whole_number_is_the_same_with_a_point(hotel):
    service, state = hotel
    fields = {"room_type": "single", "arrival": "2024-05-03"}
    one, two = (call(service, state, "room_price", **fields, nights=n) for n in (2, 2.0))
    assert one == two
    assert len(call(service, state, "list_bookings", limit=2.0)) == 2


def test_every_option_of_a_built_in_service_does_something():
    for service in SERVICES:
        state = service.seed_state(random.Random(1))
        for operation in service.operations.values():
            arguments = draw_arguments(operation, state, random.Random(2))
            for param in operation.params:
                if param.kind.type == "boolean":
                    ends = []
                    for value in (True, False):
                        after, sent = copied(state), {**arguments, param.name: value}
                        ends.append((call(service, after, operation.key, **sent), after))
                    assert ends[0] != ends[1], (operation.key, param.name)


def test_effects_follow_from_what_an_operation_does(hotel):
    service, _ = hotel
    effects = {key: one.effect for key, one in service.operations.items()}
    assert effects["list_bookings"] is Effect.READ
    assert effects["create_booking"] is Effect.WRITE
    assert effects["delete_booking"] is Effect.DESTRUCTIVE


def test_a_parameter_is_written_in_one_line():
    param = param_of("units", "metric|imperial = metric; in {} units; Units of the answer")
    assert (param.required, param.default, param.phrase) == (False, "metric", "in {} units")
    assert param.schema() == {
        "type": "string",
        "enum": ["metric", "imperial"],
        "description": "Units of the answer",
        "default": "metric",
    }


KIOSK = """name = "kiosk"
about = "papers and readers"
split = "train"

[reader]
key = "person"
[reader.fields]
city = "city; in {}"

[order]
filters = ["reader", "copies max"]
options.create = { gift = "boolean = false; ; Whether it is wrapped" }
do.create = "order a paper"
[order.fields]
reader = "-> reader; for {}"
copies = "integer 1..20 copies; {}"
status = "new|sent; with status {}"
[order.actions.stop]
doc = "Stop an order"
do = "stop order {}"
set = { status = "sent" }
params.buyer = "-> reader; for {}"

[functions.price]
ask = "the price of a paper"
returns = "number 1..9 euros"
params.paper = "title; of {}"
params.edition = "morning|evening = morning; in the {} edition"
"""


@pytest.fixture
def kiosk(tmp_path):
    """Makes the service of the kiosk's specification, with one part replaced."""

    def make(old="", new=""):
        assert old in KIOSK
        file = tmp_path / "kiosk.toml"
        file.write_text(KIOSK.replace(old, new, 1) if old else KIOSK)
        return load_spec(file)

    return make


def test_a_reference_is_a_key_of_a_record(kiosk):
    service = kiosk()
    state = service.seed_state(random.Random(1))
    readers = state["records"]["reader"]
    assert {order["reader"] for order in state["records"]["order"].values()} <= readers.keys()
    for key in ("create_order", "update_order", "stop_order"):
        operation = service.operations[key]
        drawn = [draw_arguments(operation, state, random.Random(n)) for n in range(20)]
        named = [a[name] for a in drawn for name in ("reader", "buyer") if name in a]
        assert set(named) <= readers.keys()
        wrong = dict.fromkeys(("reader", "buyer"), "Nobody")
        before = copied(state)
        with pytest.raises(ToolRefusal, match='no reader "Nobody"'):
            call(service, state, key, **{**drawn[0], **wrong})
        assert state == before
    assert call(service, state, "list_orders", reader="Nobody") == []
    assert service.operations["create_reader"].clause == "add a new reader {}"


def test_numbers_only_are_added_and_what_is_missing_is_found_by_no_filter(kiosk):
    options = '"boolean = true" }\noptions.update = { mode = "set|add = set" }'
    service = kiosk('"boolean = false; ; Whether it is wrapped" }', options)
    state = service.seed_state(random.Random(1))
    key, order = next(iter(state["records"]["order"].items()))
    order.update(copies=None, status=None)
    assert key not in call(service, state, "list_orders", max_copies=20)
    added = call(service, state, "update_order", id=key, copies=3, status="sent", mode="add")
    assert (added["copies"], added["status"]) == (3, "sent")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name = ", "name = = ", "cannot be read as TOML"),
        (
            "do.create =",
            'operations = ["list"]\ndo.create =',
            r"order\.do\.create: it has only list",
        ),
        (
            "options.create = { gift",
            'operations = ["get"]\noptions.get = { gift',
            r"order\.do\.create: it has only get",
        ),
        ('name = "kiosk"', "", "name: Field required"),
        ('"train"', '"trian"', r"split: .* \(did you mean 'train'\?\)"),
        ("about", 'colour = "red"\nabout', "colour: Input should be a valid dictionary"),
        (KIOSK[KIOSK.index("\n\n") :], "", "it has no resources and no functions"),
        ('key = "person"', 'key = "persn"', r"reader\.key: .* \(did you mean 'person'\?\)"),
        ('key = "person"', 'key = "integer 1..3"', r"reader\.key: the keys of records are text"),
        ('key = "person"', 'key = "boolean"', r"reader\.key: the keys of records are text"),
        ('key = "person"', 'key = "a|b"', r"reader\.key: 'a\|b' has 2 values for 6 records"),
        ('city = "city; in {}"', "", r"reader\.fields: Dictionary should have at least 1 item"),
        ("reader.fields", "reader.felds", r"reader\.fields: Field required"),
        ("city = ", '"the city" = ', r"reader\.fields: a name has .* got 'the city'"),
        ("city = ", "reader = ", r"reader\.fields: there are two parameters 'reader'"),
        ("in {}", "in {} {}", r"reader\.fields\.city: expected one {} and no other braces"),
        ("in {}", "in {x}", r"reader\.fields\.city: expected one {}"),
        ("in {}", "in {", r"reader\.fields\.city: expected one {}"),
        ("in {}", "in", r"reader\.fields\.city: expected one {}"),
        ("in {}", "in {}; a; b", r"reader\.fields\.city: expected at most KIND; PHRASE; DOC"),
        ("-> reader", "-> nobody", r"order\.fields\.reader: there is no resource 'nobody'"),
        ("1..20", "20..1", r"order\.fields\.copies: expected LOW\.\.HIGH"),
        ("1..20", "1-20", r"order\.fields\.copies: there is no kind"),
        ("1..20", "0.5..20", r"order\.fields\.copies: expected LOW\.\.HIGH, in whole numbers"),
        ("integer 1", "list of list of integer 1", r"order\.fields\.copies: a list holds no lists"),
        ("copies max", "copis max", r"order\.filters: 'copis max' names no field; allowed: reader"),
        ("copies max", "copies mx", r"order\.filters: 'copies mx': .* max or min"),
        ("copies max", "status max", r"order\.filters: 'status max': .* if it is a number"),
        ("options.create", "options.crate", r"order\.options\.crate.*did you mean 'create'"),
        ("do.create", "do.crate", r"order\.do\.crate.*did you mean 'create'"),
        ("do.create", "do.get", r"order\.do\.get: expected one {}"),
        ("filters", 'operations = ["lst"]\nfilters', r"order\.operations\.0: .* 'list'"),
        ("= false", "= no", r"order\.options\.create\.gift: the default 'no' is no value"),
        ("gift", "copies", "the operation 'create_order': there are two parameters 'copies'"),
        ("actions.stop", "actions.get", "two operations have the name 'get_order'"),
        ('"Stop an order"', '""', r"order\.actions\.stop\.doc: String should have at least 1"),
        ("stop order {}", "stop order", r"order\.actions\.stop\.do: expected one {}"),
        (
            'status = "sent"',
            'status = "lost"',
            r"order\.actions\.stop\.set\.status: expected a value",
        ),
        ("functions.price", "functions.get_order", "two operations have the name 'get_order'"),
        ("functions.price", "function.price", r"function\.fields: Field required"),
        ('ask = "the price of a paper"', "", r"functions\.price\.ask: Field required"),
        ("number 1..9 euros", "nmber", r"functions\.price\.returns: there is no kind"),
        ("= morning", "= noon", r"functions\.price\.params\.edition: the default 'noon'"),
        ("morning|", "morning | ", r"functions\.price\.params\.edition: expected different words"),
    ],
)
def test_a_refused_specification_says_where_and_why(kiosk, tmp_path, old, new, message):
    with pytest.raises(InputError, match=rf"kiosk\.toml: {message}"):
        kiosk(old, new)
