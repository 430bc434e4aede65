"""Define protobuf messages in Python, without code that protoc generates.

Generated code requires at least its own version of the runtime, and BuildKit's .proto files have
many dependencies. Only a few messages are needed: their field numbers are next to the code that
uses them, and the classes are made when that code is imported.
"""

import re
from collections.abc import Mapping

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.message import Message

_Field = descriptor_pb2.FieldDescriptorProto

_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}
_MAP = re.compile(r"map<(\w+),\s*(\w+)>")


def define(
    package: str, messages: Mapping[str, Mapping[str, tuple[int, str]]]
) -> dict[str, type[Message]]:
    """Make the classes of proto3 messages.

    Args:
        package: the protobuf package, ``moby.buildkit.v1``.
        messages: for every message its fields, and for every field its number and its type: a
            scalar, ``Timestamp``, the name of a message of the same call, or ``map<K,V>``; with a
            ``*`` behind it when repeated.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto",
        package=package,
        syntax="proto3",
        dependency=[timestamp_pb2.DESCRIPTOR.name],
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, package, field, number, kind)
    # A pool of our own: the default one refuses a second definition of a full name.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


def _add_field(
    message: descriptor_pb2.DescriptorProto, package: str, name: str, number: int, kind: str
) -> None:
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if entry := _MAP.fullmatch(kind):
        # A map is a repeated message of key and value, nested and marked as such:
        # https://protobuf.dev/programming-guides/proto3/#backwards
        nested = f"{''.join(part.title() for part in name.split('_'))}Entry"
        pair = message.nested_type.add(name=nested)
        pair.options.map_entry = True
        _add_field(pair, package, "key", 1, entry[1])
        _add_field(pair, package, "value", 2, entry[2])
        field.label = _Field.LABEL_REPEATED
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{package}.{message.name}.{nested}"
        return
    if kind.endswith("*"):
        field.label = _Field.LABEL_REPEATED
        kind = kind.removesuffix("*")
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = _Field.TYPE_MESSAGE
    known = {"Timestamp": ".google.protobuf.Timestamp"}
    field.type_name = known.get(kind, f".{package}.{kind}")
