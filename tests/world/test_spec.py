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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "cannot be read as TOML"),
        ('name = "x"\nabout = "y"', "'split' is missing"),
        ('name="x"\nabout="y"\nsplit="train"\n[a]\nkey="nothing"\nfields={}', "no kind of values"),
        ('name="x"\nabout="y"\nsplit="train"\n[a]\noperations=["fly"]\nfields={}', "'fly'"),
        ('name="x"\nabout="y"\nsplit="train"\n[a.fields]\nb="boolean = so"', "the default 'so' is"),
        ('name="x"\nabout="y"\nsplit="train"\n[a]\nfilters=["z"]\nfields={}', "'z'"),
    ],
)
def test_a_specification_that_breaks_a_rule_is_named(tmp_path, text, message):
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_spec(file)
    assert str(file) in str(caught.value)
